// Sealing a password to one key, for one operation, one agent, one direction and one slot: JWE compact serialisation
// (RFC 7516, section 7.1) with ECDH-ES over X25519 and A256GCM, and nothing else.

import { CompactEncrypt, compactDecrypt } from 'jose';
import * as z from 'zod/mini';
import { canonicalBytes, parseCanonical } from './canonical.ts';
import { Failure } from './failure.ts';
import { fromBase64url, publicKey, type SealingKey, sealingKeyFromSeed, thumbprint } from './keys.ts';
import { SEALED_BYTES_MAX } from './limits.ts';
import { agentId, operationId, parseSchema, sealedSecret, type X25519Jwk, x25519Jwk } from './schema.ts';
import { Secret } from './secret.ts';

const slotName = z.enum(['account', 'vnc']);
export type Slot = z.infer<typeof slotName>;

/** Whom a sealed secret belongs to. Every field is inside the ciphertext and checked again when it is opened. */
export type SealContext = Readonly<{ op: string; agent: string; dir: 'to-agent' | 'to-operator'; slot: Slot }>;

const plaintext = z.strictObject({
  op: operationId,
  agent: agentId,
  dir: z.enum(['to-agent', 'to-operator']),
  slot: slotName,
  pw: z.string().check(z.maxLength(64)),
});

const header = z.strictObject({
  alg: z.literal('ECDH-ES'),
  enc: z.literal('A256GCM'),
  kid: z.string(),
  typ: z.literal('lk-secret+jwe'),
  epk: x25519Jwk,
});

/**
 * Seals to `recipient`. The ephemeral key comes from `randomBytes` (the kernel, now) and not from the process's own
 * generator, so a machine restored twice from one live snapshot never uses one content key for two secrets.
 */
export async function sealSecret(
  secret: Secret,
  context: SealContext,
  recipient: X25519Jwk,
  randomBytes: (count: number) => Uint8Array,
): Promise<string> {
  const ephemeral = await sealingKeyFromSeed(randomBytes(32));
  const { op, agent, dir, slot } = context;
  const bytes = canonicalBytes({ op, agent, dir, slot, pw: secret.reveal() });
  try {
    return await new CompactEncrypt(bytes)
      .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM', kid: await thumbprint(recipient), typ: 'lk-secret+jwe' })
      .setKeyManagementParameters({ epk: ephemeral.privateKey })
      .encrypt(await publicKey(recipient));
  } catch (cause) {
    // A point of small order (RFC 7748, section 6.1): the platform refuses to derive a shared secret of zeros.
    throw new Failure('UNSEAL_FAILED', { reason: 'recipient' }, cause);
  } finally {
    bytes.fill(0);
  }
}

/** Opens a secret that must have been sealed to `key` for exactly `context`. Throws `ALG_REFUSED`, `UNSEAL_FAILED`. */
export async function openSecret(sealed: string, context: SealContext, key: SealingKey): Promise<Secret> {
  checkSealedHeader(sealed, key.kid);
  let bytes: Uint8Array;
  try {
    ({ plaintext: bytes } = await compactDecrypt(sealed, key.privateKey, {
      keyManagementAlgorithms: ['ECDH-ES'],
      contentEncryptionAlgorithms: ['A256GCM'],
      maxDecompressedLength: 0,
    }));
  } catch (cause) {
    throw new Failure('UNSEAL_FAILED', { reason: 'decrypt' }, cause);
  }
  try {
    const content = parseSchema(plaintext, parseCanonical(bytes));
    for (const field of ['op', 'agent', 'dir', 'slot'] as const) {
      if (content[field] !== context[field]) throw new Failure('UNSEAL_FAILED', { reason: field });
    }
    return Secret.ofText(content.pw);
  } catch (cause) {
    if (cause instanceof Failure && cause.code === 'UNSEAL_FAILED') throw cause;
    throw new Failure('UNSEAL_FAILED', { reason: 'content' });
  } finally {
    bytes.fill(0);
  }
}

/** Size, spelling and header of a sealed secret; throws `ALG_REFUSED` or `UNSEAL_FAILED`. */
function checkSealedHeader(sealed: string, kid: string): void {
  if (sealed.length > SEALED_BYTES_MAX) throw new Failure('UNSEAL_FAILED', { reason: 'size' });
  let claimed: unknown;
  try {
    const [first] = sealed.split('.').map(fromBase64url);
    claimed = parseCanonical(first ?? new Uint8Array());
  } catch (cause) {
    throw new Failure('UNSEAL_FAILED', { reason: 'header' }, cause);
  }
  const { alg, enc, zip } = (claimed ?? {}) as Record<string, unknown>;
  if (alg !== 'ECDH-ES' || enc !== 'A256GCM' || zip !== undefined) throw new Failure('ALG_REFUSED', { reason: 'jwe' });
  if (!z.safeParse(sealedSecret, sealed).success) throw new Failure('UNSEAL_FAILED', { reason: 'shape' });
  const result = z.safeParse(header, claimed);
  if (!result.success) throw new Failure('UNSEAL_FAILED', { reason: 'header' });
  if (result.data.kid !== kid) throw new Failure('UNSEAL_FAILED', { reason: 'kid' });
}
