// The password rule and the generator. Draws come from a fixed seed, so that the statistics below say the same each time.

import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { assertPassword, generatePassword, passwordFault, vncAuthFault } from '../../protocol/password.ts';
import { Secret } from '../../protocol/secret.ts';
import { expectRefused } from './refusal.ts';

const fault = (text: string, accountName?: string) =>
  passwordFault(Secret.ofText(text), accountName === undefined ? {} : { accountName });

/** A stream of bytes from SHA-256 in counter mode. */
function seededBytes(seed: string): (count: number) => Uint8Array {
  let block = 0;
  let pool = Buffer.alloc(0);
  return (count) => {
    while (pool.length < count) {
      pool = Buffer.concat([pool, createHash('sha256').update(`${seed}:${block}`).digest()]);
      block += 1;
    }
    const bytes = Uint8Array.from(pool.subarray(0, count));
    pool = pool.subarray(count);
    return bytes;
  };
}

describe('the rule', () => {
  test.each([
    ['7 bytes', 'abcdef1', 'length'],
    ['8 bytes', 'abcdefg1', undefined],
    ['30 bytes', `${'a'.repeat(29)}1`, undefined],
    ['31 bytes', `${'a'.repeat(30)}1`, 'length'],
    ['nothing', '', 'length'],
    ['letters only', 'abcdefgh', 'no_digit'],
    ['digits only', '12345678', 'no_letter'],
    ['signs only', '!!!!!!!!', 'no_letter'],
    ['86 é, composed', 'abcdef1é', 'character'],
    ['86 é, decomposed', 'abcdef1e\u0301', 'character'],
    ['an emoji', 'abcdef1😀', 'character'],
    ['a right-to-left mark', 'abcdef1\u200f', 'character'],
    ['full-width digits', 'abcdefg\uff11', 'character'],
    ['a blank', 'abcdef 1', 'character'],
    ['DEL', 'abcdefg1\x7f', 'character'],
    ['a newline', 'abcdefg1\n', 'character'],
    ['a carriage return', 'abcdefg1\r', 'character'],
    ['a second account', 'abcdefg1\nroot:x1', 'character'],
    ['NUL', 'abcdefg1\0', 'character'],
    ['a tabulator', 'abcdefg1\t', 'character'],
    ['colons', 'a:b:c:1:', undefined],
    ['quotes, backslashes, percent signs', '"\'\\%$`a1', undefined],
    ['a leading dash', '--root=1', undefined],
  ])('%s', (_, text, expected) => {
    expect(fault(text)).toBe(expected);
  });

  test('each of the 256 bytes is accepted or refused by itself', () => {
    for (let byte = 0; byte < 256; byte += 1) {
      const bytes = Uint8Array.from([...Buffer.from('abcdef12'), byte]);
      const expected = byte >= 0x21 && byte <= 0x7e ? undefined : 'character';
      expect(passwordFault(Secret.ofBytes(bytes)), `byte ${byte}`).toBe(expected);
    }
  });

  test('any bytes: accepted exactly where a plain reading of the rule accepts', () => {
    const printable = fc.string({ maxLength: 40, unit: 'grapheme-ascii' }).map((text) => Buffer.from(text));
    fc.assert(
      fc.property(fc.oneof(printable, fc.uint8Array({ maxLength: 40 })), (sample) => {
        const bytes = Uint8Array.from(sample);
        const wanted = /^(?=.*[A-Za-z])(?=.*[0-9])[\x21-\x7e]{8,30}$/s.test(Buffer.from(bytes).toString('latin1'));
        expect(passwordFault(Secret.ofBytes(bytes)) === undefined).toBe(wanted);
      }),
      { numRuns: 2_000 },
    );
  });

  test('the account name in any case and place, from three letters on', () => {
    for (const text of ['administrator1', '1Administrator', 'xADMINISTRATORx1', 'aDmInIsTrAtOr9']) {
      expect(fault(text, 'administrator')).toBe('account_name');
      expect(fault(text, 'Administrator')).toBe('account_name');
      expect(fault(text)).toBe(undefined);
    }
    expect(fault('abcdefg1', 'ab')).toBe(undefined);
    expect(fault('abcdefg1', 'abc')).toBe('account_name');
    expect(fault('ab.cdefg1', 'abc')).toBe(undefined);
    expect(fault('abcdefg1', '')).toBe(undefined);
  });

  test('a common password in any case', () => {
    const common = new Set(['abcdefg1']);
    expect(passwordFault(Secret.ofText('ABCdefG1'), { common })).toBe('common');
    expect(passwordFault(Secret.ofText('ABCdefG2'), { common })).toBe(undefined);
  });

  test('the first 8 must hold a letter and a digit by themselves where only they are read', () => {
    const check = (text: string) => vncAuthFault(Secret.ofText(text));
    expect(check('abcdefg1')).toBe(undefined);
    expect(check('abcdefgh1')).toBe('no_digit');
    expect(check('12345678a')).toBe('no_letter');
    expect(check('1234567a9')).toBe(undefined);
    expect(check('abcdef1')).toBe('length');
    expect(check('abcdefg1\nview1234')).toBe('character');
  });

  test('a fault becomes a refusal that names the slot and never the password', async () => {
    assertPassword(undefined, 'vnc');
    await expectRefused('PASSWORD_POLICY', () => assertPassword('length', 'vnc'));
    expect(() => assertPassword('no_digit', 'account')).toThrow(
      expect.objectContaining({ details: { slot: 'account', reason: 'no_digit' } }),
    );
  });
});

