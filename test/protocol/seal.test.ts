// Sealed secrets: opened by one key for one operation, agent, direction and slot, under one algorithm.

import fc from 'fast-check';
import { CompactEncrypt, generateKeyPair } from 'jose';
import { describe, expect, test } from 'vitest';
import { canonicalBytes } from '../../protocol/canonical.ts';
import { publicKey, toBase64url } from '../../protocol/keys.ts';
import { SEALED_BYTES_MAX } from '../../protocol/limits.ts';
import { openSecret, type SealContext, sealSecret } from '../../protocol/seal.ts';
import { Secret } from '../../protocol/secret.ts';
import { codeFrom, expectRefused } from './refusal.ts';
import { AGENT, ARTIFICIAL_PASSWORD, countingBytes, OP, otherSeal, seal } from './samples.ts';

const context: SealContext = { op: OP, agent: AGENT, dir: 'to-agent', slot: 'account' };
const random = () => countingBytes(0x70);
const sealed = await sealSecret(Secret.ofText(ARTIFICIAL_PASSWORD), context, seal.jwk, random);
const [header = '', ...rest] = sealed.split('.');
const claimed = JSON.parse(Buffer.from(header, 'base64url').toString()) as Record<string, unknown>;
const withHeader = (value: unknown) => [toBase64url(canonicalBytes(value)), ...rest].join('.');
const refused = (text: string, code: 'UNSEAL_FAILED' | 'ALG_REFUSED') =>
  expectRefused(code, () => openSecret(text, context, seal));

/** Any plaintext, sealed correctly to the right key. */
async function sealedContent(content: unknown, kid = seal.kid): Promise<string> {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : canonicalBytes(content);
  return new CompactEncrypt(bytes)
    .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM', kid, typ: 'lk-secret+jwe' })
    .encrypt(await publicKey(seal.jwk));
}

test('what was sealed is opened, by its key and for its context', async () => {
  expect((await openSecret(sealed, context, seal)).reveal()).toBe(ARTIFICIAL_PASSWORD);
  expect(sealed.length).toBeLessThanOrEqual(SEALED_BYTES_MAX);
  expect(Object.keys(claimed).sort()).toEqual(['alg', 'enc', 'epk', 'kid', 'typ']);
});

test('any password within the rule fits and comes back', async () => {
  const password = fc.string({ minLength: 8, maxLength: 30, unit: 'grapheme-ascii' });
  await fc.assert(
    fc.asyncProperty(password, fc.constantFrom('account', 'vnc'), async (text, slot) => {
      const there: SealContext = { ...context, dir: 'to-operator', slot };
      const box = await sealSecret(Secret.ofText(text), there, seal.jwk, random);
      expect((await openSecret(box, there, seal)).reveal()).toBe(text);
      expect(box.length).toBeLessThanOrEqual(SEALED_BYTES_MAX);
    }),
    { numRuns: 100 },
  );
});

describe('opened for another purpose', () => {
  test('with another key', () => expectRefused('UNSEAL_FAILED', () => openSecret(sealed, context, otherSeal)));
  test('with another key that claims the id', () =>
    expectRefused('UNSEAL_FAILED', () => openSecret(sealed, context, { ...otherSeal, kid: seal.kid })));
  test.each([
    { ...context, op: OP.replace('1', '2') },
    { ...context, agent: AGENT.replace('2', '3') },
    { ...context, dir: 'to-operator' as const },
    { ...context, slot: 'vnc' as const },
  ])('for %j', (other) => expectRefused('UNSEAL_FAILED', () => openSecret(sealed, other, seal)));
});

describe('other algorithms', () => {
  const { enc, kid, typ, epk } = claimed;
  test.each([
    'RSA-OAEP',
    'RSA-OAEP-256',
    'RSA1_5',
    'dir',
    'PBES2-HS256+A128KW',
    'A256KW',
    'ECDH-ES+A256KW',
    'none',
    null,
  ])('alg %s', (alg) => refused(withHeader({ alg, enc, kid, typ, epk }), 'ALG_REFUSED'));
  test.each(['A128GCM', 'A128CBC-HS256', 'A256CBC-HS512', '', null])('enc %s', (other) =>
    refused(withHeader({ ...claimed, enc: other }), 'ALG_REFUSED'),
  );
  test.each(['DEF', '', null])('zip %j', (zip) => refused(withHeader({ ...claimed, zip }), 'ALG_REFUSED'));

  test('RSA-OAEP and PBES2 and dir, made by a library', async () => {
    const rsa = await generateKeyPair('RSA-OAEP-256');
    const made = [
      await new CompactEncrypt(canonicalBytes({}))
        .setProtectedHeader({ alg: 'RSA-OAEP-256', enc: 'A256GCM', kid: seal.kid, typ: 'lk-secret+jwe' })
        .encrypt(rsa.publicKey),
      await new CompactEncrypt(canonicalBytes({}))
        .setProtectedHeader({ alg: 'PBES2-HS256+A128KW', enc: 'A256GCM', kid: seal.kid })
        .encrypt(countingBytes(0)),
      await new CompactEncrypt(canonicalBytes({}))
        .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', kid: seal.kid })
        .encrypt(countingBytes(0)),
    ];
    for (const text of made) await refused(text, 'ALG_REFUSED');
  });
});

