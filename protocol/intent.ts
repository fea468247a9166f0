// The intent: the exact bytes that an operator's proof covers. What is to be done stands here and nowhere else; a command
// carries these bytes unchanged.

import * as z from 'zod/mini';
import { canonicalBytes, parseCanonical } from './canonical.ts';
import { Failure } from './failure.ts';
import { fromBase64url, sha256Text, toBase64url } from './keys.ts';
import { GRACE_S_MAX, TARGETS_MAX } from './limits.ts';
import {
  accountName,
  agentId,
  bytes32,
  counter,
  operationId,
  operatorName,
  parseSchema,
  projectName,
  seconds,
  vncServerId,
  x25519Jwk,
} from './schema.ts';

export const typedSource = z.strictObject({ mode: z.literal('typed'), sealed_sha256: bytes32 });
export const generatedSource = z.strictObject({ mode: z.literal('generated'), recipient_jwk: x25519Jwk });

/** Where the secret comes from: typed by the operator and sealed to the executor, or generated there and sealed to a recipient. */
export const secretSource = z.discriminatedUnion('mode', [typedSource, generatedSource]);
export type SecretSource = z.infer<typeof secretSource>;

const opening = {
  v: z.literal(1),
  op: operationId,
  project: projectName,
};
const ending = {
  method: z.literal('online'),
  operator: operatorName,
  nonce: bytes32,
  not_after: seconds,
};

const accountMembers = {
  /** `null`: the default administrator. */
  name: z.nullable(accountName),
  /** The uid that `ready` named; `null` where the agent was offline. Another uid at the time of acting is refused. */
  uid: z.nullable(counter),
  secret: secretSource,
  unlock: z.boolean(),
};
const accountPart = z.strictObject(accountMembers);

const vncMembers = {
  /** `null`: the configured server, or the only one. */
  server: z.nullable(vncServerId),
  secret: secretSource,
  /** Consent to restart the VNC server by itself; the machine's reboot needs none. */
  restart: z.boolean(),
};
const vncPart = z.strictObject(vncMembers);

const rebootPart = z.strictObject({
  kind: z.literal('normal'),
  grace_s: z.int().check(z.nonnegative(), z.lte(GRACE_S_MAX)),
});

export const resetIntent = z.strictObject({
  ...opening,
  /** The machine. This or `targets`, never both. */
  agent: z.optional(agentId),
  /** The machines of a bulk submission, each once; a command names its own by its place here. */
  targets: z.optional(z.array(agentId).check(z.minLength(1), z.maxLength(TARGETS_MAX))),
  ...ending,
  act: z.literal('reset'),
  account: z.optional(accountPart),
  vnc: z.optional(vncPart),
  reboot: rebootPart,
  /** Not before this: with `not_after`, the window in which the machine may be sent its command. */
  not_before: z.optional(seconds),
});

/**
 * The first passwords of a machine to come, both together. It was proven before there was a machine, so it names the join
 * token: only what enrolled with exactly that one may be told it. Nothing is typed, for there is no executor to seal to.
 */
export const initialiseIntent = z.strictObject({
  ...opening,
  agent: agentId,
  join_sha256: bytes32,
  ...ending,
  act: z.literal('initialise'),
  account: z.strictObject({ ...accountMembers, uid: z.null(), secret: generatedSource }),
  /** `same`: the account's password. */
  vnc: z.optional(z.strictObject({ ...vncMembers, secret: z.union([generatedSource, z.literal('same')]) })),
  reboot: rebootPart,
});
export const cancelIntent = z.strictObject({ ...opening, agent: agentId, ...ending, act: z.literal('cancel') });
export const intent = z.discriminatedUnion('act', [resetIntent, initialiseIntent, cancelIntent]);

export type ResetIntent = z.infer<typeof resetIntent>;
export type InitialiseIntent = z.infer<typeof initialiseIntent>;
/** An intent by which passwords are set. */
export type WorkIntent = ResetIntent | InitialiseIntent;
export type CancelIntent = z.infer<typeof cancelIntent>;
export type Intent = z.infer<typeof intent>;

/** Serialises an intent once; these bytes are what is proven, signed and obeyed. */
export function intentBytes(value: Intent): Uint8Array {
  demandWork(value);
  return canonicalBytes(parseSchema(intent, value));
}

/** Reads an intent's bytes strictly. */
export function readIntent(encoded: string): Intent {
  const value = parseSchema(intent, parseCanonical(fromBase64url(encoded)));
  demandWork(value);
  return value;
}

/** SHA-256 of the intent's bytes in base64url: a passkey's challenge, and what a `key` proof signs. */
export function intentHash(bytes: Uint8Array): Promise<string> {
  return sha256Text(bytes);
}

export const encodeIntent = toBase64url;

/** The machine that a command over this intent addresses, by its `index` where it is one of many; `null` where none is. */
export function targetOf(value: Intent, index: number | undefined): string | null {
  if (value.act !== 'reset' || value.targets === undefined) return index === undefined ? (value.agent ?? null) : null;
  return index === undefined ? null : (value.targets[index] ?? null);
}

/** What the schema cannot say: there is something to do, and on machines that are named in one way. */
function demandWork(value: Intent): void {
  const wrong = (field: string, reason: string) => new Failure('SCHEMA_INVALID', { field, reason });
  if (value.act !== 'reset') return;
  const { agent, targets, account, vnc, not_before, not_after } = value;
  if (not_before !== undefined && not_before >= not_after) throw wrong('not_before', 'no_window');
  if (!account && !vnc) throw wrong('account', 'nothing_to_reset');
  if ((agent === undefined) === (targets === undefined)) throw wrong('agent', 'one_of_agent_and_targets');
  if (!targets) return;
  if (new Set(targets).size !== targets.length) throw wrong('targets', 'twice');
  // What is typed is sealed to one executor, and a uid is that of one machine.
  if (account?.secret.mode === 'typed' || vnc?.secret.mode === 'typed') throw wrong('targets', 'typed');
  if (account && account.uid !== null) throw wrong('account.uid', 'targets');
}
