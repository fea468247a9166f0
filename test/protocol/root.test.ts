// The root of trust: thresholds over unique keys, one version after the other, and nothing where it is broken.

import { describe, expect, test } from 'vitest';
import { type SigningKey, signingKeyFromSeed, thumbprint } from '../../protocol/keys.ts';
import { ROOT_BYTES_MAX } from '../../protocol/limits.ts';
import {
  advanceRoot,
  assertRootValid,
  type Operators,
  openRoot,
  operatorKeysOf,
  type RootPayload,
  roleKeys,
  type SignedRoot,
  signRoot,
} from '../../protocol/root.ts';
import type { Ed25519Jwk } from '../../protocol/schema.ts';
import { parseTrust } from '../../protocol/trust.ts';
import { expectRefused } from './refusal.ts';
import { bytes32Text, countingBytes, INSTALLATION, keys, NOW_S, sampleRoot } from './samples.ts';

const { rootA, rootB, rootC, command, session, spare } = keys;
const first = await openRoot(await signRoot(sampleRoot(), [rootA, rootB]));
const invalid = (document: unknown) => expectRefused('ROOT_INVALID', () => openRoot(document));
const entry = (key: { kid: string; jwk: Ed25519Jwk }) => ({ [key.kid]: { jwk: key.jwk, expires: NOW_S + 1_000 } });

describe('threshold', () => {
  test('any two of three', async () => {
    for (const pair of [
      [rootA, rootB],
      [rootC, rootA],
      [rootB, rootC],
      [rootA, rootB, rootC],
    ]) {
      expect((await openRoot(await signRoot(sampleRoot(), pair))).version).toBe(1);
    }
  });

  test('one is too few, and so is one twice, or one with strangers', async () => {
    for (const signers of [[rootA], [rootA, rootA], [rootA, spare], [rootA, command, session], [spare]]) {
      const document = await signRoot(sampleRoot(), signers);
      await expectRefused('ROOT_THRESHOLD', () => openRoot(document));
    }
  });

  test('a broken signature does not count, and does not hide two good ones', async () => {
    const [a, b, c] = (await signRoot(sampleRoot(), [rootA, rootB, rootC])).signatures;
    const { payload } = await signRoot(sampleRoot(), []);
    if (!a || !b || !c) throw new Error('three signatures were made');
    const broken = { ...a, signature: b.signature };
    await expectRefused('ROOT_THRESHOLD', () => openRoot({ payload, signatures: [broken, b] }));
    expect(await openRoot({ payload, signatures: [broken, b, c] })).toBeTruthy();
    expect(await openRoot({ payload, signatures: [broken, a, b] })).toBeTruthy();
  });

  test('one key under a second spelling of its coordinate is one key', async () => {
    const last = rootA.jwk.x.slice(-1);
    const jwk = { ...rootA.jwk, x: rootA.jwk.x.slice(0, -1) + String.fromCharCode(last.charCodeAt(0) + 1) };
    expect(Buffer.from(jwk.x, 'base64url').equals(Buffer.from(rootA.jwk.x, 'base64url'))).toBe(true);
    const alias: SigningKey = { ...rootA, jwk, kid: await thumbprint(jwk) };
    const roles = { ...first.roles, root: { kids: [rootA.kid, alias.kid], threshold: 2 } };
    await invalid(await signRoot(sampleRoot({ keys: { ...first.keys, ...entry(alias) }, roles }), [rootA, alias]));
  });

  test('more signatures than any root has keys are refused unread', async () => {
    await invalid(await signRoot(sampleRoot(), new Array(17).fill(rootA)));
  });
});