describe('header and spelling', () => {
  test.each([
    ['another type', { ...claimed, typ: 'JWE' }],
    ['no type', { ...claimed, typ: undefined }],
    ['another key id', { ...claimed, kid: otherSeal.kid }],
    ['an extra member', { ...claimed, apu: 'AAAA' }],
    ['a critical member', { ...claimed, crit: ['x'], x: 1 }],
    ['an embedded key', { ...claimed, jwk: seal.jwk }],
    ['no ephemeral key', { ...claimed, epk: undefined }],
    ['an ephemeral key of another curve', { ...claimed, epk: { kty: 'OKP', crv: 'Ed25519', x: seal.jwk.x } }],
    ['an ephemeral private key', { ...claimed, epk: { ...seal.jwk, d: seal.jwk.x } }],
    ['the zero point', { ...claimed, epk: { kty: 'OKP', crv: 'X25519', x: 'A'.repeat(43) } }],
    ['another ephemeral key', { ...claimed, epk: otherSeal.jwk }],
  ])('%s', (_, value) => refused(withHeader(value), 'UNSEAL_FAILED'));

  test('headers that are no object', async () => {
    for (const value of [null, [], 'text', 1]) {
      expect(await codeFrom(() => openSecret(withHeader(value), context, seal))).toMatch(
        /^(ALG_REFUSED|UNSEAL_FAILED)$/,
      );
    }
  });

  test('too large, cut, empty, or with an encrypted key', async () => {
    const [key, iv, ciphertext, tag] = rest;
    for (const text of [
      `${sealed}${'A'.repeat(SEALED_BYTES_MAX)}`,
      sealed.slice(0, -1),
      `${sealed}\n`,
      '',
      '....',
      [header, 'AAAA', iv, ciphertext, tag].join('.'),
      [header, key, iv, ciphertext].join('.'),
    ]) {
      await refused(text, 'UNSEAL_FAILED');
    }
  });

  test('too large is refused before anything is decoded, and another shape before anything is opened', async () => {
    const [, iv, ciphertext, tag] = rest;
    for (const [reason, text] of [
      ['size', [header, '', iv, `${ciphertext}${'A'.repeat(SEALED_BYTES_MAX)}`, tag].join('.')],
      ['shape', [header, 'AAAA', iv, ciphertext, tag].join('.')],
      ['shape', [header, '', iv, ciphertext].join('.')],
    ] as const) {
      await expect(openSecret(text, context, seal)).rejects.toMatchObject({ details: { reason } });
    }
  });

  test('non-zero spare bits in any part', async () => {
    const parts = sealed.split('.');
    for (const [at, part] of parts.entries()) {
      if (part.length % 4 === 0) continue;
      const respelt = part.slice(0, -1) + String.fromCharCode(part.charCodeAt(part.length - 1) + 1);
      await refused(parts.with(at, respelt).join('.'), 'UNSEAL_FAILED');
    }
  });

  test('no byte of it can be changed', async () => {
    for (let at = 0; at < sealed.length; at += 1) {
      const other = sealed[at] === 'A' ? 'B' : 'A';
      const code = await codeFrom(() => openSecret(sealed.slice(0, at) + other + sealed.slice(at + 1), context, seal));
      expect(['UNSEAL_FAILED', 'ALG_REFUSED'], `byte ${at}: ${String(code)}`).toContain(code);
    }
  });
});

describe('content', () => {
  const good = { op: OP, agent: AGENT, dir: 'to-agent', slot: 'account', pw: ARTIFICIAL_PASSWORD };
  test('a plaintext made elsewhere opens when it is right', async () => {
    expect((await openSecret(await sealedContent(good), context, seal)).reveal()).toBe(ARTIFICIAL_PASSWORD);
  });
  test('the right content to the right key under another key id is refused', async () => {
    await refused(await sealedContent(good, otherSeal.kid), 'UNSEAL_FAILED');
  });
  test.each([
    ['an extra field', { ...good, more: 1 }],
    ['a missing field', { ...good, slot: undefined }],
    ['a password that is no text', { ...good, pw: 12345678 }],
    ['a password far too long', { ...good, pw: 'a'.repeat(65) }],
    ['an array', [good]],
    ['bare text', '"text"'],
    ['no JSON', 'text'],
    ['blanks', JSON.stringify(good, null, 1)],
    ['a duplicate field', JSON.stringify(good).replace('{', '{"pw":"x",')],
  ])('%s', async (_, content) => refused(await sealedContent(content), 'UNSEAL_FAILED'));
});

describe('a recipient of small order', () => {
  // The points of RFC 7748, section 6.1, whose shared secret is zero whatever the other key.
  test.each([
    '00'.repeat(32),
    `01${'00'.repeat(31)}`,
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    `ec${'ff'.repeat(30)}7f`,
    `ed${'ff'.repeat(30)}7f`,
    `ee${'ff'.repeat(30)}7f`,
  ])('%s', async (hex) => {
    const recipient = { kty: 'OKP', crv: 'X25519', x: Buffer.from(hex, 'hex').toString('base64url') } as const;
    await expectRefused('UNSEAL_FAILED', () =>
      sealSecret(Secret.ofText(ARTIFICIAL_PASSWORD), context, recipient, random),
    );
    await refused(withHeader({ ...claimed, epk: recipient }), 'UNSEAL_FAILED');
  });
});
