// Payloads as bytes: one spelling for each value, a bounded depth, and no other reading of the same bytes.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import fc from 'fast-check';
import { CompactSign } from 'jose';
import { describe, expect, test } from 'vitest';
import { canonicalBytes, type JsonValue, nestingDepth, parseCanonical } from '../../protocol/canonical.ts';
import { JSON_DEPTH_MAX } from '../../protocol/limits.ts';
import { onlyKey, verifyToken } from '../../protocol/token.ts';
import { expectRefused } from './refusal.ts';
import { keys } from './samples.ts';

const encode = (text: string) => new TextEncoder().encode(text);
const lookup = onlyKey(keys.command.kid, keys.command.jwk);

/** A correctly signed token over exactly these bytes. */
const signedBytes = (bytes: Uint8Array) =>
  new CompactSign(bytes)
    .setProtectedHeader({ alg: 'Ed25519', kid: keys.command.kid, typ: 'lk-command+jws' })
    .sign(keys.command.privateKey);

async function expectNoncanonical(bytes: Uint8Array): Promise<void> {
  await expectRefused('NONCANONICAL', () => parseCanonical(bytes));
  const token = await signedBytes(bytes);
  await expectRefused('NONCANONICAL', () => verifyToken(token, 'lk-command+jws', lookup));
}

describe('another spelling of a value is refused, also when correctly signed', () => {
  test.each([
    ['a duplicate key', '{"aud":"a","aud":"b"}'],
    ['a duplicate key of the same value', '{"aud":"a","aud":"a"}'],
    ['a duplicate key in another escape', '{"aud":"a","\\u0061ud":"b"}'],
    ['a byte order mark', '\u{feff}{}'],
    ['20 2^53 + 1', '{"n":9007199254740993}'],
    ['a number past every double', '{"n":1e400}'],
    ['minus zero', '{"n":-0}'],
    ['an exponent', '{"n":1e3}'],
    ['a fraction of zero', '{"n":1.0}'],
    ['a leading zero', '{"n":01}'],
    ['a plus sign', '{"n":+1}'],
    ['a blank', '{"n": 1}'],
    ['a newline after it', '{}\n'],
    ['a comment', '{}//'],
    ['an escaped slash', '"\\/"'],
    ['upper-case hexadecimal', '"\\u001F"'],
    ['an unneeded escape', '"\\u0041"'],
    ['a raw control character', '"\u0001"'],
    ['a trailing comma', '[1,]'],
    ['two values', '{}{}'],
    ['single quotes', "{'a':1}"],
    ['NaN', 'NaN'],
    ['numeric names out of order', '{"b":1,"1":2}'],
  ])('%s', (_, text) => expectNoncanonical(encode(text)));

  test.each([
    ['a lone continuation byte', [0x22, 0x80, 0x22]],
    ['an overlong slash', [0x22, 0xc0, 0xaf, 0x22]],
    ['a surrogate', [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ['a cut-off character', [0x22, 0xe2, 0x82, 0x22]],
    ['UTF-16', [0x7b, 0x00, 0x7d, 0x00]],
  ])('%s', (_, bytes) => expectNoncanonical(Uint8Array.from(bytes)));
});

test('no bytes at all are no value', () => expectRefused('NONCANONICAL', () => parseCanonical(encode(''))));

describe('depth', () => {
  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

  test('the limit is inclusive; one deeper is refused', async () => {
    expect(parseCanonical(encode(nested(JSON_DEPTH_MAX)))).toBeTruthy();
    await expectNoncanonical(encode(nested(JSON_DEPTH_MAX + 1)));
    await expectNoncanonical(encode(`${'{"a":'.repeat(JSON_DEPTH_MAX + 1)}1${'}'.repeat(JSON_DEPTH_MAX + 1)}`));
  });

  test('a depth of 30,000 and more is refused and the process lives', async () => {
    for (const depth of [30_000, 1_000_000]) {
      await expectRefused('NONCANONICAL', () => parseCanonical(encode(nested(depth))));
      await expectRefused('NONCANONICAL', () => parseCanonical(encode('{"a":'.repeat(depth))));
    }
    // In a process of its own with a small stack, where a recursion would end the process.
    const program = `
      import { parseCanonical } from ${JSON.stringify(join(import.meta.dirname, '../../protocol/canonical.ts'))};
      try { parseCanonical(new TextEncoder().encode('['.repeat(30000) + ']'.repeat(30000))); }
      catch (error) { console.log(error.code); }
      console.log('alive');`;
    const child = spawnSync(process.execPath, ['--stack-size=200', '--input-type=module', '-e', program], {
      encoding: 'utf8',
    });
    expect(child.stdout).toBe('NONCANONICAL\nalive\n');
    expect(child.status).toBe(0);
  });

  test('brackets in strings do not count, and quotes there do not end them', () => {
    expect(nestingDepth('["[[[[\\"[[\\\\",{}]')).toBe(2);
    expect(nestingDepth('"')).toBe(0);
    expect(nestingDepth(']]]][')).toBe(0);
  });

  test('agrees with a plain recursion on every JSON value', () => {
    const depthOf = (value: JsonValue): number =>
      typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0;
    const names = fc.oneof(fc.string(), fc.constantFrom('[', '{', '"', '\\', '\\"', ']}'));
    const value = fc.letrec<{ value: JsonValue }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 12 },
        names,
        fc.integer(),
        fc.constant(null),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(names, tie('value'), { maxKeys: 3 }),
      ),
    })).value;
    fc.assert(
      fc.property(value, (sample) => {
        expect(nestingDepth(JSON.stringify(sample))).toBe(depthOf(sample));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('any bytes', () => {
  test('are either refused or equal to their own serialisation', () => {
    const nearJson = fc.stringMatching(/^[{}[\]",:0-9eE+\-. \\u]{0,24}$/).map(encode);
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), nearJson, fc.json().map(encode)), (bytes) => {
        let value: JsonValue;
        try {
          value = parseCanonical(bytes);
        } catch (error) {
          expect((error as { code?: unknown }).code).toBe('NONCANONICAL');
          return;
        }
        expect(Buffer.from(canonicalBytes(value)).equals(Buffer.from(bytes))).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});