describe('the generator', () => {
  test('any length within the rule, from letters and digits, meeting the rule for both kinds', () => {
    fc.assert(
      fc.property(fc.integer({ min: 8, max: 30 }), fc.string(), (length, seed) => {
        const secret = generatePassword(length, seededBytes(seed));
        expect(secret.reveal()).toMatch(new RegExp(`^[A-Za-z0-9]{${length}}$`));
        expect(vncAuthFault(secret)).toBe(undefined);
      }),
      { numRuns: 500 },
    );
  });

  test('one that the account’s owner could not have typed either is drawn anew', () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
    const draws = ['x7BobMarksTheSpot', 'x7AdaMarksTheSpot'].map((text) =>
      Uint8Array.from(text, (character) => alphabet.indexOf(character)),
    );
    const drawn = generatePassword(17, () => draws.shift() ?? new Uint8Array(), { accountName: 'bob' });
    expect(drawn.reveal()).toBe('x7AdaMarksTheSpot');
  });

  test('no other length', () => {
    for (const length of [0, 7, 31]) {
      expect(() => generatePassword(length, seededBytes('x')), String(length)).toThrow(RangeError);
    }
  });

  test('a source that repeats itself or ends is an error and no endless loop', () => {
    for (const source of [
      (count: number) => new Uint8Array(count),
      (count: number) => new Uint8Array(count).fill(255),
      () => new Uint8Array(0),
    ]) {
      expect(() => generatePassword(24, source)).toThrow('the random source repeats itself');
    }
  });

  /** Pearson's statistic of how often each character was drawn. */
  function chiSquare(text: string, alphabetSize: number): number {
    const seen = new Map<string, number>();
    for (const character of text) seen.set(character, (seen.get(character) ?? 0) + 1);
    const expected = text.length / alphabetSize;
    const missing = (alphabetSize - seen.size) * expected;
    return [...seen.values()].reduce((sum, n) => sum + (n - expected) ** 2 / expected, missing);
  }

  // 61 degrees of freedom: a uniform source stays below 112.3 with probability 0.9999.
  const BOUND = 112.3;

  test('characters after the first eight are uniform over the 62', () => {
    const bytes = seededBytes('uniform');
    let drawn = '';
    for (let i = 0; i < 4_000; i += 1) drawn += generatePassword(24, bytes).reveal().slice(8);
    expect(chiSquare(drawn, 62)).toBeLessThan(BOUND);
  });

  test('letters within the first eight are uniform over the 52, and digits over the 10', () => {
    const bytes = seededBytes('conditional');
    let drawn = '';
    for (let i = 0; i < 8_000; i += 1) drawn += generatePassword(8, bytes).reveal();
    expect(chiSquare(drawn.replace(/[0-9]/g, ''), 52)).toBeLessThan(BOUND);
    expect(chiSquare(drawn.replace(/[^0-9]/g, ''), 10)).toBeLessThan(33.7);
  });

  test('the statistic sees the bias of taking bytes modulo 62', () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
    const biased = Array.from(seededBytes('biased')(64_000), (byte) => alphabet[byte % 62]).join('');
    expect(chiSquare(biased, 62)).toBeGreaterThan(BOUND);
  });
});