describe('operators', () => {
  const place = { rp_id: 'console.example', origin: 'https://console.example' };
  const point = { x: bytes32Text(1), y: bytes32Text(2) };
  const ada = { keys: [spare.jwk], passkeys: [{ ...point, ...place }] };
  const named = (operators: Operators) => sampleRoot({ roles: { ...first.roles, operators } });
  const opened = async (operators: Operators) => openRoot(await signRoot(named(operators), [rootA, rootB]));

  test('are found by their own names alone', async () => {
    const root = await opened({ ada, constructor: { keys: [], passkeys: [] } });
    expect(operatorKeysOf(root, 'ada')).toEqual(ada);
    expect(operatorKeysOf(root, 'constructor')).toEqual({ keys: [], passkeys: [] });
    for (const name of ['eve', 'valueof', 'toString', '__proto__']) expect(operatorKeysOf(root, name)).toBeNull();
    expect(operatorKeysOf(first, 'constructor')).toBeNull();
  });

  test('share no key, neither with another operator nor with a role', async () => {
    const nobody = { keys: [], passkeys: [] };
    const doubles: Operators[] = [
      { ada, eve: { ...nobody, keys: [spare.jwk] } },
      { ada, eve: { ...nobody, passkeys: [{ ...point, ...place, origin: 'https://other.example' }] } },
      { ada: { ...nobody, keys: [spare.jwk, spare.jwk] } },
      { ada: { ...nobody, keys: [command.jwk] } },
      { ada: { ...nobody, keys: [rootA.jwk] } },
    ];
    for (const operators of doubles) await invalid(await signRoot(named(operators), [rootA, rootB]));
  });

  test.each([
    { origin: 'https://console.example/' },
    { origin: 'https://user@console.example' },
    { origin: 'wss://console.example' },
    { origin: '' },
    { rp_id: 'console.example:443' },
    { rp_id: 'Console.example' },
    { x: 'A' },
  ])('have passkeys of no such form: %j', async (change) => {
    await invalid(
      await signRoot(named({ ada: { ...ada, passkeys: [{ ...point, ...place, ...change }] } }), [rootA, rootB]),
    );
  });

  test('have sixteen keys at most', async () => {
    const many = await Promise.all(
      Array.from({ length: 17 }, async (_, n) => (await signingKeyFromSeed(countingBytes(0xa0 + n))).jwk),
    );
    await expect(opened({ ada: { keys: many.slice(1), passkeys: [] } })).resolves.toBeTruthy();
    await invalid(await signRoot(named({ ada: { keys: many, passkeys: [] } }), [rootA, rootB]));
  });
});

describe('the next version', () => {
  const next = sampleRoot({ version: 2 });

  test('follows by one, signed by the threshold of both', async () => {
    expect((await advanceRoot(first, await signRoot(next, [rootA, rootC]))).version).toBe(2);
  });

  test.each([0, 1, 3, 4, 1_000])('version %i after version 1', async (version) => {
    const document = await signRoot(sampleRoot({ version }), [rootA, rootB]);
    await expectRefused(version === 0 ? 'ROOT_INVALID' : 'ROOT_ROLLBACK', () => advanceRoot(first, document));
  });

  test('new keys need the old ones as well, and the old the new', async () => {
    const roles = { ...first.roles, root: { kids: [spare.kid, keys.ik.kid], threshold: 2 } };
    const replaced = sampleRoot({
      version: 2,
      keys: { ...first.keys, ...entry(spare), ...entry(keys.ik) },
      roles,
    });
    for (const signers of [
      [spare, keys.ik],
      [rootA, rootB],
      [rootA, spare],
      [rootA, rootB, spare],
    ]) {
      const document = await signRoot(replaced, signers);
      await expectRefused('ROOT_THRESHOLD', () => advanceRoot(first, document));
    }
    const both = await signRoot(replaced, [rootA, rootB, spare, keys.ik]);
    expect((await advanceRoot(first, both)).roles.root.kids).toEqual([spare.kid, keys.ik.kid]);
  });

  test('a lower threshold in the new version does not lower the old one', async () => {
    const roles = { ...first.roles, root: { ...first.roles.root, threshold: 1 } };
    const document = await signRoot(sampleRoot({ version: 2, roles }), [rootA]);
    await expectRefused('ROOT_THRESHOLD', () => advanceRoot(first, document));
  });

  test('another installation cannot take over', async () => {
    const iss = INSTALLATION.replace('3', '4');
    await expectRefused('ISS_MISMATCH', async () =>
      advanceRoot(first, await signRoot(sampleRoot({ version: 2, iss }), [rootA, rootB])),
    );
  });
});

