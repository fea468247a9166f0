// The intent: the exact bytes that an operator's proof covers. What is to be done stands here and nowhere else; a command
// carries these bytes unchanged.

import { canonicalBytes, parseCanonical } from './canonical.ts';
import { Failure } from './failure.ts';
import { fromBase64url, sha256Text, toBase64url } from './keys.ts';
import { GRACE_S_MAX } from './limits.ts';
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
  z,
} from './schema.ts';

/** Where the secret comes from: typed by the operator and sealed to the executor, or generated there and sealed to a recipient. */
export const secretSource = z.discriminatedUnion('mode', [
  z.strictObject({ mode: z.literal('typed'), sealed_sha256: bytes32 }),
  z.strictObject({ mode: z.literal('generated'), recipient_jwk: x25519Jwk }),
]);
export type SecretSource = z.infer<typeof secretSource>;

const common = {
  v: z.literal(1),
  op: operationId,
  project: projectName,
  agent: agentId,
  method: z.literal('online'),
  operator: operatorName,
  nonce: bytes32,
  not_after: seconds,
};

const accountPart = z.strictObject({
  /** `null`: the default administrator. */
  name: z.nullable(accountName),
  /** The uid that `ready` named; `null` where the agent was offline. Another uid at the time of acting is refused. */
  uid: z.nullable(counter),
  secret: secretSource,
  unlock: z.boolean(),
});

const vncPart = z.strictObject({
  /** `null`: the configured server, or the only one. */
  server: z.nullable(vncServerId),
  secret: secretSource,
  /** Consent to restart the VNC server by itself; the machine's reboot needs none. */
  restart: z.boolean(),
});

const rebootPart = z.strictObject({
  kind: z.literal('normal'),
  grace_s: z.int().check(z.nonnegative(), z.lte(GRACE_S_MAX)),
});

export const resetIntent = z.strictObject({
  ...common,
  act: z.literal('reset'),
  account: z.optional(accountPart),
  vnc: z.optional(vncPart),
  reboot: rebootPart,
});
export const cancelIntent = z.strictObject({ ...common, act: z.literal('cancel') });
export const intent = z.discriminatedUnion('act', [resetIntent, cancelIntent]);

export type ResetIntent = z.infer<typeof resetIntent>;
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

function demandWork(value: Intent): void {
  if (value.act === 'reset' && !value.account && !value.vnc) {
    throw new Failure('SCHEMA_INVALID', { field: 'account', reason: 'nothing_to_reset' });
  }
}
