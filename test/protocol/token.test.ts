// Signed tokens: the attacks on header, key and signature, each with the code that it must get.

import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import { CompactSign } from 'jose';
import { describe, expect, test } from 'vitest';
import { canonicalBytes } from '../../protocol/canonical.ts';
import { toBase64url } from '../../protocol/keys.ts';
import { RECEIPT_BYTES_MAX, TOKEN_BYTES_MAX } from '../../protocol/limits.ts';
import { advanceRoot, openRoot, roleKeys, signRoot } from '../../protocol/root.ts';
import { onlyKey, payloadOf, signToken, tokenTypes, verifyToken } from '../../protocol/token.ts';
import { expectRefused } from './refusal.ts';
import { keys, NOW_S, sampleCommand, sampleReceipt, sampleRoot } from './samples.ts';

const COMMAND = 'lk-command+jws';
const lookup = onlyKey(keys.command.kid, keys.command.jwk);
const token = await signToken(COMMAND, sampleCommand(), keys.command);
const [header = '', payload = '', signature = ''] = token.split('.');
const good = { alg: 'Ed25519', kid: keys.command.kid, typ: COMMAND };

const part = (value: unknown) => toBase64url(canonicalBytes(value));
const withHeader = (value: unknown) => `${part(value)}.${payload}.${signature}`;
const flip = (text: string) => (text.startsWith('A') ? 'B' : 'A') + text.slice(1);
const refused = (text: string) => ({
  as: (code: Parameters<typeof expectRefused>[0]) => expectRefused(code, () => verifyToken(text, COMMAND, lookup)),
});

describe('a good token', () => {
  test('verifies and is known by the hash of its payload', async () => {
    const verified = await verifyToken(token, COMMAND, lookup);
    expect(verified.payload).toEqual(sampleCommand());
    expect(verified.header).toEqual(good);
    expect(verified.payloadSha256).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(payloadOf(token)).toEqual(sampleCommand());
  });

  test('is the same text each time: Ed25519 draws nothing', async () => {
    expect(await signToken(COMMAND, sampleCommand(), keys.command)).toBe(token);
  });
});

describe('signature', () => {
  test('a payload byte flipped', () => refused(`${header}.${flip(payload)}.${signature}`).as('SIG_INVALID'));
  test('a signature byte flipped', () => refused(`${header}.${payload}.${flip(signature)}`).as('SIG_INVALID'));
  test('the signature of another key under this key id', async () => {
    const forged = await signToken(COMMAND, sampleCommand(), { ...keys.spare, kid: keys.command.kid });
    await refused(forged).as('SIG_INVALID');
  });
  test('a signature of zeros, and one whose S is not reduced', async () => {
    await refused(`${header}.${payload}.${'A'.repeat(86)}`).as('SIG_INVALID');
    const bytes = Buffer.from(signature, 'base64url');
    bytes[63] = (bytes[63] ?? 0) | 0xe0;
    await refused(`${header}.${payload}.${bytes.toString('base64url')}`).as('SIG_INVALID');
  });
});

describe('algorithm', () => {
  test('alg none with an empty signature', () =>
    refused(`${part({ ...good, alg: 'none' })}.${payload}.`).as('ALG_REFUSED'));
  test('alg none with a signature', () => refused(withHeader({ ...good, alg: 'none' })).as('ALG_REFUSED'));
  test('a good header with an empty signature', () => refused(`${header}.${payload}.`).as('ALG_REFUSED'));
  test('HS256 keyed with the public key', async () => {
    const signed = `${part({ ...good, alg: 'HS256' })}.${payload}`;
    for (const key of [keys.command.jwk.x, Buffer.from(keys.command.jwk.x, 'base64url')]) {
      await refused(`${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`).as('ALG_REFUSED');
    }
  });
  test.each(['EdDSA', 'ed25519', 'Ed25519 ', 'ES256', 'RS256', 'Ed448', '', null, 1, ['Ed25519']])(
    'alg %j instead of Ed25519',
    (alg) => refused(withHeader({ ...good, alg })).as('ALG_REFUSED'),
  );
  test('EdDSA, correctly signed', async () => {
    const signed = await new CompactSign(canonicalBytes(sampleCommand()))
      .setProtectedHeader({ ...good, alg: 'EdDSA' })
      .sign(keys.command.privateKey);
    await refused(signed).as('ALG_REFUSED');
  });
  test('no alg at all', () => refused(withHeader({ kid: good.kid, typ: COMMAND })).as('ALG_REFUSED'));
});

