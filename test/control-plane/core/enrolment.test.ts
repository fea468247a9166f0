// Names for machines, and what a counter says of an identity.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { vmName } from '../../../control-plane/api/schemas.ts';
import { cleanName, freeName, judgeCounter } from '../../../control-plane/core/enrolment.ts';

describe('a machine’s name', () => {
  test('gets a number when it is taken', () => {
    const used = new Set(['web', 'web-2']);
    expect(freeName('web', (name) => used.has(name))).toBe('web-3');
  });

  test('is always one of ours, whatever the guest calls itself', () => {
    fc.assert(fc.property(fc.string({ maxLength: 120 }), (text) => vmName.safeParse(cleanName(text)).success));
    expect(cleanName('<script>')).toBe('script-');
    expect(cleanName('…')).toBe('vm');
  });

  test('stays within its length with its number', () => {
    const long = 'a'.repeat(63);
    expect(freeName(long, (name) => name === long)).toHaveLength(63);
  });
});

describe('a counter', () => {
  test('equal to ours, or one more for a lost answer, is the same identity', () => {
    expect(judgeCounter(5, 5)).toBe('same');
    expect(judgeCounter(5, 6)).toBe('same');
  });

  test('below ours is an older disk or a copy', () => {
    expect(judgeCounter(5, 4)).toBe('rolled_back');
    expect(judgeCounter(5, 7)).toBe('ahead');
  });
});
