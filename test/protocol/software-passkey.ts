// A passkey in software: a P-256 key that registers and asserts as an authenticator behind a browser does (WebAuthn, sections
// 6 and 7), and that can also lie in any one point, as an attacker's would.

import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import type { PasskeyProof } from '../../protocol/command.ts';
import { passkeyThumbprint } from '../../protocol/keys.ts';

const PRESENT = 0x01;
const VERIFIED = 0x04;
const ATTESTED = 0x40;

export type Place = Readonly<{ origin: string; rpId: string }>;
export const PLACE: Place = { origin: 'https://console.example', rpId: 'console.example' };

/** What an assertion says otherwise than an honest one. */
export type Lie = Partial<
  Place & { challenge: string; type: string; flags: number; crossOrigin: boolean; counter: number }
>;

const sha256 = (data: string | Uint8Array) => createHash('sha256').update(data).digest();
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url');

export class SoftwarePasskey {
  readonly id = text(randomBytes(16));
  readonly x: string;
  readonly y: string;
  readonly place: Place;
  readonly #key: KeyObject;
  #counter = 0;

  constructor(place: Place = PLACE) {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { x = '', y = '' } = publicKey.export({ format: 'jwk' });
    this.x = x;
    this.y = y;
    this.place = place;
    this.#key = privateKey;
  }

  /** As the root names it. */
  get listed() {
    return { x: this.x, y: this.y, rp_id: this.place.rpId, origin: this.place.origin };
  }

  /** What a browser hands on after `navigator.credentials.create`. */
  register(challenge: string, lie: Lie = {}) {
    const { origin, rpId, ...said } = { ...this.place, ...lie };
    const coseKey = Buffer.concat([
      Buffer.from('a5010203262001215820', 'hex'),
      Buffer.from(this.x, 'base64url'),
      Buffer.from('225820', 'hex'),
      Buffer.from(this.y, 'base64url'),
    ]);
    const id = Buffer.from(this.id, 'base64url');
    const attested = Buffer.concat([Buffer.alloc(16), Buffer.from([0, id.length]), id, coseKey]);
    const authData = Buffer.concat([this.#authData(rpId, said.flags ?? PRESENT | VERIFIED | ATTESTED, 0), attested]);
    // {"fmt": "none", "attStmt": {}, "authData": h'…'}, in CBOR.
    const attestation = Buffer.concat([
      Buffer.from('a363666d74646e6f6e656761747453746d74a068617574684461746158', 'hex'),
      Buffer.from([authData.length]),
      authData,
    ]);
    const clientData = { type: said.type ?? 'webauthn.create', challenge, origin, crossOrigin: false };
    return {
      id: this.id,
      rawId: this.id,
      type: 'public-key' as const,
      response: {
        clientDataJSON: text(Buffer.from(JSON.stringify({ ...clientData, ...pick(lie, 'challenge') }))),
        attestationObject: text(attestation),
      },
      clientExtensionResults: {},
    };
  }

  /** What a browser hands on after `navigator.credentials.get`. */
  assert(challenge: string, lie: Lie = {}) {
    const { origin, rpId } = { ...this.place, ...lie };
    this.#counter += 1;
    const clientData = Buffer.from(
      JSON.stringify({
        type: lie.type ?? 'webauthn.get',
        challenge: lie.challenge ?? challenge,
        origin,
        crossOrigin: lie.crossOrigin ?? false,
      }),
    );
    const authData = this.#authData(rpId, lie.flags ?? PRESENT | VERIFIED, lie.counter ?? this.#counter);
    const signature = sign('sha256', Buffer.concat([authData, sha256(clientData)]), this.#key);
    return {
      id: this.id,
      rawId: this.id,
      type: 'public-key' as const,
      response: {
        clientDataJSON: text(clientData),
        authenticatorData: text(authData),
        signature: text(signature),
      },
      clientExtensionResults: {},
    };
  }

  /** An assertion as a command carries it. */
  async proof(challenge: string, lie: Lie = {}): Promise<PasskeyProof> {
    const { response } = this.assert(challenge, lie);
    const { authenticatorData: auth_data, clientDataJSON: client_data, signature: sig } = response;
    return { kid: await passkeyThumbprint(this), auth_data, client_data, sig };
  }

  #authData(rpId: string, flags: number, counter: number): Buffer {
    const count = Buffer.alloc(4);
    count.writeUInt32BE(counter);
    return Buffer.concat([sha256(rpId), Buffer.from([flags]), count]);
  }
}

function pick<K extends keyof Lie>(lie: Lie, name: K): Pick<Lie, K> | object {
  return lie[name] === undefined ? {} : { [name]: lie[name] };
}
