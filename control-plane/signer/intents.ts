// Intents and their proofs: writes the bytes, checks the factor on exactly these bytes, and burns it. An intent is proven
// once; five wrong tries void the operation, whatever intents it had.

import { Failure } from '../../protocol/failure.ts';
import type { ResetIntent } from '../../protocol/intent.ts';
import { encodeIntent, intentBytes, intentHash } from '../../protocol/intent.ts';
import { sha256Text, toBase64url } from '../../protocol/keys.ts';
import { keySigned, totpStep } from './factors.ts';
import type { Factor, FactorKind, SignerLedger, StoredIntent } from './ledger.ts';
import type { Params, Proof, Result, SignerMethods } from './requests.ts';

/** Wrong tries on one operation, and in a row by one operator. */
export const TRIES_MAX = 5;
export const FAILURES_MAX = 100;

export type IntentParts = Readonly<{
  ledger: SignerLedger;
  randomBytes: (count: number) => Uint8Array;
  nowS: () => number;
}>;

type BuildParams = Params<SignerMethods, 'intent.build'>;
type SecretInput = NonNullable<BuildParams['account']>['secret'];

export async function buildIntent(
  { ledger, randomBytes, nowS }: IntentParts,
  asked: BuildParams,
): Promise<Result<SignerMethods, 'intent.build'>> {
  const { op, project, agent, operator } = asked;
  const not_after = nowS() + asked.valid_s;
  const intent: ResetIntent = {
    v: 1,
    op,
    project,
    agent,
    method: 'online',
    operator,
    nonce: toBase64url(randomBytes(32)),
    not_after,
    act: 'reset',
    ...(asked.account ? { account: { ...asked.account, secret: await sourceOf(asked.account.secret) } } : {}),
    ...(asked.vnc ? { vnc: { ...asked.vnc, secret: await sourceOf(asked.vnc.secret) } } : {}),
    reboot: { kind: 'normal', grace_s: asked.grace_s },
  };
  const bytes = intentBytes(intent);
  const [encoded, hash] = [encodeIntent(bytes), await intentHash(bytes)];
  ledger.transaction(() => {
    const before = ledger.intent(op);
    if (before?.proven_at != null) throw new Failure('STATE_CONFLICT', { reason: 'proven' });
    if ((before?.tries ?? 0) >= TRIES_MAX) throw new Failure('FACTOR_LOCKED');
    ledger.putIntent({ op, bytes: encoded, hash, agent, project, operator, not_after });
    ledger.audit({ at: nowS(), kind: 'intent.built', op, operator, data: { hash, agent } });
  });
  const methods = [...new Set(ledger.factors(operator).map(({ kind }) => kind))];
  return { intent: encoded, intent_hash: hash, not_after, methods };
}

async function sourceOf(secret: SecretInput): Promise<NonNullable<ResetIntent['account']>['secret']> {
  if (secret.mode === 'generated') return { mode: 'generated', recipient_jwk: secret.recipient_jwk };
  return { mode: 'typed', sealed_sha256: await sha256Text(secret.sealed) };
}

export async function proveIntent(
  parts: IntentParts,
  { op, intent_hash, operator, proof }: Params<SignerMethods, 'intent.prove'>,
): Promise<Result<SignerMethods, 'intent.prove'>> {
  const { ledger, nowS } = parts;
  const intent = demandProvable(parts, op, intent_hash, operator);
  const factor = factorFor(ledger, operator, proof);
  const step = proof.method === 'totp' ? totpStep(factor, proof.code, nowS()) : null;
  const holds = proof.method === 'totp' ? step !== null : await keySigned(factor, intent.hash, proof.sig);
  // Requests are taken one at a time, so nothing has changed since the checks above.
  const at = nowS();
  if (!holds) throw countWrongTry(parts, intent, proof.method);
  ledger.transaction(() => {
    if (step !== null) ledger.burnTotpStep(operator, step);
    ledger.setFailures(operator, 0);
    const kept = proof.method === 'key' ? JSON.stringify({ kid: proof.kid, sig: proof.sig }) : null;
    ledger.setProven(op, proof.method, at, kept);
    ledger.audit({ at, kind: 'intent.proven', op, operator, data: { hash: intent.hash, method: proof.method } });
  });
  return { method: proof.method, at };
}

/** The operation's newest intent, if this operator may still prove exactly it. */
function demandProvable({ ledger, nowS }: IntentParts, op: string, hash: string, operator: string): StoredIntent {
  const intent = ledger.intent(op);
  if (intent && intent.tries >= TRIES_MAX) throw new Failure('FACTOR_LOCKED');
  if (intent?.hash !== hash || intent.operator !== operator) throw new Failure('AUTHZ_INVALID', { reason: 'intent' });
  if (intent.proven_at !== null) throw new Failure('STATE_CONFLICT', { reason: 'proven' });
  if (nowS() > intent.not_after) throw new Failure('EXPIRED', { reason: 'intent' });
  if (ledger.failures(operator) >= FAILURES_MAX) throw new Failure('FACTOR_LOCKED', { reason: 'operator' });
  return intent;
}

function factorFor(ledger: SignerLedger, operator: string, proof: Proof): Factor {
  const factor = ledger
    .factors(operator)
    .find(({ kind, kid }) => kind === proof.method && (proof.method === 'totp' || kid === proof.kid));
  if (!factor) throw new Failure('FACTOR_UNKNOWN', { method: proof.method });
  return factor;
}

function countWrongTry({ ledger, nowS }: IntentParts, intent: StoredIntent, method: FactorKind): Failure {
  const { op, operator } = intent;
  const tries = intent.tries + 1;
  ledger.transaction(() => {
    ledger.setTries(op, tries);
    ledger.setFailures(operator, ledger.failures(operator) + 1);
    ledger.audit({ at: nowS(), kind: 'factor.refused', op, operator, data: { method, tries } });
  });
  return new Failure('FACTOR_REFUSED', { left: TRIES_MAX - tries });
}

export function intentStatus(
  { ledger }: IntentParts,
  { op }: Params<SignerMethods, 'intent.status'>,
): Result<SignerMethods, 'intent.status'> {
  const intent = ledger.intent(op);
  const proven =
    intent?.method != null && intent.proven_at !== null ? { method: intent.method, at: intent.proven_at } : null;
  return { intent_hash: intent?.hash ?? null, proven, locked: (intent?.tries ?? 0) >= TRIES_MAX };
}