describe('header', () => {
  const signedHeader = (extra: object) =>
    new CompactSign(canonicalBytes(sampleCommand()))
      .setProtectedHeader({ ...good, ...extra })
      .sign(keys.spare.privateKey);

  test('an embedded key of the attacker is never used', async () => {
    await refused(await signedHeader({ jwk: keys.spare.jwk })).as('TOKEN_MALFORMED');
  });

  test('jku and x5u are refused and nothing is fetched', async () => {
    let requests = 0;
    const server = createServer((_, response) => {
      requests += 1;
      response.end('{}');
    });
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    for (const name of ['jku', 'x5u']) {
      await refused(await signedHeader({ [name]: `http://127.0.0.1:${port}/keys` })).as('TOKEN_MALFORMED');
    }
    await new Promise((closed) => server.close(closed));
    expect(requests).toBe(0);
  });

  test.each([
    ['an unknown crit', { crit: ['exp'], exp: 1 }],
    ['an empty crit', { crit: [] }],
    ['b64 false', { b64: false }],
    ['b64 false, marked critical', { b64: false, crit: ['b64'] }],
    ['x5c', { x5c: ['AAAA'] }],
    ['zip', { zip: 'DEF' }],
    ['cty', { cty: 'JWT' }],
    ['constructor', { constructor: 1 }],
  ])('%s', (_, extra) => refused(withHeader({ ...good, ...extra })).as('TOKEN_MALFORMED'));

  test('members in another order, a duplicate, blanks, a mark before them', async () => {
    const text = JSON.stringify(good);
    const spellings = [
      JSON.stringify({ typ: COMMAND, alg: good.alg, kid: good.kid }),
      text.replace('{', '{"alg":"none",'),
      text.replace(':', ': '),
      `\u{feff}${text}`,
      `${text}\n`,
      text.replace('Ed25519', '\\u0045d25519'),
      text.replace('{', '{"__proto__":1,'),
    ];
    for (const spelling of spellings) {
      await refused(`${toBase64url(new TextEncoder().encode(spelling))}.${payload}.${signature}`).as('TOKEN_MALFORMED');
    }
  });

  test.each([[[]], ['text'], [1], [null], [true]])('a header that is %j', (value) =>
    refused(withHeader(value)).as('TOKEN_MALFORMED'),
  );
  test('a header nested 400 deep', () =>
    refused(`${toBase64url(Buffer.from('['.repeat(290)))}.${payload}.${signature}`).as('TOKEN_MALFORMED'));
  test('a kid that is no thumbprint', async () => {
    for (const kid of [1, null, [], {}, '', 'short', `${good.kid}A`, '../../etc/passwd']) {
      await refused(withHeader({ ...good, kid })).as('TOKEN_MALFORMED');
    }
  });
});

describe('key and type', () => {
  test('an unknown key id', async () => {
    await refused(await signToken(COMMAND, sampleCommand(), keys.spare)).as('KID_UNKNOWN');
  });

  test('the session key signs no command, nor the root keys', async () => {
    const root = sampleRoot();
    for (const key of [keys.session, keys.rootA]) {
      const forged = await signToken(COMMAND, sampleCommand(), key);
      await expectRefused('KID_UNKNOWN', () => verifyToken(forged, COMMAND, roleKeys(root, 'command', NOW_S)));
    }
  });

  test('no token of one type is accepted as another, by the same key', async () => {
    for (const made of tokenTypes) {
      const text = await signToken(made, sampleReceipt(), keys.command);
      for (const asked of tokenTypes) {
        if (asked === made) continue;
        await expectRefused('TYP_REFUSED', () => verifyToken(text, asked, lookup));
      }
    }
    for (const typ of ['', 'JWT', 'LK-COMMAND+JWS', 'application/lk-command+jws', null, 1]) {
      await refused(withHeader({ ...good, typ })).as('TYP_REFUSED');
    }
  });

  test('a key past its end', async () => {
    const root = sampleRoot();
    const end = root.keys[keys.command.kid]?.expires ?? 0;
    expect(await verifyToken(token, COMMAND, roleKeys(root, 'command', end))).toBeTruthy();
    await expectRefused('KEY_EXPIRED', () => verifyToken(token, COMMAND, roleKeys(root, 'command', end + 1)));
  });

  test('a key that the next root no longer lists', async () => {
    const first = await openRoot(await signRoot(sampleRoot(), [keys.rootA, keys.rootB]));
    const entry = { [keys.spare.kid]: { jwk: keys.spare.jwk, expires: NOW_S + 1_000 } };
    const roles = { ...first.roles, command: { kids: [keys.spare.kid], threshold: 1 } };
    const next = sampleRoot({ version: 2, keys: { ...first.keys, ...entry }, roles });
    const second = await advanceRoot(first, await signRoot(next, [keys.rootA, keys.rootB]));
    await expectRefused('KID_UNKNOWN', () => verifyToken(token, COMMAND, roleKeys(second, 'command', NOW_S)));
  });

  test('nothing is looked up before the header is right', async () => {
    const never = () => {
      throw new Error('looked up');
    };
    await expectRefused('ALG_REFUSED', () => verifyToken(withHeader({ ...good, alg: 'none' }), COMMAND, never));
    await expectRefused('TOKEN_MALFORMED', () => verifyToken(`${token}\n`, COMMAND, never));
  });
});

