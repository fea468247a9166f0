// The building blocks of every message: strict objects, anchored patterns, bounded lists. `zod/mini` because the resident
// half of the agent carries it, and always as `import * as z`: a namespace that is handed on takes all of zod along.

import * as z from 'zod/mini';
import { Failure } from './failure.ts';
import { INTENT_TEXT_MAX, RECEIPT_BYTES_MAX, SEALED_BYTES_MAX, TOKEN_BYTES_MAX } from './limits.ts';

/** The value, or `SCHEMA_INVALID` naming the first field that is wrong (its path alone: never its content). */
export function parseSchema<S extends z.core.$ZodType>(schema: S, value: unknown): z.core.output<S> {
  const result = z.safeParse(schema, value);
  if (result.success) {
    refusePrototypeMember(value);
    return result.data;
  }
  const issue = result.error.issues[0];
  throw new Failure('SCHEMA_INVALID', {
    field: issue ? issue.path.map(String).join('.').slice(0, 80) : '',
    reason: issue?.code ?? 'unknown',
  });
}

/**
 * Refuses a member named `__proto__`, which `z.record` drops in silence where every other unknown name is refused. Called
 * on values that met a strict schema, whose depth is therefore bounded.
 */
function refusePrototypeMember(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  if (Object.hasOwn(value, '__proto__')) {
    throw new Failure('SCHEMA_INVALID', { field: '', reason: 'unrecognized_keys' });
  }
  for (const member of Object.values(value)) refusePrototypeMember(member);
}

export const text = (pattern: RegExp) => z.string().check(z.regex(pattern));
/** Whole seconds since 1970-01-01T00:00:00Z. */
export const seconds = z.int().check(z.nonnegative());
export const counter = z.int().check(z.nonnegative());
/**
 * 32 bytes in base64url: a nonce, a SHA-256, a public key's coordinate. The last of 43 characters carries four bits, so it
 * is one of sixteen: any other would spell the same bytes again, and one key could stand under several thumbprints.
 */
export const bytes32 = text(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/);
/** Bytes in base64url, of which so many characters are read. */
export const base64urlText = (charactersMax: number) =>
  z.string().check(z.maxLength(charactersMax), z.regex(/^[A-Za-z0-9_-]+$/));
/** 64 bytes in base64url, in their one spelling: an Ed25519 signature. */
export const bytes64 = text(/^[A-Za-z0-9_-]{85}[AQgw]$/);
/** An id is its kind, an underscore and 130 bits in Crockford's base 32. */
const id = (kind: string) => text(new RegExp(`^${kind}_[0-9a-hjkmnp-tv-z]{26}$`));
export const operationId = id('op');
export const agentId = id('agt');
export const vmId = id('vm');
export const installationId = id('ins');
export const projectName = text(/^[a-z][a-z0-9-]{0,62}$/);
/**
 * Names of local accounts as systems let people make them (useradd(8)): no colon, blank or slash, no dash or dot in front, and
 * not a number, which programs would take for a uid.
 */
export const accountName = text(/^(?![0-9]+$)[A-Za-z0-9_][A-Za-z0-9_.-]{0,30}[A-Za-z0-9_.$-]?$/);
export const operatorName = text(/^[a-z][a-z0-9._-]{0,62}$/);
/** `tigervnc:5901`: the kind of server and its port. */
export const vncServerId = text(/^[a-z0-9]{1,20}:[0-9]{1,5}$/);
export const bootId = text(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
export const codeName = text(/^[A-Z][A-Z0-9_]{1,40}$/);
export const compactToken = z
  .string()
  .check(z.maxLength(TOKEN_BYTES_MAX), z.regex(/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/));
export const receiptToken = compactToken.check(z.maxLength(RECEIPT_BYTES_MAX));
/** An intent's bytes that are carried beside a command. */
export const carriedIntent = base64urlText(INTENT_TEXT_MAX);
export const sealedSecret = z
  .string()
  .check(z.maxLength(SEALED_BYTES_MAX), z.regex(/^[A-Za-z0-9_-]+\.\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/));
export const ed25519Jwk = z.strictObject({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: bytes32 });
export const x25519Jwk = z.strictObject({ kty: z.literal('OKP'), crv: z.literal('X25519'), x: bytes32 });

export type Ed25519Jwk = z.infer<typeof ed25519Jwk>;
export type X25519Jwk = z.infer<typeof x25519Jwk>;

const CROCKFORD = '0123456789abcdefghjkmnpqrstvwxyz';

/** A new id of that kind from 26 random bytes, 5 bits of each. */
export function newId(
  kind: 'op' | 'agt' | 'vm' | 'ins' | 'inv' | 'tok' | 'key' | 'whk' | 'msg',
  randomBytes: (count: number) => Uint8Array,
): string {
  return `${kind}_${Array.from(randomBytes(26), (byte) => CROCKFORD[byte & 31]).join('')}`;
}
