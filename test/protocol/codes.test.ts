// The table of codes: append-only, in one form, and each told in one sentence.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { allCodes, codes, isCode } from '../../protocol/codes.ts';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { codeName } from '../../protocol/schema.ts';

const recorded = readFileSync(join(import.meta.dirname, '../fixtures/codes.txt'), 'utf8')
  .trim()
  .split('\n');

describe('the table', () => {
  test('keeps every code that was ever there, in order, and records new ones', () => {
    expect(allCodes.slice(0, recorded.length)).toEqual(recorded);
    expect(allCodes.slice(recorded.length), 'append these to test/fixtures/codes.txt').toEqual([]);
  });

  test.each(allCodes)('%s', (code) => {
    const { sentence, hint, kind, changed } = codes[code];
    expect(code).toMatch(/^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/);
    expect(codeName.safeParse(code).success).toBe(true);
    expect(sentence).toMatch(/^[A-Z].*[^.]\.$/);
    expect(hint).toMatch(/^[A-Z0-9`].*[.?]$/);
    expect(`${sentence}${hint}`).not.toMatch(/[\n\r\t]| {2}/);
    // A refusal is what was not acted upon.
    if (kind === 'refusal') expect(changed).toBe('nothing');
  });

  test('says no sentence twice', () => {
    const sentences = allCodes.map((code) => codes[code].sentence);
    expect(new Set(sentences).size).toBe(sentences.length);
  });
});

describe('a failure', () => {
  test('carries its code, details, hint and cause', () => {
    const cause = new Error('below');
    const failure = new Failure('ACCOUNT_NOT_FOUND', { account: 'ada' }, cause);
    expect(failure).toMatchObject({ code: 'ACCOUNT_NOT_FOUND', details: { account: 'ada' }, cause });
    expect(failure.message).toBe(codes.ACCOUNT_NOT_FOUND.sentence);
    expect(failure.hint).toBe(codes.ACCOUNT_NOT_FOUND.hint);
    expect(codeOf(failure)).toBe('ACCOUNT_NOT_FOUND');
    expect(Object.hasOwn(new Failure('BUSY'), 'cause')).toBe(false);
  });

  test('no other error has a code, whatever it says of itself', () => {
    for (const other of [new Error('BUSY'), { code: 'BUSY' }, 'BUSY', null, undefined]) {
      expect(codeOf(other)).toBe(undefined);
    }
  });

  test('names inherited by every object are no codes', () => {
    for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty', '', 'busy'])
      expect(isCode(name)).toBe(false);
    expect(isCode('BUSY')).toBe(true);
  });
});