describe('spelling and size', () => {
  const last = signature.slice(-1);
  const respelt = last === 'A' ? 'B' : String.fromCharCode(last.charCodeAt(0) + 1);
  test.each([
    ['a newline after it', `${token}\n`],
    ['a carriage return after it', `${token}\r`],
    ['a blank before it', ` ${token}`],
    ['padding', `${token}==`],
    ['padding in the header', `${header}=.${payload}.${signature}`],
    ['non-zero spare bits in the signature', `${header}.${payload}.${signature.slice(0, -1)}${respelt}`],
    ['a fourth part', `${token}.AAAA`],
    ['two parts', `${header}.${payload}`],
    ['an empty payload', `${header}..${signature}`],
    ['an empty header', `.${payload}.${signature}`],
    ['nothing', ''],
    ['dots', '..'],
    ['a signature one short', token.slice(0, -1)],
    ['a signature one long', `${token}A`],
    ['standard base64', `${header}.${payload}.${signature.slice(0, -2)}+/`],
    ['a NUL', `${token}\0`],
    ['a look-alike letter', `${header}.${payload}.\u0410${signature.slice(1)}`],
  ])('%s', async (_, text) => {
    const never = () => {
      throw new Error('looked up');
    };
    await expectRefused(text.endsWith('.') && text !== '..' ? 'ALG_REFUSED' : 'TOKEN_MALFORMED', () =>
      verifyToken(text, COMMAND, never),
    );
  });

  test('non-zero spare bits in a part, signed as they stand', async () => {
    const spell = async (value: object) => {
      const part = toBase64url(canonicalBytes(value));
      const respelt = part.slice(0, -1) + String.fromCharCode(part.charCodeAt(part.length - 1) + 1);
      const signed = await crypto.subtle.sign('Ed25519', keys.command.privateKey, Buffer.from(`${header}.${respelt}`));
      return `${header}.${respelt}.${toBase64url(new Uint8Array(signed))}`;
    };
    // One and two bytes more than a multiple of three: four and two spare bits.
    for (const value of [
      { a: 1, b: 1.5 },
      { a: 11, b: 1.55 },
    ])
      await refused(await spell(value)).as('TOKEN_MALFORMED');
  });

  test('a correctly signed payload of 17 KiB', async () => {
    const large = await signToken(COMMAND, { filler: 'a'.repeat(17 * 1024) }, keys.command);
    await refused(large).as('TOKEN_MALFORMED');
  });

  test('the limit is inclusive, and smaller for receipts', async () => {
    const ofSize = async (typ: 'lk-command+jws' | 'lk-receipt+jws', size: number) => {
      const empty = await signToken(typ, { f: '' }, keys.command);
      const payloadBytes = Math.floor(((size - empty.length) * 3) / 4);
      return signToken(typ, { f: 'a'.repeat(payloadBytes) }, keys.command);
    };
    for (const [typ, max] of [
      ['lk-command+jws', TOKEN_BYTES_MAX],
      ['lk-receipt+jws', RECEIPT_BYTES_MAX],
    ] as const) {
      expect(await verifyToken(await ofSize(typ, max), typ, lookup)).toBeTruthy();
      const beyond = await ofSize(typ, max + 3);
      expect(beyond.length).toBeGreaterThan(max);
      await expectRefused('TOKEN_MALFORMED', () => verifyToken(beyond, typ, lookup));
    }
  });

  test('a signed payload that is no JSON', async () => {
    const signed = await new CompactSign(new TextEncoder().encode('{"a":1'))
      .setProtectedHeader(good)
      .sign(keys.command.privateKey);
    await refused(signed).as('NONCANONICAL');
  });
});
