// What link and gateway say to each other: frames, and inside some of them a signed token. A frame is one WebSocket text
// message holding one JSON object named by `t`. Unsigned frames carry no authority.

import * as z from 'zod/mini';
import { type JsonValue, parseCanonical } from './canonical.ts';
import { Failure } from './failure.ts';
import { FRAME_BYTES_MAX, READY_TTL_S } from './limits.ts';
import { signedRoot } from './root.ts';
import {
  accountName,
  agentId,
  bootId,
  bytes32,
  carriedIntent,
  codeName,
  compactToken,
  counter,
  ed25519Jwk,
  installationId,
  operationId,
  parseSchema,
  projectName,
  receiptToken,
  seconds,
  vncServerId,
  x25519Jwk,
} from './schema.ts';

const shortText = z.string().check(z.maxLength(120));

/** Facts about the machine, for people to look at. Nothing decides by them. */
export const facts = z.strictObject({
  os: shortText,
  kernel: shortText,
  arch: shortText,
  virtualisation: shortText,
  memory_bytes: counter,
  uptime_s: counter,
  boot: bootId,
  hostname: shortText,
  agent_version: shortText,
});
export type Facts = z.infer<typeof facts>;

// Tokens' payloads.

/** `lk-enrol+jws`, signed by the new `ik`: asks for an identity with a join token, and proves both keys. */
export const enrol = z.strictObject({
  v: z.literal(1),
  join_token: z.string().check(z.regex(/^lkj_[A-Za-z0-9_-]{43}$/)),
  sn: bytes32,
  /** The newest root that the machine has; the first one where it is absent. */
  root_ver: z.optional(z.int().check(z.gte(1))),
  nonce: bytes32,
  ik: ed25519Jwk,
  ek: ed25519Jwk,
  /** `lk-enrol-ek+jws` by `ek` over `enrolEk`. */
  ek_proof: compactToken,
  machine_sha256: bytes32,
  /** The platform's identity of the machine, hashed; absent where it has none. */
  instance_sha256: z.optional(bytes32),
  facts: z.nullable(facts),
});
export type Enrol = z.infer<typeof enrol>;

/** `lk-enrol-ek+jws`: the executor's key vouches for the link's in this very request. */
export const enrolEk = z.strictObject({ v: z.literal(1), ik_kid: bytes32, nonce: bytes32 });

/** `lk-enrolled+jws`, signed by a session key. */
export const enrolled = z.strictObject({
  v: z.literal(1),
  iss: installationId,
  agent: agentId,
  project: projectName,
  nonce: bytes32,
  now: seconds,
});
export type Enrolled = z.infer<typeof enrolled>;

/** `lk-hello+jws`, signed by `ik` over the server's challenge. */
export const hello = z.strictObject({
  v: z.literal(1),
  agent: agentId,
  sn: bytes32,
  an: bytes32,
  vmin: counter,
  vmax: counter,
  root_ver: z.int().check(z.gte(1)),
  boot: bootId,
  /** How many welcomes this identity has stored. */
  ctr: counter,
  /** Head of the executor's journal; `null` where the executor did not answer. */
  jhead: z.nullable(bytes32),
  /** The connection's own value (RFC 9266, tls-exporter); `null` where there is no TLS. */
  cb: z.nullable(bytes32),
  agent_version: shortText,
});
export type Hello = z.infer<typeof hello>;

/** `lk-welcome+jws`, signed by a session key over the agent's nonce. */
export const welcome = z.strictObject({
  v: z.literal(1),
  agent: agentId,
  an: bytes32,
  sid: bytes32,
  version: counter,
  now: seconds,
  min_root: z.int().check(z.gte(1)),
  ctr: counter,
  /** The hello's `cb`, which the gateway found to be its own; there where the root demands it. */
  cb: z.optional(bytes32),
});
export type Welcome = z.infer<typeof welcome>;

export const readyAccount = z.strictObject({
  name: accountName,
  uid: counter,
  state: z.enum(['active', 'no_password', 'locked', 'expired']),
});
export const readyVnc = z.strictObject({
  server: vncServerId,
  kind: z.enum(['vncauth', 'login', 'account']),
  effective: counter,
  /** Whose process it is. */
  uid: z.optional(counter),
  /** It reads its password at its start alone, so that a new one needs a restart. */
  reads: z.optional(z.literal('start')),
  /** It has a display of its own: programs that run there end with it. */
  display: z.optional(z.literal('own')),
});

