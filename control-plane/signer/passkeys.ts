// Passkeys: registering one that an invitation allows, and checking an assertion over an intent. The ceremonies are
// @simplewebauthn/server's; what is kept of a passkey is what a machine needs to check the same assertion again.

import type { AuthenticationResponseJSON, RegistrationResponseJSON } from '@simplewebauthn/server';
import { z } from 'zod';
import { readAssertion } from '../../protocol/assertion.ts';
import { type PasskeyProof, passkeyProof } from '../../protocol/command.ts';
import { Failure } from '../../protocol/failure.ts';
import { fromBase64url, passkeyThumbprint, toBase64url } from '../../protocol/keys.ts';
import { bytes32, parseSchema } from '../../protocol/schema.ts';
import type { Factor } from './factor-records.ts';

/** ECDSA on P-256 with SHA-256 (COSE), the one algorithm that machines check. */
const ES256 = -7;
const TIMEOUT_MS = 120_000;

/** Where passkeys live: a host name of one's own, with TLS, or `localhost`. */
export type Place = Readonly<{ rpId: string; origin: string }>;

const material = z.strictObject({
  id: z.string(),
  cose: z.string(),
  x: bytes32,
  y: bytes32,
  rp_id: z.string(),
  origin: z.string(),
});
type Material = z.infer<typeof material>;

export type NewPasskey = Readonly<{ kid: string; material: string }>;
export type Asserted = Readonly<{ proof: PasskeyProof; counter: number }>;

/** Loaded when first needed: most of what the library carries is for attestations. */
const library = () => import('@simplewebauthn/server');
const helpers = () => import('@simplewebauthn/server/helpers');

/** For a process that will not be able to read its own program later. */
export async function loadPasskeys(): Promise<void> {
  await Promise.all([library(), helpers()]);
}

export function placeOf(origin: string | null): Place {
  const url = origin === null || !URL.canParse(origin) ? null : new URL(origin);
  const isName = url !== null && /^[a-z0-9.-]+$/.test(url.hostname) && !/^[0-9.]+$/.test(url.hostname);
  if (!url || !isName || (url.protocol !== 'https:' && url.hostname !== 'localhost')) {
    throw new Failure('CONFIG_INVALID', {
      field: 'public-url',
      reason: 'a passkey needs a host name with https, or localhost',
    });
  }
  return { rpId: url.hostname, origin: url.origin };
}

export function readMaterial({ material: text }: Pick<Factor, 'material'>): Material {
  return material.parse(JSON.parse(text));
}

export async function creationOptions(operator: string, place: Place, challenge: string, known: readonly Factor[]) {
  const { generateRegistrationOptions } = await library();
  return generateRegistrationOptions({
    rpName: 'Latchkey',
    rpID: place.rpId,
    userName: operator,
    userID: Uint8Array.from(new TextEncoder().encode(operator)),
    challenge: Uint8Array.from(fromBase64url(challenge)),
    timeout: TIMEOUT_MS,
    attestationType: 'none',
    excludeCredentials: known.map((factor) => ({ id: readMaterial(factor).id })),
    authenticatorSelection: { userVerification: 'required', residentKey: 'preferred' },
    supportedAlgorithmIDs: [ES256],
  });
}

/** Throws `AUTHZ_INVALID`. */
export async function readCreation(
  response: RegistrationResponseJSON,
  place: Place,
  challenge: string,
): Promise<NewPasskey> {
  const { verifyRegistrationResponse } = await library();
  const { decodeCredentialPublicKey } = await helpers();
  const made = await orInvalid(() =>
    verifyRegistrationResponse({
      response,
      expectedChallenge: challenge,
      expectedOrigin: place.origin,
      expectedRPID: place.rpId,
      requireUserVerification: true,
      supportedAlgorithmIDs: [ES256],
    }),
  );
  if (!made.verified) throw refusal('registration');
  const { id, publicKey } = made.registrationInfo.credential;
  // COSE_Key (RFC 9053, section 7.1.1): -2 and -3 are the point.
  const cose = decodeCredentialPublicKey(publicKey) as unknown as ReadonlyMap<number, unknown>;
  const [x, y] = [-2, -3].map((label) => cose.get(label));
  if (!(x instanceof Uint8Array) || !(y instanceof Uint8Array)) throw refusal('public_key');
  const point = { x: toBase64url(x), y: toBase64url(y) };
  const kept: Material = { id, cose: toBase64url(publicKey), ...point, rp_id: place.rpId, origin: place.origin };
  return { kid: await passkeyThumbprint(point), material: JSON.stringify(material.parse(kept)) };
}

export async function assertionOptions(intentHash: string, { rpId }: Place, known: readonly Factor[]) {
  const { generateAuthenticationOptions } = await library();
  return generateAuthenticationOptions({
    rpID: rpId,
    challenge: Uint8Array.from(fromBase64url(intentHash)),
    timeout: TIMEOUT_MS,
    userVerification: 'required',
    allowCredentials: known.map((factor) => ({ id: readMaterial(factor).id })),
  });
}

/** Whether this passkey asserted exactly this intent; throws `AUTHZ_INVALID` where it did not. */
export async function readAssertionOf(
  factor: Factor,
  response: AuthenticationResponseJSON,
  intentHash: string,
): Promise<Asserted> {
  const { verifyAuthenticationResponse } = await library();
  const { id, cose, rp_id, origin } = readMaterial(factor);
  const checked = await orInvalid(() =>
    verifyAuthenticationResponse({
      response,
      expectedChallenge: intentHash,
      expectedOrigin: origin,
      expectedRPID: rp_id,
      requireUserVerification: true,
      credential: { id, publicKey: Uint8Array.from(fromBase64url(cose)), counter: factor.last_step },
    }),
  );
  if (!checked.verified) throw refusal('assertion');
  const { authenticatorData: auth_data, clientDataJSON: client_data, signature: sig } = response.response;
  const proof = parseSchema(passkeyProof, { kid: factor.kid, auth_data, client_data, sig });
  // By a machine's own rules as well: what is accepted here must not be refused there.
  await readAssertion(proof, { challenge: intentHash, rpId: rp_id, origin });
  return { proof, counter: checked.authenticationInfo.newCounter };
}

/** The library throws plain errors about what it was given; which of them is of no use to whoever gave it. */
async function orInvalid<T>(check: () => Promise<T>): Promise<T> {
  try {
    return await check();
  } catch (cause) {
    throw new Failure('AUTHZ_INVALID', { reason: 'assertion' }, cause);
  }
}

function refusal(reason: string): Failure {
  return new Failure('AUTHZ_INVALID', { reason });
}
