// The known-answer vectors: what this program makes and accepts is what the files say, so that an agent in another
// language which agrees with the files agrees with this program.

import { createPublicKey, verify } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readAssertion } from '../../protocol/assertion.ts';
import { canonicalBytes, parseCanonical } from '../../protocol/canonical.ts';
import type { Code } from '../../protocol/codes.ts';
import { type Command, command, type KeyProof, type PasskeyProof } from '../../protocol/command.ts';
import { encodeIntent, type Intent, intentBytes, intentHash, readIntent } from '../../protocol/intent.ts';
import {
  passkeyThumbprint,
  sealingKeyFromSeed,
  sha256Text,
  signingKeyFromSeed,
  thumbprint,
} from '../../protocol/keys.ts';
import { type Preflight, readPreflight } from '../../protocol/preflight.ts';
import { RECEIPT_GENESIS, type Receipt, receipt } from '../../protocol/receipt.ts';
import { openRoot, type RootPayload, type SignedRoot, signRoot } from '../../protocol/root.ts';
import { type Ed25519Jwk, parseSchema, type X25519Jwk } from '../../protocol/schema.ts';
import { openSecret, type SealContext } from '../../protocol/seal.ts';
import { encodeFrame, parseDownFrame, parseUpFrame } from '../../protocol/session.ts';
import { onlyKey, signToken, verifyToken } from '../../protocol/token.ts';
import { expectRefused } from './refusal.ts';

const folder = join(import.meta.dirname, '../fixtures/vectors');
const read = <T>(name: string) => JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as T;
const seed = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'));
const encode = (text: string) => new TextEncoder().encode(text);

type SignedVector = { payload: object; payload_sha256: string; token: string };
type KeyVector = { name: string; seed_hex: string; jwk: Ed25519Jwk | X25519Jwk; kid: string };
type FrameVector = { value: never; text: string };
type RefusedVector = { name: string; code: Code; token: string };
type MalformedVectors = {
  verify_with: { seed_hex: string };
  good_token: string;
  tokens: RefusedVector[];
  commands: RefusedVector[];
};

test('every file is checked here', () => {
  const names = [
    'command',
    'frames',
    'initialise',
    'intent',
    'keys',
    'malformed',
    'preflight',
    'proofs',
    'receipts',
    'root',
    'sealed',
  ];
  expect(readdirSync(folder).sort()).toEqual(names.map((name) => `${name}.json`));
});

test.each(read<KeyVector[]>('keys'))('key: $name', async ({ seed_hex, jwk, kid }) => {
  const make = jwk.crv === 'Ed25519' ? signingKeyFromSeed : sealingKeyFromSeed;
  expect(await make(seed(seed_hex))).toMatchObject({ jwk, kid });
  expect(await thumbprint(jwk)).toBe(kid);
});

test('root', async () => {
  const vector = read<{ signers_seed_hex: string[]; payload: RootPayload; document: SignedRoot }>('root');
  const signers = await Promise.all(vector.signers_seed_hex.map((hex) => signingKeyFromSeed(seed(hex))));
  expect(await signRoot(vector.payload, signers)).toEqual(vector.document);
  expect(await openRoot(vector.document)).toEqual(vector.payload);
});

test.each(['intent', 'initialise'])('%s', async (name) => {
  const vector = read<{ value: Intent; bytes_utf8: string; sha256: string }>(name);
  const bytes = encode(vector.bytes_utf8);
  expect(intentBytes(vector.value)).toEqual(bytes);
  expect(await intentHash(bytes)).toBe(vector.sha256);
  expect(readIntent(encodeIntent(bytes))).toEqual(vector.value);
});

test('command', async () => {
  const vector = read<SignedVector & { seed_hex: string; payload: Command }>('command');
  const key = await signingKeyFromSeed(seed(vector.seed_hex));
  expect(await signToken('lk-command+jws', vector.payload, key)).toBe(vector.token);
  const verified = await verifyToken(vector.token, 'lk-command+jws', onlyKey(key.kid, key.jwk));
  expect(parseSchema(command, verified.payload)).toEqual(vector.payload);
  expect(verified.payloadSha256).toBe(vector.payload_sha256);
  expect(readIntent(vector.payload.intent ?? '')).toEqual(read<{ value: Intent }>('intent').value);
});

