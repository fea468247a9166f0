// The command: the signer's word to one executor that an intent was proven. It adds freshness and the sealed secrets, and
// says nothing of what is to be done that the intent does not say.

import * as z from 'zod/mini';
import { COMMAND_TTL_S, TARGETS_MAX } from './limits.ts';
import {
  agentId,
  base64urlText,
  bytes32,
  bytes64,
  installationId,
  operationId,
  operatorName,
  sealedSecret,
  seconds,
} from './schema.ts';

/** Ways to prove an intent. */
export const factorMethods = ['totp', 'email', 'passkey', 'key', 'recovery'] as const;
export type FactorMethod = (typeof factorMethods)[number];

/** How the operator was verified. `session`: signed in, no factor; enough for a cancel and nothing else. */
export const proofMethod = z.enum([...factorMethods, 'session']);

/** An Ed25519 signature over SHA-256(intent) by a registered key: a proof that others can check again. */
export const keyProof = z.strictObject({ kid: bytes32, sig: bytes64 });
export type KeyProof = z.infer<typeof keyProof>;

/** A passkey's assertion (WebAuthn, section 7.2) whose challenge is SHA-256(intent). ES256 and nothing else. */
export const passkeyProof = z.strictObject({
  /** RFC 7638 thumbprint of the passkey's public key. */
  kid: bytes32,
  auth_data: base64urlText(684),
  client_data: base64urlText(1_368),
  /** ECDSA, as the authenticator gave it: DER. */
  sig: base64urlText(96),
});
export type PasskeyProof = z.infer<typeof passkeyProof>;
export type OperatorProof = KeyProof | PasskeyProof;

export const command = z
  .strictObject({
    v: z.literal(1),
    iss: installationId,
    aud: agentId,
    op: operationId,
    /** The nonce that the addressed executor drew for this operation. */
    cn: bytes32,
    iat: seconds,
    exp: seconds,
    root_ver: z.int().check(z.gte(1)),
    /** The intent's exact bytes, base64url; for many machines they come beside the command, which names their hash. */
    intent: z.optional(z.string().check(z.regex(/^[A-Za-z0-9_-]+$/))),
    intent_sha256: z.optional(bytes32),
    /** The addressee's place in the intent's `targets`; absent where the intent is for one machine. */
    index: z.optional(z.int().check(z.nonnegative(), z.lt(TARGETS_MAX))),
    authz: z.strictObject({
      operator: operatorName,
      method: proofMethod,
      at: seconds,
      proof: z.optional(z.union([keyProof, passkeyProof])),
    }),
    sealed: z.optional(z.strictObject({ account: z.optional(sealedSecret), vnc: z.optional(sealedSecret) })),
  })
  .check(
    z.refine(({ iat, exp }) => exp > iat && exp - iat <= COMMAND_TTL_S, { path: ['exp'] }),
    z.refine((said) => (said.intent === undefined) !== (said.intent_sha256 === undefined), { path: ['intent'] }),
  );
export type Command = z.infer<typeof command>;
