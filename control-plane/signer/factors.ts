// Codes and signatures: draws them, hashes them, and says whether one holds. It computes and compares; counting tries and
// burning codes is the caller's, in one transaction with the outcome.

import { createHash, timingSafeEqual } from 'node:crypto';
import { TOTP, Secret as TotpSecret } from 'otpauth';
import { fromBase64url, publicKey } from '../../protocol/keys.ts';
import type { Ed25519Jwk } from '../../protocol/schema.ts';
import type { Factor } from './factor-records.ts';

const PERIOD_S = 30;
/** The step now and the one before it (RFC 6238, section 5.2). */
const STEPS_BACK = 1;

export type Totp = Readonly<{ material: string; uri: string }>;

/** A new authenticator secret: 160 bits, as RFC 4226, section 4, recommends. */
export function newTotp(operator: string, randomBytes: (count: number) => Uint8Array): Totp {
  const totp = totpOf(operator, new TotpSecret({ buffer: Uint8Array.from(randomBytes(20)).buffer }));
  return { material: totp.secret.base32, uri: totp.toString() };
}

/**
 * The time step that the code belongs to, or `null`. Whether it was used before is the caller's to say: steps up to the one
 * used last are dead, also for someone who saw a code over a shoulder.
 */
export function totpStep(factor: Factor, code: string, nowS: number): number | null {
  const totp = totpOf(factor.operator, TotpSecret.fromBase32(factor.material));
  const current = Math.floor(nowS / PERIOD_S);
  for (let step = current; step >= current - STEPS_BACK; step -= 1) {
    const expected = totp.generate({ timestamp: step * PERIOD_S * 1000 });
    if (equalText(expected, code)) return step;
  }
  return null;
}

/** Whether the key signed the 32 bytes of the intent's hash. */
export async function keySigned(factor: Factor, intentHash: string, sig: string): Promise<boolean> {
  const key = await publicKey(JSON.parse(factor.material) as Ed25519Jwk);
  const [signature, hash] = [Uint8Array.from(fromBase64url(sig)), Uint8Array.from(fromBase64url(intentHash))];
  return crypto.subtle.verify('Ed25519', key, signature, hash);
}

function totpOf(operator: string, secret: TotpSecret): TOTP {
  return new TOTP({ issuer: 'Latchkey', label: operator, algorithm: 'SHA1', digits: 6, period: PERIOD_S, secret });
}

export function equalText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

/** Each digit from a byte below 250, so that all are equally likely. */
export function drawDigits(count: number, randomBytes: (count: number) => Uint8Array): string {
  let digits = '';
  while (digits.length < count) {
    const [byte = 255] = randomBytes(1);
    if (byte < 250) digits += String(byte % 10);
  }
  return digits;
}

const CROCKFORD = '0123456789abcdefghjkmnpqrstvwxyz';
const RECOVERY_SIGNS = 20;

/** 100 bits in groups of five, to be written down: nobody can guess one, so its plain hash may be kept. */
export function drawRecoveryCode(randomBytes: (count: number) => Uint8Array): string {
  const signs = Array.from(randomBytes(RECOVERY_SIGNS), (byte) => CROCKFORD[byte & 31]).join('');
  return signs.replace(/(.{5})(?=.)/g, '$1-');
}

/** Of a code with as many bits as a key. */
export function codeHash(code: string): string {
  return createHash('sha256').update(code).digest('base64url');
}

/** Bound to the intent: the same digits for another intent are another code. */
export function mailCodeHash(intentHash: string, code: string): string {
  return codeHash(`${intentHash} ${code}`);
}