test('chain of receipts', async () => {
  const vector = read<{ seed_hex: string; chain: (SignedVector & { payload: Receipt })[] }>('receipts');
  const key = await signingKeyFromSeed(seed(vector.seed_hex));
  let prev = RECEIPT_GENESIS;
  for (const [at, { payload, payload_sha256, token }] of vector.chain.entries()) {
    expect(payload).toMatchObject({ n: at + 1, prev });
    expect(await signToken('lk-receipt+jws', payload, key)).toBe(token);
    const verified = await verifyToken(token, 'lk-receipt+jws', onlyKey(key.kid, key.jwk));
    expect(parseSchema(receipt, verified.payload)).toEqual(payload);
    expect(await sha256Text(canonicalBytes(payload))).toBe(payload_sha256);
    prev = payload_sha256;
  }
  expect(vector.chain.length).toBeGreaterThan(2);
});

test('preflight', async () => {
  const vector = read<SignedVector & { seed_hex: string; payload: Preflight }>('preflight');
  const key = await signingKeyFromSeed(seed(vector.seed_hex));
  expect(await signToken('lk-preflight+jws', vector.payload, key)).toBe(vector.token);
  const verified = await verifyToken(vector.token, 'lk-preflight+jws', onlyKey(key.kid, key.jwk));
  expect(readPreflight(verified.payload)).toEqual(vector.payload);
  expect(verified.payloadSha256).toBe(vector.payload_sha256);
});

test('proofs of an operator', async () => {
  type ProofVector = {
    intent_sha256: string;
    key: { jwk: Ed25519Jwk; proof: KeyProof };
    passkey: { x: string; y: string; rp_id: string; origin: string; proof: PasskeyProof };
  };
  const { intent_sha256, key, passkey } = read<ProofVector>('proofs');
  const hash = Buffer.from(intent_sha256, 'base64url');
  expect(key.proof.kid).toBe(await thumbprint(key.jwk));
  const edKey = createPublicKey({ key: key.jwk as never, format: 'jwk' });
  expect(verify(null, hash, edKey, Buffer.from(key.proof.sig, 'base64url'))).toBe(true);
  const { x, y, rp_id: rpId, origin, proof } = passkey;
  expect(proof.kid).toBe(await passkeyThumbprint({ x, y }));
  const signed = await readAssertion(proof, { challenge: intent_sha256, rpId, origin });
  const ecKey = createPublicKey({ key: { kty: 'EC', crv: 'P-256', x, y }, format: 'jwk' });
  expect(verify('sha256', signed, ecKey, Buffer.from(proof.sig, 'base64url'))).toBe(true);
});

test('sealed secret', async () => {
  const vector = read<{ recipient_seed_hex: string; context: SealContext; password: string; sealed: string }>('sealed');
  const key = await sealingKeyFromSeed(seed(vector.recipient_seed_hex));
  expect((await openSecret(vector.sealed, vector.context, key)).reveal()).toBe(vector.password);
});

describe('frames', () => {
  const { down, up } = read<{ down: FrameVector[]; up: FrameVector[] }>('frames');
  test.each(down)('down $value.t', ({ value, text }) => {
    expect(parseDownFrame(encode(text))).toEqual(value);
    expect(encodeFrame(value)).toBe(text);
  });
  test.each(up)('up $value.t', ({ value, text }) => {
    expect(parseUpFrame(encode(text))).toEqual(value);
    expect(encodeFrame(value)).toBe(text);
  });
});

const vectors = read<MalformedVectors>('malformed');
const malformedKey = await signingKeyFromSeed(seed(vectors.verify_with.seed_hex));
const verifyMalformed = (token: string) =>
  verifyToken(token, 'lk-command+jws', onlyKey(malformedKey.kid, malformedKey.jwk));

describe('malformed', () => {
  test('the token from which they are made is good', async () => {
    expect(parseSchema(command, (await verifyMalformed(vectors.good_token)).payload)).toBeTruthy();
    expect(vectors.tokens.length + vectors.commands.length).toBeGreaterThan(20);
  });
  test.each(vectors.tokens)('$name is $code', ({ code, token }) => expectRefused(code, () => verifyMalformed(token)));
  test.each(vectors.commands)('$name verifies and is $code', async ({ code, token }) => {
    const { payload } = await verifyMalformed(token);
    await expectRefused(code, () => parseSchema(command, parseCanonical(canonicalBytes(payload))));
  });
});
