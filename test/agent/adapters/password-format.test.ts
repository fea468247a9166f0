// What a password file of each format holds, and what one line of it means to the server that reads it.

import { describe, expect, it } from 'vitest';
import { obfuscated, plainLines } from '../../../agent/adapters/password-format.ts';
import { drawSecret } from '../contracts/contract.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const inForce = (content: string): string | undefined => {
  const password = plainLines.decode(bytes(content));
  return password && Buffer.from(password).toString('latin1').replaceAll('\0', '');
};

describe('every format', () => {
  it.each([
    ['obfuscated', obfuscated],
    ['lines', plainLines],
  ] as const)('gives back the eight bytes that it was given: %s', (_, format) => {
    const password = drawSecret().revealBytes();
    expect(format.decode(format.encode(password, undefined))).toEqual(Uint8Array.from(password.subarray(0, 8)));
  });
});

describe('lines in clear', () => {
  it('hold one line, of the bytes that count', () => {
    expect(Buffer.from(plainLines.encode(bytes('abcdefg1more'), undefined)).toString()).toBe('abcdefg1\n');
    expect(Buffer.from(plainLines.encode(bytes('abc1'), undefined)).toString()).toBe('abc1\n');
  });
  it.each([
    ['abc1\n', 'abc1'],
    ['abc1', 'abc1'],
    ['\n# remark\nabc1\nother\n', 'abc1'],
    ['old __SKIP__\nabc1\n', 'abc1'],
    ['abc1__COMM__ mine\n', 'abc1'],
    ['abcdefg1more\n', 'abcdefg1'],
    ['__EMPTY__\n', ''],
    ['__BEGIN_VIEWONLY__\nabc1\n', undefined],
    ['', undefined],
  ])('give full access by the first that is a password: %j', (content, password) => {
    expect(inForce(content)).toBe(password);
  });
  it.each(['#abc1', ' abc1', 'abc1 ', '', 'a\nb1', '__SKIP__', '__COMM__'])(
    'refuse a password that would be read otherwise: %j',
    (password) => {
      expect(() => plainLines.encode(bytes(password), undefined)).toThrow(
        expect.objectContaining({ code: 'VNC_FAILED', details: { reason: 'unstorable' } }),
      );
    },
  );
});