describe('ends', () => {
  test('a root past its end lets no command through', async () => {
    expect(assertRootValid(first, first.expires)).toBeUndefined();
    await expectRefused('ROOT_EXPIRED', () => assertRootValid(first, first.expires + 1));
  });

  test('a key past its end signs nothing; without a time its end is left unchecked', async () => {
    const { expires } = first.keys[session.kid] ?? { expires: 0 };
    expect(roleKeys(first, 'session', expires)(session.kid)).toEqual(session.jwk);
    expect(roleKeys(first, 'session', null)(session.kid)).toEqual(session.jwk);
    await expectRefused('KEY_EXPIRED', () => roleKeys(first, 'session', expires + 1)(session.kid));
    for (const kid of [command.kid, spare.kid, 'constructor', '__proto__', '']) {
      await expectRefused('KID_UNKNOWN', () => roleKeys(first, 'session', null)(kid));
    }
  });
});

describe('a root that contradicts itself', () => {
  const signed = (changes: Partial<RootPayload>) => signRoot(sampleRoot(changes), [rootA, rootB]);
  const { roles } = sampleRoot();
  const all = sampleRoot().keys;

  test('one key in two roles', async () => {
    await invalid(await signed({ roles: { ...roles, session: { kids: [command.kid], threshold: 1 } } }));
    await invalid(await signed({ roles: { ...roles, command: { kids: [rootA.kid], threshold: 1 } } }));
  });
  test('one key twice in a role', async () => {
    await invalid(await signed({ roles: { ...roles, root: { kids: [rootA.kid, rootA.kid], threshold: 2 } } }));
  });
  test('a role that names a key that is not there', async () => {
    await invalid(await signed({ roles: { ...roles, command: { kids: [spare.kid], threshold: 1 } } }));
  });
  test('a threshold of zero, of more keys than there are, or of no keys', async () => {
    for (const threshold of [0, -1, 4, 1.5, 17]) {
      await invalid(await signed({ roles: { ...roles, root: { ...roles.root, threshold } } }));
    }
    await invalid(await signed({ roles: { ...roles, root: { kids: [], threshold: 1 } } }));
  });
  test('a key id that is not the thumbprint', async () => {
    await invalid(await signed({ keys: { ...all, [spare.kid]: { jwk: keys.ik.jwk, expires: NOW_S } } }));
  });
  test('a private key, or a key of another kind', async () => {
    const withPrivate = { ...spare.jwk, d: spare.jwk.x };
    const sealing = { ...spare.jwk, crv: 'X25519' } as unknown as Ed25519Jwk;
    for (const jwk of [withPrivate, sealing, { ...spare.jwk, alg: 'EdDSA' } as Ed25519Jwk]) {
      await invalid(await signed({ keys: { ...all, [spare.kid]: { jwk, expires: NOW_S } } }));
    }
  });
  test('a key named __proto__ is refused and not dropped', async () => {
    const text = JSON.stringify(sampleRoot()).replace('"keys":{', '"keys":{"__proto__":{"x":1},');
    await invalid(await signRoot(JSON.parse(text) as RootPayload, [rootA, rootB]));
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });
});

