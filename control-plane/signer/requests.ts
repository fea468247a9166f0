// What may be asked of the signer, on its two sockets: lines of JSON, strict both ways. Nothing here can carry a plaintext
// password or hand out a key.

import { z } from 'zod';
import { keyProof } from '../../protocol/command.ts';
import { GRACE_S_MAX, INTENT_TTL_S_MAX } from '../../protocol/limits.ts';
import {
  accountName,
  agentId,
  bytes32,
  compactToken,
  counter,
  ed25519Jwk,
  operationId,
  operatorName,
  projectName,
  sealedSecret,
  vncServerId,
  x25519Jwk,
} from '../../protocol/schema.ts';

/** Largest request or answer, in bytes of its line. */
export const LINE_BYTES_MAX = 65_536;

const secretInput = z.discriminatedUnion('mode', [
  z.strictObject({ mode: z.literal('typed'), sealed: sealedSecret }),
  z.strictObject({ mode: z.literal('generated'), recipient_jwk: x25519Jwk }),
]);
const sealedPair = z.strictObject({ account: z.optional(sealedSecret), vnc: z.optional(sealedSecret) });
const method = z.enum(['totp', 'key']);
const seconds = z.number().int().min(0);

export const proof = z.discriminatedUnion('method', [
  z.strictObject({ method: z.literal('totp'), code: z.string().regex(/^[0-9]{6}$/) }),
  z.strictObject({ method: z.literal('key'), ...keyProof.shape }),
]);
export type Proof = z.infer<typeof proof>;

/** Asked by the control plane, on `signer.sock`. */
export const signerMethods = {
  /** Writes the intent's bytes; a new one voids the operation's previous one. */
  'intent.build': {
    params: z.strictObject({
      op: operationId,
      project: projectName,
      agent: agentId,
      operator: operatorName,
      account: z
        .strictObject({
          name: z.nullable(accountName),
          uid: z.nullable(counter),
          unlock: z.boolean(),
          secret: secretInput,
        })
        .optional(),
      vnc: z.strictObject({ server: z.nullable(vncServerId), restart: z.boolean(), secret: secretInput }).optional(),
      grace_s: z.number().int().min(0).max(GRACE_S_MAX),
      valid_s: z.number().int().min(60).max(INTENT_TTL_S_MAX),
    }),
    result: z.strictObject({
      intent: z.string(),
      intent_hash: bytes32,
      not_after: seconds,
      methods: z.array(method),
    }),
  },
  /** Checks a factor on exactly this intent and burns it. */
  'intent.prove': {
    params: z.strictObject({ op: operationId, intent_hash: bytes32, operator: operatorName, proof }),
    result: z.strictObject({ method, at: seconds }),
  },
  /** What became of an operation's newest intent: lets a caller that crashed in between learn that it was proven. */
  'intent.status': {
    params: z.strictObject({ op: operationId }),
    result: z.strictObject({
      intent_hash: z.nullable(bytes32),
      proven: z.nullable(z.strictObject({ method, at: seconds })),
      locked: z.boolean(),
    }),
  },
  /**
   * Signs the command for a proven, living intent and the executor that says `ready`. Every command has a nonce of its
   * own. Where one was signed before, the caller says why that one cannot act any more, and the audit keeps its word.
   */
  'command.mint': {
    params: z.strictObject({
      op: operationId,
      intent_hash: bytes32,
      /** The machine's `ek` from the enrolment record, with which `ready` must be signed. */
      ek: ed25519Jwk,
      ready: compactToken,
      sealed: sealedPair.nullable(),
      previous: z.enum(['never_sent', 'executor_gone']),
    }),
    result: z.strictObject({ token: compactToken, cmd_sha256: bytes32, cn: bytes32, exp: seconds }),
  },
  /** Signs a cancel for the executor of the operation's newest command. */
  'cancel.mint': {
    params: z.strictObject({ op: operationId, operator: operatorName }),
    result: z.strictObject({ token: compactToken, cmd_sha256: bytes32 }),
  },
} as const;

/** Asked on the host, on `admin.sock`. */
export const adminMethods = {
  /**
   * Registers a factor: with `key`, that public key (for automation); without, a new TOTP secret whose `otpauth:` address
   * is answered this once. Throws `ALREADY_EXISTS` where the operator has that factor.
   */
  'operator.add': {
    params: z.strictObject({ name: operatorName, key: z.optional(ed25519Jwk) }),
    result: z.strictObject({ name: operatorName, totp_uri: z.string().nullable(), kid: z.nullable(bytes32) }),
  },
  'operator.list': {
    params: z.strictObject({}),
    result: z.strictObject({
      operators: z.array(
        z.strictObject({
          name: operatorName,
          factors: z.array(z.strictObject({ kind: method, kid: z.nullable(bytes32), added_at: seconds })),
        }),
      ),
    }),
  },
  /** Removes a factor; with the last tries' count, so a locked operator starts afresh. */
  'factor.remove': {
    params: z.strictObject({ name: operatorName, kind: method, kid: z.optional(bytes32) }),
    result: z.strictObject({}),
  },
} as const;

export type SignerMethods = typeof signerMethods;
export type AdminMethods = typeof adminMethods;
export type Params<M, N extends keyof M> = M[N] extends { params: infer P extends z.ZodType } ? z.input<P> : never;
export type Result<M, N extends keyof M> = M[N] extends { result: infer R extends z.ZodType } ? z.output<R> : never;

export const requestLine = z.strictObject({
  id: z.number().int().min(0),
  method: z.string().max(40),
  params: z.unknown(),
});

export const responseLine = z.union([
  z.strictObject({ id: z.number().int(), result: z.unknown() }),
  z.strictObject({
    id: z.number().int(),
    error: z.strictObject({
      code: z.string(),
      details: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
    }),
  }),
]);