/** `lk-ready+jws`, signed by `ek`: an executor waits for the command of this operation. */
export const ready = z.strictObject({
  v: z.literal(1),
  op: operationId,
  agent: agentId,
  cn: bytes32,
  seal: x25519Jwk,
  ttl: z.literal(READY_TTL_S),
  boot: bootId,
  /** `null` where the account cannot be resolved; `account_code` then says why. */
  account: z.nullable(readyAccount),
  account_code: z.nullable(codeName),
  vnc: z.array(readyVnc).check(z.maxLength(16)),
  warnings: z.array(codeName).check(z.maxLength(16)),
});
export type Ready = z.infer<typeof ready>;

/** `lk-ack+jws`, signed by a session key: all receipts of `op` up to `n` are stored. */
export const ack = z.strictObject({ v: z.literal(1), agent: agentId, op: operationId, n: z.int().check(z.gte(1)) });
export type Ack = z.infer<typeof ack>;

// Frames.

/** From the gateway to the link. */
export const downFrame = z.discriminatedUnion('t', [
  z.strictObject({ t: z.literal('challenge'), sn: bytes32 }),
  z.strictObject({ t: z.literal('enrolled'), token: compactToken }),
  /** The next version of the root, in their order: before the answer to an enrolment or hello, and whenever one is published. */
  z.strictObject({ t: z.literal('root'), document: signedRoot }),
  z.strictObject({ t: z.literal('welcome'), token: compactToken }),
  z.strictObject({ t: z.literal('prepare'), op: operationId, account: z.nullable(accountName) }),
  z.strictObject({
    t: z.literal('command'),
    op: operationId,
    token: compactToken,
    intent: z.optional(carriedIntent),
  }),
  z.strictObject({ t: z.literal('cancel'), op: operationId, token: compactToken }),
  z.strictObject({ t: z.literal('ack'), token: compactToken }),
  /** From version 2 on: can this machine be reset now? `now` is server time. */
  z.strictObject({ t: z.literal('preflight'), nonce: bytes32, now: seconds }),
  z.strictObject({ t: z.literal('error'), code: codeName }),
]);
export type DownFrame = z.infer<typeof downFrame>;

/** From the link to the gateway. */
export const upFrame = z.discriminatedUnion('t', [
  z.strictObject({ t: z.literal('enrol'), token: compactToken }),
  z.strictObject({ t: z.literal('hello'), token: compactToken }),
  z.strictObject({ t: z.literal('hello_ok'), ctr: counter }),
  z.strictObject({ t: z.literal('ready'), op: operationId, token: compactToken }),
  z.strictObject({ t: z.literal('receipt'), token: receiptToken }),
  /** The link's or executor's unsigned word that it cannot do what was asked; moves nothing by itself. */
  z.strictObject({ t: z.literal('refused'), op: operationId, code: codeName }),
  /** All unacknowledged receipts of this connection's start were sent; `open` names the operation still under way. */
  z.strictObject({ t: z.literal('synced'), open: z.nullable(operationId) }),
  z.strictObject({ t: z.literal('heartbeat'), uptime_s: counter }),
  z.strictObject({ t: z.literal('facts'), facts }),
  z.strictObject({ t: z.literal('preflight'), token: receiptToken }),
  /** The unsigned word that there is no answer to that question. */
  z.strictObject({ t: z.literal('no_preflight'), nonce: bytes32, code: codeName }),
]);
export type UpFrame = z.infer<typeof upFrame>;

/** Reads a frame from the gateway; throws `TOKEN_MALFORMED`, `NONCANONICAL` or `SCHEMA_INVALID`. */
export function parseDownFrame(bytes: Uint8Array): DownFrame {
  return parseSchema(downFrame, parseBounded(bytes));
}

/** Reads a frame from a link; throws as `parseDownFrame` does. */
export function parseUpFrame(bytes: Uint8Array): UpFrame {
  return parseSchema(upFrame, parseBounded(bytes));
}

function parseBounded(bytes: Uint8Array): JsonValue {
  if (bytes.length > FRAME_BYTES_MAX) throw new Failure('TOKEN_MALFORMED', { reason: 'size' });
  return parseCanonical(bytes);
}

export function encodeFrame(frame: DownFrame | UpFrame): string {
  return JSON.stringify(frame);
}
