// Keys as this protocol uses them: Ed25519 to sign, X25519 to seal, both from 32 seed bytes that the caller drew from the
// kernel. A key's id is its RFC 7638 thumbprint, so one key can never stand under two ids.

import { base64url, calculateJwkThumbprint } from 'jose';
import { Failure } from './failure.ts';
import type { Ed25519Jwk, X25519Jwk } from './schema.ts';

/** A private signing key with its id and public half. */
export type SigningKey = Readonly<{ kid: string; jwk: Ed25519Jwk; privateKey: CryptoKey }>;
/** A private sealing key with its id and public half. */
export type SealingKey = Readonly<{ kid: string; jwk: X25519Jwk; privateKey: CryptoKey }>;

/** PrivateKeyInfo of RFC 8410, section 7, up to the 32 seed bytes. The last byte but two of the OID tells the curve. */
const pkcs8Prefix = (curve: 0x6e | 0x70) =>
  Uint8Array.of(0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, curve, 0x04, 0x22, 0x04, 0x20);

const SEED_BYTES = 32;

/** RFC 7638 over the required members, SHA-256, base64url. */
export function thumbprint(jwk: Ed25519Jwk | X25519Jwk): Promise<string> {
  return calculateJwkThumbprint(jwk, 'sha256');
}

/** The same of a passkey's public point on P-256. */
export function passkeyThumbprint({ x, y }: Readonly<{ x: string; y: string }>): Promise<string> {
  return calculateJwkThumbprint({ kty: 'EC', crv: 'P-256', x, y }, 'sha256');
}

export async function signingKeyFromSeed(seed: Uint8Array): Promise<SigningKey> {
  const { privateKey, x } = await importSeed('Ed25519', 0x70, seed, ['sign']);
  const jwk: Ed25519Jwk = { kty: 'OKP', crv: 'Ed25519', x };
  return { kid: await thumbprint(jwk), jwk, privateKey };
}

export async function sealingKeyFromSeed(seed: Uint8Array): Promise<SealingKey> {
  const { privateKey, x } = await importSeed('X25519', 0x6e, seed, ['deriveBits']);
  const jwk: X25519Jwk = { kty: 'OKP', crv: 'X25519', x };
  return { kid: await thumbprint(jwk), jwk, privateKey };
}

export async function publicKey(jwk: Ed25519Jwk | X25519Jwk): Promise<CryptoKey> {
  try {
    return await crypto.subtle.importKey('jwk', jwk, jwk.crv, true, jwk.crv === 'Ed25519' ? ['verify'] : []);
  } catch (cause) {
    throw new Failure('SCHEMA_INVALID', { field: 'jwk', reason: 'key' }, cause);
  }
}

async function importSeed(curve: 'Ed25519' | 'X25519', oid: 0x6e | 0x70, seed: Uint8Array, usages: KeyUsage[]) {
  if (seed.length !== SEED_BYTES) throw new RangeError('a seed has 32 bytes');
  const pkcs8 = new Uint8Array([...pkcs8Prefix(oid), ...seed]);
  const privateKey = await crypto.subtle.importKey('pkcs8', pkcs8, curve, true, usages);
  pkcs8.fill(0);
  const { x } = await crypto.subtle.exportKey('jwk', privateKey);
  if (x === undefined) throw new TypeError('the platform exported a key without its public half');
  return { privateKey, x };
}

type KeyUsage = 'sign' | 'deriveBits';

export async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', Uint8Array.from(bytes)));
}

/** SHA-256 of bytes, or of a text's ASCII, in base64url. */
export async function sha256Text(data: Uint8Array | string): Promise<string> {
  return base64url.encode(await sha256(typeof data === 'string' ? new TextEncoder().encode(data) : data));
}

export const toBase64url = (bytes: Uint8Array): string => base64url.encode(bytes);

/** Strict: only the one spelling that `toBase64url` would give. Throws `TOKEN_MALFORMED`. */
export function fromBase64url(part: string): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = base64url.decode(part);
  } catch (cause) {
    throw new Failure('TOKEN_MALFORMED', { reason: 'base64url' }, cause);
  }
  if (base64url.encode(bytes) !== part) throw new Failure('TOKEN_MALFORMED', { reason: 'spelling' });
  return bytes;
}
