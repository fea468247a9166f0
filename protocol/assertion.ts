// What a passkey signed (WebAuthn, section 7.2), as far as it can be judged without its key: what kind of act it was, for which
// challenge, where, and with whom present. The signature itself is checked by whoever has the platform's ECDSA.

import type { PasskeyProof } from './command.ts';
import { Failure } from './failure.ts';
import { fromBase64url, sha256, toBase64url } from './keys.ts';

/** The challenge is SHA-256 of the intent, so the assertion covers that intent and no other. */
export type AssertionWanted = Readonly<{ challenge: string; rpId: string; origin: string }>;

/** SHA-256 of the relying party's id, one byte of flags, four of a counter; extensions may follow. */
const AUTH_DATA_BYTES_MIN = 37;
const FLAGS_AT = 32;
const USER_PRESENT = 0x01;
const USER_VERIFIED = 0x04;

/** The bytes that the passkey must have signed; throws `AUTHZ_INVALID` naming what is not as wanted. */
export async function readAssertion(proof: PasskeyProof, wanted: AssertionWanted): Promise<Uint8Array> {
  const clientData = fromBase64url(proof.client_data);
  const said = readClientData(clientData);
  demand(said['type'] === 'webauthn.get', 'type');
  demand(said['challenge'] === wanted.challenge, 'challenge');
  demand(said['origin'] === wanted.origin, 'origin');
  demand(said['crossOrigin'] === undefined || said['crossOrigin'] === false, 'cross_origin');
  const authData = fromBase64url(proof.auth_data);
  demand(authData.length >= AUTH_DATA_BYTES_MIN, 'auth_data');
  const rpIdHash = toBase64url(await sha256(new TextEncoder().encode(wanted.rpId)));
  demand(toBase64url(authData.subarray(0, FLAGS_AT)) === rpIdHash, 'rp_id');
  const flags = authData[FLAGS_AT] ?? 0;
  demand((flags & USER_PRESENT) !== 0, 'user_present');
  demand((flags & USER_VERIFIED) !== 0, 'user_verified');
  return new Uint8Array([...authData, ...(await sha256(clientData))]);
}

/** The browser wrote it, so it is any JSON object; only what was signed is looked at. */
function readClientData(bytes: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new Failure('AUTHZ_INVALID', { reason: 'client_data' }, cause);
  }
  demand(typeof value === 'object' && value !== null && !Array.isArray(value), 'client_data');
  return value as Record<string, unknown>;
}

function demand(holds: boolean, reason: string): void {
  if (!holds) throw new Failure('AUTHZ_INVALID', { reason });
}
