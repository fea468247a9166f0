// What holds for every token: it comes back as it was sent, and no change to its text passes, however small.

import fc from 'fast-check';
import { CompactSign } from 'jose';
import { expect, test } from 'vitest';
import { canonicalBytes, type JsonValue } from '../../protocol/canonical.ts';
import { Failure } from '../../protocol/failure.ts';
import { toBase64url } from '../../protocol/keys.ts';
import { onlyKey, signToken, tokenTypes, verifyToken } from '../../protocol/token.ts';
import { codeFrom } from './refusal.ts';
import { keys, sampleCommand } from './samples.ts';

const TYP = 'lk-command+jws';
const lookup = onlyKey(keys.command.kid, keys.command.jwk);
const token = await signToken(TYP, sampleCommand(), keys.command);
const verify = (text: string) => verifyToken(text, TYP, lookup);
const refusals = ['TOKEN_MALFORMED', 'ALG_REFUSED', 'TYP_REFUSED', 'KID_UNKNOWN', 'SIG_INVALID'];

test('any JSON payload within the depth comes back as it was', async () => {
  const value = fc.jsonValue({ maxDepth: 4 });
  await fc.assert(
    fc.asyncProperty(fc.dictionary(fc.string(), value, { maxKeys: 4 }), async (payload) => {
      const verified = await verify(await signToken(TYP, payload, keys.command));
      expect(JSON.stringify(verified.payload)).toBe(JSON.stringify(payload));
    }),
    { numRuns: 200 },
  );
});

test('every single bit of a token matters', async () => {
  for (let at = 0; at < token.length; at += 1) {
    for (const bit of [0, 1, 2, 3, 4, 5, 6]) {
      const changed = token.slice(0, at) + String.fromCharCode(token.charCodeAt(at) ^ (1 << bit)) + token.slice(at + 1);
      const code = await codeFrom(() => verify(changed));
      if (typeof code !== 'string' || !refusals.includes(code)) expect.fail(`${at}, bit ${bit}: ${String(code)}`);
    }
  }
});

test('every insertion, deletion, replacement and swap is refused', async () => {
  const change = fc.oneof(
    fc.tuple(fc.constant('insert'), fc.nat(token.length), fc.string({ minLength: 1, maxLength: 3, unit: 'binary' })),
    fc.tuple(fc.constant('delete'), fc.nat(token.length - 1), fc.constant('')),
    fc.tuple(
      fc.constant('replace'),
      fc.nat(token.length - 1),
      fc.string({ minLength: 1, maxLength: 1, unit: 'binary' }),
    ),
    fc.tuple(fc.constant('repeat'), fc.nat(token.length - 1), fc.constant('')),
  );
  await fc.assert(
    fc.asyncProperty(change, async ([kind, at, text]) => {
      const cut = kind === 'delete' || kind === 'replace' ? 1 : 0;
      const middle = kind === 'repeat' ? (token[at] ?? '') : text;
      const changed = token.slice(0, at) + middle + token.slice(at + cut);
      fc.pre(changed !== token);
      expect(refusals).toContain(await codeFrom(() => verify(changed)));
    }),
    { numRuns: 500 },
  );
});

test('any text at all is refused with a code, never with another error', async () => {
  const pieces = fc.oneof(fc.string({ unit: 'binary' }), fc.base64String(), fc.constantFrom(...token.split('.'), '.'));
  await fc.assert(
    fc.asyncProperty(fc.array(pieces, { maxLength: 6 }), async (parts) => {
      const text = parts.join('');
      fc.pre(text !== token);
      expect(await codeFrom(() => verify(text))).toBeTypeOf('string');
    }),
    { numRuns: 500 },
  );
});

test('a failure keeps its code and names no content', async () => {
  const failure = await verify('x.y.z').then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(Failure);
  expect((failure as Failure).message).toBe('The message is not a well-formed token.');
  const value: JsonValue = { ...(failure as Failure).details };
  expect(JSON.stringify(value)).not.toContain('x.y.z');
});

test('nothing is read of what a key did not sign: its signature is asked first, whatever a token holds', async () => {
  const stranger = { ...keys.spare, kid: keys.command.kid };
  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 1 }),
    fc.json().map((text) => new TextEncoder().encode(text)),
  );
  await fc.assert(
    fc.asyncProperty(bytes, async (payload) => {
      const token = await new CompactSign(payload)
        .setProtectedHeader({ alg: 'Ed25519', kid: stranger.kid, typ: TYP })
        .sign(stranger.privateKey);
      expect(await codeFrom(() => verify(token))).toBe('SIG_INVALID');
    }),
    { numRuns: 300 },
  );
});

test('no other algorithm and no other type is taken, whatever it is called', async () => {
  const [, payload = '', signature = ''] = token.split('.');
  const good = { alg: 'Ed25519', kid: keys.command.kid, typ: TYP };
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 1 }),
    fc.string(),
    fc.constantFrom('none', 'EdDSA', 'HS256', ...tokenTypes),
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('alg', 'typ'), value, async (name, said) => {
      fc.pre(JSON.stringify(said) !== JSON.stringify(good[name]));
      const header = toBase64url(canonicalBytes({ ...good, [name]: said }));
      fc.pre(header.length <= 400);
      const code = await codeFrom(() => verify(`${header}.${payload}.${signature}`));
      expect(code).toBe(name === 'alg' ? 'ALG_REFUSED' : 'TYP_REFUSED');
    }),
    { numRuns: 300 },
  );
});
