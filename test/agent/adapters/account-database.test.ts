// What lines of passwd(5) and shadow(5) mean.

import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  accountState,
  fingerprintOf,
  parsePasswd,
  readsEightCharacters,
} from '../../../agent/adapters/account-database.ts';

const TODAY = 20_000;
/** The form of a hash; nothing hashes to it. */
const HASH = `$y$j9T$${'a'.repeat(22)}$${'b'.repeat(43)}`;
const line = (field: string, rest = '19000:0:99999:7:::'): string => `ada:${field}:${rest}`;
const ada = { name: 'ada', field: 'x', uid: 1000, gid: 1000, home: '/home/ada', shell: '/bin/sh' };
const state = (text: string, field = 'x'): string =>
  accountState({ ...ada, field }, `root:*:1::::::\n${text}\n`, TODAY);

describe('the state of an account', () => {
  for (const field of ['*', '!', '!!', '!*', '*!', '', 'x', '!locked', '*LK*', '*NP*']) {
    it(`a field that holds no hash is no password: "${field}"`, () => expect(state(line(field))).toBe('no_password'));
  }
  for (const hash of [HASH, `$6$${'s'.repeat(16)}$${'h'.repeat(86)}`, 'aB./01234567z', `_${'z'.repeat(19)}`]) {
    it(`a hash is active, and locked behind a mark: ${hash.slice(0, 3)}`, () => {
      expect([hash, `!${hash}`, `!!${hash}`, `*${hash}`].map((field) => state(line(field)))).toEqual([
        'active',
        'locked',
        'locked',
        'locked',
      ]);
    });
  }
  it('an account ends on its day, whatever its password says', () => {
    const until = (day: string): string => state(line(HASH, `19000:0:99999:7::${day}:`));
    expect(['0', '19999', '20000', '20001', '', '-1'].map(until)).toEqual([
      'expired',
      'expired',
      'expired',
      'active',
      'active',
      'active',
    ]);
    expect(state(line(`!${HASH}`, '19000:0:99999:7::0:'))).toBe('expired');
  });
  it('an account without a line has no password', () => {
    expect(accountState(ada, 'adam:x:1::::::\n', TODAY)).toBe('no_password');
  });
  it('a hash in the passwd file is the one that counts, and the account’s end is not read then', () => {
    expect(state(line('*', '1:0:99999:7::0:'), HASH)).toBe('active');
    expect(state(line(HASH), `!${HASH}`)).toBe('locked');
    for (const field of ['*', '!', '']) expect(state(line(HASH), field)).toBe('no_password');
  });
  it('the shadow file counts behind x, ##NAME and *NP*', () => {
    for (const field of ['x', '##ada', '*NP*']) expect(state(line(HASH), field)).toBe('active');
    for (const field of ['X', '##bob', '*LK*']) expect(state(line(HASH), field)).toBe('no_password');
  });
  it('lines of older forms have a state, damaged ones none', () => {
    for (const rest of ['1:0:9', '1:0:9:', '1:0:9:7:9::', '1:0:9:7:::0', '::::::', ' 1:+0:-9::::'])
      expect(state(`  ada:${HASH}:${rest}`)).toBe('active');
    for (const rest of [
      '',
      '1',
      '1:0',
      '1:0:',
      '1:0:9:7:',
      ':::7',
      ':::::::',
      '1:::::',
      '1:x:::::',
      '1::::::\r',
      '1::::::::',
    ])
      expect(state(`ada:${HASH}:${rest}`)).toBe('no_password');
    expect([`#ada:${HASH}:1::::::`, `ada:${HASH}`].map((text) => state(text))).toEqual(['no_password', 'no_password']);
  });
  it('only traditional DES reads eight characters', () => {
    const reads = (hash: string, field = 'x'): boolean => readsEightCharacters({ ...ada, field }, line(hash));
    expect(reads('aB./01234567z')).toBe(true);
    expect(reads('*', 'aB./01234567z')).toBe(true);
    for (const hash of [HASH, `_${'z'.repeat(19)}`, '*', '!aB./01234567z', '']) expect(reads(hash)).toBe(false);
  });
});

