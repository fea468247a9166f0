// Signed tokens: JWS compact serialisation (RFC 7515, section 7.1) with Ed25519 (RFC 9864) and nothing else. The order of
// checks is fixed: size and shape, header, type, key, signature; only then are the verified bytes read.

import { CompactSign, compactVerify } from 'jose';
import { canonicalBytes, type JsonValue, parseCanonical } from './canonical.ts';
import { Failure } from './failure.ts';
import { fromBase64url, publicKey, type SigningKey, sha256Text, toBase64url } from './keys.ts';
import { RECEIPT_BYTES_MAX, TOKEN_BYTES_MAX } from './limits.ts';
import type { Ed25519Jwk } from './schema.ts';

/** Every type of token. A key signs for one role, and a role signs some of these types. */
export const tokenTypes = [
  'lk-root+jws',
  'lk-enrol+jws',
  'lk-enrol-ek+jws',
  'lk-enrolled+jws',
  'lk-hello+jws',
  'lk-welcome+jws',
  'lk-ready+jws',
  'lk-command+jws',
  'lk-receipt+jws',
  'lk-ack+jws',
  'lk-preflight+jws',
  'lk-audit+jws',
] as const;
export type TokenType = (typeof tokenTypes)[number];

/** What a machine says by itself or when asked, and what is kept for each. */
const SMALL: readonly TokenType[] = ['lk-receipt+jws', 'lk-preflight+jws'];

const TOKEN = /^[A-Za-z0-9_-]{1,400}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}$/;
const KID = /^[A-Za-z0-9_-]{43}$/;

export type TokenHeader = Readonly<{ alg: 'Ed25519'; kid: string; typ: TokenType }>;

/** A verified token: its payload, and the hash of the payload's bytes (never of the token's text) by which it is known. */
export type VerifiedToken = Readonly<{ header: TokenHeader; payload: JsonValue; payloadSha256: string }>;

/** Finds the key that a role trusts under that id; throws `KID_UNKNOWN` or `KEY_EXPIRED`. */
export type KeyLookup = (kid: string) => Ed25519Jwk;

/** Checks size, spelling and header, and no more: what this returns is a claim. */
export function readHeader(token: string, typ: TokenType): TokenHeader {
  const sizeMax = SMALL.includes(typ) ? RECEIPT_BYTES_MAX : TOKEN_BYTES_MAX;
  if (token.length > sizeMax) throw new Failure('TOKEN_MALFORMED', { reason: 'size' });
  // An empty signature is how `alg: none` looks; say so rather than "shape".
  if (/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.$/.test(token)) throw new Failure('ALG_REFUSED', { reason: 'unsigned' });
  if (!/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/.test(token))
    throw new Failure('TOKEN_MALFORMED', { reason: 'shape' });
  const [headerPart = '', payloadPart = '', signaturePart = ''] = token.split('.');
  const header = checkHeader(fromBase64url(headerPart), typ);
  if (!TOKEN.test(token)) throw new Failure('TOKEN_MALFORMED', { reason: 'shape' });
  fromBase64url(payloadPart);
  fromBase64url(signaturePart);
  return header;
}

/** The header's rule: exactly alg, kid and typ, in this order, canonical. Shared with the root's signatures. */
export function checkHeader(bytes: Uint8Array, typ: TokenType): TokenHeader {
  let header: JsonValue;
  try {
    header = parseCanonical(bytes);
  } catch (cause) {
    throw new Failure('TOKEN_MALFORMED', { reason: 'header' }, cause);
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    throw new Failure('TOKEN_MALFORMED', { reason: 'header' });
  }
  // A wrong algorithm is named as such even where other members are wrong, too: it is what an attacker tries first.
  if (header['alg'] !== 'Ed25519') throw new Failure('ALG_REFUSED');
  if (Object.keys(header).join() !== 'alg,kid,typ') throw new Failure('TOKEN_MALFORMED', { reason: 'header_members' });
  if (header['typ'] !== typ) throw new Failure('TYP_REFUSED', { expected: typ });
  const kid = header['kid'];
  if (typeof kid !== 'string' || !KID.test(kid)) throw new Failure('TOKEN_MALFORMED', { reason: 'kid' });
  return { alg: 'Ed25519', kid, typ };
}

/** Verifies a token of exactly that type with a key that `lookup` grants, then reads its payload. */
export async function verifyToken(token: string, typ: TokenType, lookup: KeyLookup): Promise<VerifiedToken> {
  const header = readHeader(token, typ);
  const key = await publicKey(lookup(header.kid));
  let payload: Uint8Array;
  try {
    ({ payload } = await compactVerify(token, key, { algorithms: ['Ed25519'] }));
  } catch (cause) {
    throw new Failure('SIG_INVALID', {}, cause);
  }
  return { header, payload: parseCanonical(payload), payloadSha256: await sha256Text(payload) };
}

/** The lookup for a token that must come from one known key. */
export function onlyKey(kid: string, jwk: Ed25519Jwk): KeyLookup {
  return (asked) => {
    if (asked !== kid) throw new Failure('KID_UNKNOWN', { kid: asked.slice(0, 8) });
    return jwk;
  };
}

export function signToken(typ: TokenType, payload: object, key: SigningKey): Promise<string> {
  return new CompactSign(canonicalBytes(payload))
    .setProtectedHeader({ alg: 'Ed25519', kid: key.kid, typ })
    .sign(key.privateKey);
}

/** A key that is somewhere else: it is given the type of the token and the bytes to sign (RFC 7515, section 5.1). */
export type TokenSigner<T extends TokenType> = Readonly<{
  kid: string;
  sign(typ: T, input: Uint8Array): Uint8Array;
}>;

export function signTokenWith<T extends TokenType>(typ: T, payload: object, key: TokenSigner<T>): string {
  const header = new TextEncoder().encode(JSON.stringify({ alg: 'Ed25519', kid: key.kid, typ }));
  const input = `${toBase64url(header)}.${toBase64url(canonicalBytes(payload))}`;
  return `${input}.${toBase64url(key.sign(typ, new TextEncoder().encode(input)))}`;
}

/** The unverified payload of a token that this program made itself or verified before. */
export function payloadOf(token: string): JsonValue {
  return parseCanonical(fromBase64url(token.split('.')[1] ?? ''));
}
