// The command: the signer's word to one executor that an intent was proven. It adds freshness and the sealed secrets, and
// says nothing of what is to be done that the intent does not say.

import { COMMAND_TTL_S } from './limits.ts';
import {
  agentId,
  bytes32,
  bytes64,
  installationId,
  operationId,
  operatorName,
  sealedSecret,
  seconds,
  z,
} from './schema.ts';

/** How the operator was verified. `session`: signed in, no factor; enough for a cancel and nothing else. */
export const proofMethod = z.enum(['totp', 'key', 'session']);
export type ProofMethod = z.infer<typeof proofMethod>;

/** An Ed25519 signature over SHA-256(intent) by a registered key: a proof that others can check again. */
export const keyProof = z.strictObject({ kid: bytes32, sig: bytes64 });
export type KeyProof = z.infer<typeof keyProof>;

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
    /** The intent's exact bytes, base64url. */
    intent: z.string().check(z.regex(/^[A-Za-z0-9_-]+$/)),
    authz: z.strictObject({
      operator: operatorName,
      method: proofMethod,
      at: seconds,
      proof: z.optional(keyProof),
    }),
    sealed: z.optional(z.strictObject({ account: z.optional(sealedSecret), vnc: z.optional(sealedSecret) })),
  })
  .check(z.refine(({ iat, exp }) => exp > iat && exp - iat <= COMMAND_TTL_S, { path: ['exp'] }));
export type Command = z.infer<typeof command>;
