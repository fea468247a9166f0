// From verified bytes to an accepted order: every rule about a command that needs no look at the machine, in one visible
// order. What comes before (size, type, key, signature, canonical form) is `protocol/token.ts`.

import type { JsonValue } from '../../protocol/canonical.ts';
import { parseCanonical } from '../../protocol/canonical.ts';
import { type Command, command as commandSchema } from '../../protocol/command.ts';
import { Failure } from '../../protocol/failure.ts';
import { type CancelIntent, type Intent, readIntent, targetOf, type WorkIntent } from '../../protocol/intent.ts';
import { fromBase64url } from '../../protocol/keys.ts';
import { INTENT_TTL_S_MAX } from '../../protocol/limits.ts';
import { refuseReroot } from '../../protocol/reroot.ts';
import { assertRootValid, type RootPayload, roleKeys } from '../../protocol/root.ts';
import { parseSchema } from '../../protocol/schema.ts';
import type { VerifiedToken } from '../../protocol/token.ts';

/** Who this executor is and what it waits for. */
export type Addressee = Readonly<{
  agent: string;
  project: string;
  /** The join token that this machine enrolled with; absent where that was before it was kept. */
  joinSha256?: string | undefined;
  root: RootPayload;
  op: string;
  cn: string;
  /** Past its time to live by the monotonic clock. */
  expired: boolean;
}>;

/** The intent's bytes with their hash, as they came beside a command that names the hash alone. */
export type CarriedIntent = Readonly<{ bytes: string; sha256: string }>;

/** `bytes` are the intent's, base64url: what was proven. */
export type Order<I extends Intent> = Readonly<{ command: Command; intent: I; bytes: string }>;

/** Passwords that this executor may set, as far as the command's own words go. */
export function authoriseWork(token: VerifiedToken, addressee: Addressee, carried?: CarriedIntent): Order<WorkIntent> {
  const { command, intent, bytes } = authorise(token, addressee, carried);
  if (intent.act === 'cancel') throw new Failure('SCHEMA_INVALID', { field: 'intent.act' });
  if (command.authz.method === 'session') throw new Failure('AUTHZ_INVALID', { reason: 'no_factor' });
  demandMeant(intent, addressee, command.iat);
  return { command, intent, bytes };
}

/** A reset not before its time, and first passwords for the one machine that they were proven for. */
function demandMeant(intent: WorkIntent, { joinSha256 }: Addressee, iat: number): void {
  if (intent.act === 'reset') {
    if ((intent.not_before ?? 0) > iat) throw new Failure('NOT_YET_VALID', { reason: 'intent' });
  } else if (intent.join_sha256 !== joinSha256) throw new Failure('AUTHZ_INVALID', { reason: 'join_token' });
}

/** A cancel of the operation that this machine is carrying out. */
export function authoriseCancel(token: VerifiedToken, addressee: Addressee): Order<CancelIntent> {
  const { command, intent, bytes } = authorise(token, addressee, undefined);
  if (intent.act !== 'cancel') throw new Failure('SCHEMA_INVALID', { field: 'intent.act' });
  return { command, intent, bytes };
}

function authorise(
  token: VerifiedToken,
  { agent, project, root, op, cn, expired }: Addressee,
  carried: CarriedIntent | undefined,
): Order<Intent> {
  const claimed = asObject(token.payload);
  if (claimed['v'] !== 1) throw new Failure('VERSION_UNSUPPORTED', { have: 1 });
  if (claimed['iss'] !== root.iss) throw new Failure('ISS_MISMATCH');
  if (claimed['aud'] !== agent) throw new Failure('AUD_MISMATCH');
  // The command's own time, signed by the command key: the guest's clock may be years off, and the link is not trusted.
  const iat = claimed['iat'];
  if (typeof iat !== 'number') throw new Failure('SCHEMA_INVALID', { field: 'iat' });
  assertRootValid(root, iat);
  roleKeys(root, 'command', iat)(token.header.kid);
  refuseReroot(token.payload);
  refuseReroot(looseIntent(claimed['intent'] ?? carried?.bytes));
  const command = parseSchema(commandSchema, token.payload);
  const bytes = intentOf(command, carried);
  const intent = readIntent(bytes);
  if (command.cn !== cn || command.op !== op || expired) throw new Failure('NONCE_UNKNOWN');
  if (intent.op !== command.op) throw new Failure('AUTHZ_INVALID', { reason: 'op' });
  if (targetOf(intent, command.index) !== agent) throw new Failure('AUTHZ_INVALID', { reason: 'agent' });
  if (intent.project !== project) throw new Failure('AUTHZ_INVALID', { reason: 'project' });
  if (intent.operator !== command.authz.operator) throw new Failure('AUTHZ_INVALID', { reason: 'operator' });
  if (intent.not_after > command.iat + INTENT_TTL_S_MAX)
    throw new Failure('SCHEMA_INVALID', { field: 'intent.not_after' });
  if (intent.not_after < command.iat) throw new Failure('EXPIRED', { reason: 'intent' });
  return { command, intent, bytes };
}

/** In the command itself; or, over many machines, beside it and under the hash that the command names. */
function intentOf({ intent, intent_sha256 }: Command, carried: CarriedIntent | undefined): string {
  if (intent !== undefined && carried === undefined) return intent;
  if (carried && carried.sha256 === intent_sha256) return carried.bytes;
  throw new Failure('AUTHZ_INVALID', { reason: 'intent_sha256' });
}

/** The intent's bytes as JSON, before any schema; where they are not that, the schema will say so in its turn. */
function looseIntent(encoded: JsonValue | undefined): JsonValue {
  if (typeof encoded !== 'string') return null;
  return parseCanonical(fromBase64url(encoded));
}

function asObject(value: JsonValue): { [key: string]: JsonValue } {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Failure('SCHEMA_INVALID', { field: '' });
  return value;
}
