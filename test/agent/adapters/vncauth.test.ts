// DES as VNC uses it, against answers that other programs gave (tigervncpasswd, x11vnc and FIPS 81).

import { describe, expect, it } from 'vitest';
import { answerChallenge, deobfuscate, obfuscate } from '../../../agent/adapters/vncauth.ts';

const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex');
const text = (words: string): Uint8Array => Buffer.from(words, 'latin1');

describe('a stored VNC password', () => {
  it('is the same as other programs write', () => {
    expect(hex(obfuscate(text('abcdefg1')))).toBe('f5d1cd0582034503');
    expect(hex(obfuscate(text('')))).toBe('5ab2cdc0badcaf13');
  });
  it('holds eight bytes and no more', () => {
    expect(hex(obfuscate(text('abcdefg1Zaaa')))).toBe('f5d1cd0582034503');
  });
  it('is read back, with and without a view-only password', () => {
    const stored = obfuscate(text('abc1'));
    expect(hex(deobfuscate(stored))).toBe(hex(text('abc1\0\0\0\0')));
    expect(hex(deobfuscate(Buffer.concat([stored, obfuscate(text('view1'))])))).toBe(hex(text('abc1\0\0\0\0')));
  });
  it.each([0, 1, 5, 7, 9, 15, 17, 64])('a file of %i bytes holds none', (bytes) => {
    expect(deobfuscate(new Uint8Array(bytes))).toBeUndefined();
  });
});

describe('an answer to a challenge', () => {
  // FIPS 81: key 0123456789abcdef, text "Now is t" gives 3fa40e8a984d4815. VNC mirrors the bits of the key's bytes.
  const mirrored = Buffer.from('80c4a2e691d5b3f7', 'hex');
  it('is DES of both halves under the mirrored password', () => {
    expect(hex(answerChallenge(text('Now is tNow is t'), mirrored))).toBe('3fa40e8a984d4815'.repeat(2));
  });
  it('counts eight bytes of the password', () => {
    const challenge = Buffer.alloc(16, 7);
    expect(hex(answerChallenge(challenge, text('abcdefg1zz')))).toBe(hex(answerChallenge(challenge, text('abcdefg1'))));
    expect(hex(answerChallenge(challenge, text('abcdefg2')))).not.toBe(
      hex(answerChallenge(challenge, text('abcdefg1'))),
    );
  });
});
