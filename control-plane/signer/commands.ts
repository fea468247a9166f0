// Signing commands: only for a proven, living intent and an executor that says in its machine's signature that it waits
// for this operation. Besides this, the command key seals the audit's rows (notary.ts), and nothing else.

import { canonicalBytes } from '../../protocol/canonical.ts';
import type { Command, OperatorProof } from '../../protocol/command.ts';
import { command as commandSchema } from '../../protocol/command.ts';
import { Failure } from '../../protocol/failure.ts';
import { encodeIntent, intentBytes, readIntent, targetOf, type WorkIntent } from '../../protocol/intent.ts';
import { sha256Text, thumbprint, toBase64url } from '../../protocol/keys.ts';
import { COMMAND_TTL_S, INTENT_TTL_S } from '../../protocol/limits.ts';
import type { RootPayload } from '../../protocol/root.ts';
import { type Ed25519Jwk, parseSchema } from '../../protocol/schema.ts';
import { type Ready, ready as readySchema } from '../../protocol/session.ts';
import { onlyKey, signTokenWith, verifyToken } from '../../protocol/token.ts';
import type { CommandInForce, CommandKey } from './command-authority.ts';
import { awaited } from './intents.ts';
import type { StoredIntent } from './ledger.ts';
import { demandLeft, spend } from './limits.ts';
import { ekOf, joinOf } from './machine-records.ts';
import type { SignerParts } from './parts.ts';
import { actOf } from './release.ts';
import type { Params, Result, SignerMethods } from './requests.ts';

/** Commands that one intent may have, one after the other: a line that breaks more often than this is not a line. */
export const COMMANDS_MAX = 16;

type MintParams = Params<SignerMethods, 'command.mint'>;

export async function mintCommand(
  parts: SignerParts,
  asked: MintParams,
): Promise<Result<SignerMethods, 'command.mint'>> {
  const { ledger, nowS } = parts;
  const { op } = asked;
  const inForce = await parts.authority.current();
  const stored = demandProven(parts, inForce.root, op, asked.intent_hash);
  const intent = workOf(stored);
  const agent = targetOf(intent, asked.index);
  if (agent === null) throw new Failure('AUTHZ_INVALID', { reason: 'target' });
  const ready = await readReady(asked.ready, ekOf(ledger, agent));
  if (ready.op !== op || ready.agent !== agent) throw new Failure('AUTHZ_INVALID', { reason: 'ready' });
  const before = ledger.commandCount(op, agent);
  if (before >= COMMANDS_MAX) throw new Failure('OP_CONFLICT', { reason: 'signed_too_often' });
  if (ledger.nonceUsed(ready.cn)) throw new Failure('NONCE_UNKNOWN', { reason: 'used' });
  const sealed = await demandSealed(intent, asked.sealed);
  const iat = nowS();
  demandMeant(parts, intent, agent);
  demandLeft(ledger, 'signature', agent, iat);
  const exp = Math.min(iat + COMMAND_TTL_S, inForce.root.expires);
  const signed = await sign(inForce, stored, { agent, index: asked.index, cn: ready.cn, iat, exp, sealed });
  ledger.transaction(() => {
    spend(ledger, 'signature', agent, iat);
    ledger.addCommand({ cn: ready.cn, op, agent, cmdSha256: signed.cmd_sha256, at: iat });
    const again = before > 0 ? { again: asked.previous } : {};
    const data = { hash: stored.hash, cmd_sha256: signed.cmd_sha256, token: signed.token, ...again };
    ledger.audit({ at: iat, kind: 'command.signed', op, operator: stored.operator, data });
  });
  return { ...signed, cn: ready.cn, exp };
}

function demandProven(
  { ledger, nowS }: SignerParts,
  root: RootPayload,
  op: string,
  hash: string,
): StoredIntent & { proven_at: number } {
  const stored = ledger.intent(op);
  if (stored?.hash !== hash || stored.proven_at === null) throw new Failure('AUTHZ_INVALID', { reason: 'not_proven' });
  if (stored.void !== null) throw new Failure(stored.void, { void: true });
  if (awaited(stored) !== null) throw new Failure('AUTHZ_INVALID', { reason: 'second_person' });
  if (nowS() > stored.not_after) throw new Failure('EXPIRED', { reason: 'intent' });
  if (nowS() >= root.expires) throw new Failure('ROOT_EXPIRED', { version: root.version });
  return { ...stored, proven_at: stored.proven_at };
}

async function readReady(token: string, ek: Ed25519Jwk): Promise<Ready> {
  const { payload } = await verifyToken(token, 'lk-ready+jws', onlyKey(await thumbprint(ek), ek));
  return parseSchema(readySchema, payload);
}

