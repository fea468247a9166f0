// Intents: writes the bytes, tells what may prove them, and says how far their proof has come. Whether a proof holds is
// proofs.ts; nothing here can be approved without it.

import type { FactorMethod } from '../../protocol/command.ts';
import { Failure } from '../../protocol/failure.ts';
import type { SecretSource, WorkIntent } from '../../protocol/intent.ts';
import { encodeIntent, intentBytes, intentHash } from '../../protocol/intent.ts';
import { sha256Text, toBase64url } from '../../protocol/keys.ts';
import type { RootPayload } from '../../protocol/root.ts';
import { allowedFactors } from './allowed.ts';
import { factorsOf, policyOf } from './factor-records.ts';
import type { SignerLedger, StoredIntent } from './ledger.ts';
import { spend } from './limits.ts';
import type { SignerParts } from './parts.ts';
import type { Params, Result, SignerMethods } from './requests.ts';

/** Wrong tries on one operation, and in a row by one operator. */
export const TRIES_MAX = 5;
export const FAILURES_MAX = 100;

type BuildParams = Params<SignerMethods, 'intent.build'>;
type SecretInput = NonNullable<BuildParams['account']>['secret'];

export async function buildIntent(
  parts: SignerParts,
  asked: BuildParams,
): Promise<Result<SignerMethods, 'intent.build'>> {
  const { ledger, randomBytes, nowS, authority } = parts;
  const { op, project, agent, targets, operator } = asked;
  const not_after = nowS() + asked.valid_s;
  const { join_sha256, not_before } = asked;
  // What the two acts do not have in common, the intent's own schema refuses.
  const intent = {
    v: 1,
    op,
    project,
    ...(agent === undefined ? {} : { agent }),
    ...(targets === undefined ? {} : { targets }),
    ...(join_sha256 === undefined ? {} : { join_sha256 }),
    method: 'online',
    operator,
    nonce: toBase64url(randomBytes(32)),
    not_after,
    act: join_sha256 === undefined ? 'reset' : 'initialise',
    ...(asked.account ? { account: { ...asked.account, secret: await sourceOf(asked.account.secret) } } : {}),
    ...(asked.vnc ? { vnc: { ...asked.vnc, secret: await sourceOf(asked.vnc.secret) } } : {}),
    reboot: { kind: 'normal', grace_s: asked.grace_s },
    ...(not_before === undefined ? {} : { not_before }),
  } as WorkIntent;
  const bytes = intentBytes(intent);
  const [encoded, hash] = [encodeIntent(bytes), await intentHash(bytes)];
  const { root } = await authority.current();
  ledger.transaction(() => {
    const before = ledger.intent(op);
    if (before) demandLiving(before);
    if (before?.proven_at != null) throw new Failure('STATE_CONFLICT', { reason: 'proven' });
    spend(ledger, 'proposal', operator, nowS());
    const two_people = policyOf(ledger).second_person ? 1 : 0;
    ledger.putIntent({ op, bytes: encoded, hash, agent: agent ?? '', project, operator, not_after, two_people });
    ledger.audit({
      at: nowS(),
      kind: 'intent.built',
      op,
      operator,
      data: { hash, ...(agent === undefined ? {} : { agent }), intent: encoded, two_people },
    });
  });
  return { intent: encoded, intent_hash: hash, not_after, methods: methodsFor(ledger, root, operator, 'first') };
}

async function sourceOf(secret: SecretInput | 'same'): Promise<SecretSource | 'same'> {
  if (secret === 'same') return secret;
  if (secret.mode === 'generated') return { mode: 'generated', recipient_jwk: secret.recipient_jwk };
  return { mode: 'typed', sealed_sha256: await sha256Text(secret.sealed) };
}

export function methodsFor(
  ledger: SignerLedger,
  root: RootPayload,
  operator: string,
  as: 'first' | 'second',
): FactorMethod[] {
  const allowed = allowedFactors(policyOf(ledger), root, factorsOf(ledger, operator), as);
  return [...new Set(allowed.map(({ kind }) => kind))];
}

/** Throws the code for which the operation is void. */
export function demandLiving({ void: code, tries }: StoredIntent): void {
  if (code !== null) throw new Failure(code, { void: true });
  if (tries >= TRIES_MAX) throw new Failure('FACTOR_LOCKED');
}

/** Whose proof an intent still lacks. */
export function awaited({ proven_at, two_people, second_at }: StoredIntent): 'first' | 'second' | null {
  if (proven_at === null) return 'first';
  return two_people === 1 && second_at === null ? 'second' : null;
}

/** The operation's newest intent, as one of those whose proof it may need sees it. */
export async function showIntent(
  { ledger, authority }: SignerParts,
  { op, operator }: Params<SignerMethods, 'intent.show'>,
): Promise<Result<SignerMethods, 'intent.show'>> {
  const intent = ledger.intent(op);
  if (!intent) throw new Failure('NOT_FOUND', { op });
  const awaits = awaited(intent);
  const isFor = (awaits === 'first') === (operator === intent.operator);
  const { root } = await authority.current();
  const methods = awaits !== null && isFor ? methodsFor(ledger, root, operator, awaits) : [];
  return { intent: intent.bytes, intent_hash: intent.hash, not_after: intent.not_after, awaits, methods };
}

export function intentStatus(
  { ledger }: SignerParts,
  { op }: Params<SignerMethods, 'intent.status'>,
): Result<SignerMethods, 'intent.status'> {
  const intent = ledger.intent(op);
  const proven =
    intent?.method != null && intent.proven_at !== null ? { method: intent.method, at: intent.proven_at } : null;
  return {
    intent_hash: intent?.hash ?? null,
    proven,
    complete: intent !== undefined && awaited(intent) === null,
    locked: intent !== undefined && (intent.void !== null || intent.tries >= TRIES_MAX),
  };
}