describe('passwd entries', () => {
  it('NIS lines, comments and damaged lines name nobody', () => {
    const text = '+::::::\n-bob\n#root:x:0:0\nroot:x::0::/root:\n:x:0:0:::\nada:x:1000:1001:Ada,,:/home/ada:/bin/sh\n';
    expect(parsePasswd(text)).toEqual([{ ...ada, gid: 1001 }]);
  });
  it('blanks before an entry, and a line that ends early, name an account all the same', () => {
    const text = '\n  ada:x:1000:1000::/home/ada:/bin/sh\n \t \n  #eve:x:0:0:::\n +bob:x:0:0:::\nkim:x:7:7\n';
    expect(parsePasswd(text)).toEqual([ada, { name: 'kim', field: 'x', uid: 7, gid: 7, home: '', shell: '' }]);
  });
  it('a uid is read as the C library reads it: no spelling of 0 hides', () => {
    const uids = (...texts: string[]): number[] =>
      parsePasswd(texts.map((text) => `a:x:${text}:0:::`).join('\n')).map(({ uid }) => uid);
    expect(uids('0', '00', '+0', '-0', ' 0', '\t+0')).toEqual([0, 0, 0, 0, 0, 0]);
    expect(uids('4294967295', '-1')).toEqual([4_294_967_295, 4_294_967_295]);
    expect(uids('0x0', '0 ', '4294967296', '-', '', '1e3', '--1')).toEqual([]);
  });
});

describe('the fingerprint', () => {
  const key = randomBytes(32);
  const passwd = 'root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n';
  const shadow = 'root:*:1::::::\nada:*:1::::::\n';
  const before = fingerprintOf(passwd, shadow, key);
  const changed = (p: string, s: string): string[] => {
    const after = fingerprintOf(p, s, key);
    return Object.keys({ ...before, ...after }).filter((name) => before[name] !== after[name]);
  };

  it('shows exactly the account whose shadow line changed', () => {
    expect(changed(passwd, shadow.replace('ada:*', `ada:${HASH}`))).toEqual(['ada']);
    expect(changed(passwd, shadow.replace('root:*:1', 'root:*:2'))).toEqual(['root']);
  });
  it('shows a hash in the passwd file, another uid, and entries that came or went', () => {
    expect(changed(passwd.replace('ada:x', `ada:${HASH}`), shadow)).toEqual(['ada']);
    expect(changed(passwd.replace('1000:1000', '0:1000'), shadow)).toEqual(['ada']);
    expect(changed(`${passwd}eve:x:0:0:::\n`, shadow)).toEqual(['eve']);
    expect(changed(passwd, 'root:*:1::::::\n')).toEqual(['ada']);
    expect(changed(passwd, `${shadow}ada:*:1::::::\n`)).toEqual(['ada']);
  });
  it('does not move when the file is written again by pam_unix, which drops and fills up', () => {
    const odd = '# a comment\n\nroot:*:01:::\n  ada:*:1:::::-1:\njunk\nroot\neve:*:1\n';
    expect(changed(passwd, odd)).toEqual([]);
    expect(changed(`#x\n\n${passwd.replace(':0:0:', ':+0:00:')}junk\n`, shadow)).toEqual([]);
    expect(changed(passwd, shadow.replace('ada:*:1:', 'ada:*:1:-1'))).toEqual([]);
    expect(changed(passwd, shadow.replace('ada:*:1:', 'ada:*:1:0'))).toEqual(['ada']);
  });
  it('does not move with a shell or a full name', () => {
    expect(changed(passwd.replace('/home/ada:/bin/sh', '/srv/ada:/bin/bash'), shadow)).toEqual([]);
  });
  it('depends on its key and shows nothing of a line', () => {
    expect(fingerprintOf(passwd, shadow, randomBytes(32)).ada).not.toBe(before.ada);
    expect(Object.values(before).every((hash) => /^[A-Za-z0-9_-]{43}$/.test(hash))).toBe(true);
  });
});