function workOf({ bytes }: StoredIntent): WorkIntent {
  if (!['reset', 'initialise'].includes(String(actOf(bytes)))) throw new Failure('AUTHZ_INVALID', { reason: 'act' });
  return readIntent(bytes) as WorkIntent;
}

/** A reset not before its time, and first passwords for the machine that enrolled with the token that was proven. */
function demandMeant({ ledger, nowS }: SignerParts, intent: WorkIntent, agent: string): void {
  if (intent.act === 'reset') {
    if ((intent.not_before ?? 0) > nowS()) throw new Failure('NOT_YET_VALID', { reason: 'intent' });
  } else if (joinOf(ledger, agent) !== intent.join_sha256) throw new Failure('AUTHZ_INVALID', { reason: 'join_token' });
}

/** The sealed secrets that go along are exactly those whose hashes were proven. */
async function demandSealed(intent: WorkIntent, sealed: MintParams['sealed']): Promise<MintParams['sealed']> {
  for (const slot of ['account', 'vnc'] as const) {
    const source = intent[slot]?.secret;
    const given = sealed?.[slot];
    const wanted = source !== undefined && source !== 'same' && source.mode === 'typed' ? source.sealed_sha256 : null;
    if ((given === undefined ? null : await sha256Text(given)) !== wanted) {
      throw new Failure('AUTHZ_INVALID', { reason: `sealed_${slot}` });
    }
  }
  return sealed;
}

type Addressed = Readonly<{
  agent: string;
  index: number | undefined;
  cn: string;
  iat: number;
  exp: number;
  sealed: MintParams['sealed'];
}>;

async function sign(
  { key, root }: CommandInForce,
  { op, bytes, hash, operator, method, proven_at, proof }: StoredIntent & { proven_at: number },
  { agent, index, cn, iat, exp, sealed }: Addressed,
): Promise<{ token: string; cmd_sha256: string }> {
  if (method === null) throw new Failure('AUTHZ_INVALID', { reason: 'not_proven' });
  const shown: { proof?: OperatorProof } = proof === null ? {} : { proof: JSON.parse(proof) as OperatorProof };
  const payload: Command = parseSchema(commandSchema, {
    v: 1,
    iss: root.iss,
    aud: agent,
    op,
    cn,
    iat,
    exp,
    root_ver: root.version,
    // A list would not fit: it comes beside the command, which names its hash.
    ...(index === undefined ? { intent: bytes } : { intent_sha256: hash, index }),
    authz: { operator, method, at: proven_at, ...shown },
    ...(sealed && (sealed.account || sealed.vnc) ? { sealed } : {}),
  });
  return signPayload(payload, key);
}

async function signPayload(payload: Command, key: CommandKey): Promise<{ token: string; cmd_sha256: string }> {
  const token = signTokenWith('lk-command+jws', payload, key);
  return { token, cmd_sha256: await sha256Text(canonicalBytes(payload)) };
}

/** A cancel needs a signed-in operator and no factor; it names the nonce of the executor at work. */
export async function mintCancel(
  { ledger, authority, randomBytes, nowS }: SignerParts,
  { op, operator, agent: named }: Params<SignerMethods, 'cancel.mint'>,
): Promise<Result<SignerMethods, 'cancel.mint'>> {
  const stored = ledger.intent(op);
  // Of a list, the one that is named and was commanded.
  const agent = stored?.agent || (named ?? '');
  const last = ledger.lastCommand(op, agent);
  if (!stored || !last) throw new Failure('STATE_CONFLICT', { reason: 'nothing_signed' });
  const iat = nowS();
  const subject = `${op} ${agent}`;
  demandLeft(ledger, 'cancel', subject, iat);
  const { key, root } = await authority.current();
  const bytes = intentBytes({
    v: 1,
    op,
    project: stored.project,
    agent,
    method: 'online',
    operator,
    nonce: toBase64url(randomBytes(32)),
    not_after: iat + INTENT_TTL_S,
    act: 'cancel',
  });
  const payload: Command = parseSchema(commandSchema, {
    v: 1,
    iss: root.iss,
    aud: agent,
    op,
    cn: last.cn,
    iat,
    exp: iat + COMMAND_TTL_S,
    root_ver: root.version,
    intent: encodeIntent(bytes),
    authz: { operator, method: 'session', at: iat },
  });
  const signed = await signPayload(payload, key);
  const { cmd_sha256, token } = signed;
  ledger.transaction(() => {
    spend(ledger, 'cancel', subject, iat);
    ledger.audit({ at: iat, kind: 'cancel.signed', op, operator, data: { cmd_sha256, token } });
  });
  return signed;
}