describe('a document that is missing, empty, cut, too large or of another shape', () => {
  test.each([[undefined], [null], [''], ['{}'], [[]], [{}], [0], [true]])('%j', (document) => invalid(document));

  test('cut, extended or signed by nobody', async () => {
    const { payload, signatures } = await signRoot(sampleRoot(), [rootA, rootB]);
    const [a, b] = signatures;
    await invalid({ payload, signatures: [] });
    await invalid({ payload });
    await invalid({ signatures });
    await invalid({ payload: payload.slice(0, -40), signatures });
    await invalid({ payload: `${payload}=`, signatures });
    await invalid({ payload, signatures, extra: 1 });
    await invalid({ payload, signatures: [{ ...a, header: { alg: 'none' } }, b] });
    await invalid({ payload, signatures: [{ ...a, signature: a?.signature.slice(0, -1) }, b] });
    await invalid({ payload, signatures: { 0: a, 1: b } });
  });

  test('a signature of another type, algorithm or with more in its header', async () => {
    const { payload, signatures } = await signRoot(sampleRoot(), [rootA, rootB]);
    const good = { alg: 'Ed25519', kid: rootC.kid, typ: 'lk-root+jws' };
    const others = [
      { ...good, alg: 'none' },
      { ...good, alg: 'EdDSA' },
      { ...good, typ: 'lk-command+jws' },
      { ...good, jwk: rootC.jwk },
    ];
    for (const header of others) {
      const bad = { signature: 'A'.repeat(86), protected: Buffer.from(JSON.stringify(header)).toString('base64url') };
      await invalid({ payload, signatures: [...signatures, bad] });
    }
  });

  test('one byte past the limit', async () => {
    const document = await signRoot(sampleRoot(), [rootA, rootB]);
    const room = ROOT_BYTES_MAX - JSON.stringify(document).length;
    const tooLarge: SignedRoot = { ...document, payload: document.payload + 'A'.repeat(room + 1) };
    await expect(openRoot(tooLarge)).rejects.toMatchObject({ details: { reason: 'size' } });
    const fits: SignedRoot = { ...document, payload: document.payload + 'A'.repeat(room) };
    await expect(openRoot(fits)).rejects.not.toMatchObject({ details: { reason: 'size' } });
    await invalid({ ...document, payload: 'A'.repeat(33 * 1024 - 200) });
  });

  test('nested 100,000 deep', async () => {
    let deep: unknown = 1;
    for (let i = 0; i < 100_000; i += 1) deep = [deep];
    await invalid({ payload: deep, signatures: deep }).catch((error: unknown) => {
      // The parser of the platform may refuse the depth itself; what matters is that nothing is accepted.
      expect(error).toBeInstanceOf(RangeError);
    });
  });
});

describe('the trust file', () => {
  const ca_pem = '';
  const trust = async (url: unknown) => ({ v: 1, url, ca_pem, root: await signRoot(sampleRoot(), [rootA, rootB]) });

  test.each([
    'wss://control.example',
    'wss://control.example:8443/agents',
    'ws://127.0.0.1:8443',
    'ws://localhost/a',
    'ws://[::1]:1',
  ])('accepts %s', async (url) => {
    expect(parseTrust(await trust([url])).url).toEqual([url]);
  });

  test.each([
    'ws://control.example',
    'ws://127.0.0.1.evil.example',
    'ws://localhost.evil.example',
    'ws://10.0.0.1',
    'https://control.example',
    'http://169.254.169.254/latest',
    'wss://user:pass@control.example',
    'wss://control.example/?q=1',
    'wss://control.example/#f',
    'wss://control.example\n',
    'WSS://control.example',
    'wss://',
    '',
  ])('refuses %j', async (url) => {
    const value = await trust([url]);
    await expectRefused('SCHEMA_INVALID', () => parseTrust(value));
  });

  test('refuses no address, and more than it takes', async () => {
    for (const url of [[], new Array(9).fill('wss://control.example'), 'wss://control.example', null]) {
      const value = await trust(url);
      await expectRefused('SCHEMA_INVALID', () => parseTrust(value));
    }
  });
});
