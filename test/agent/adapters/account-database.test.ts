// What lines of passwd(5) and shadow(5) mean.

import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { accountState, fingerprintOf, parsePasswd } from '../../../agent/adapters/account-database.ts';

const TODAY = 20_000;
/** The form of a hash; nothing hashes to it. */
const HASH = `$y$j9T$${'a'.repeat(22)}$${'b'.repeat(43)}`;
const line = (field: string, rest = '19000:0:99999:7:::'): string => `ada:${field}:${rest}`;
const state = (text: string): string => accountState(`root:*:1:::::\n${text}\n`, 'ada', TODAY);

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
    expect(accountState('adam:x:1:::::\n', 'ada', TODAY)).toBe('no_password');
  });
});

describe('passwd entries', () => {
  it('NIS lines, comments and damaged lines name nobody', () => {
    const text = '+::::::\n-bob\n#root:x:0:0\nroot:x::0::/root:\n:x:0:0:::\nada:x:1000:1001:Ada,,:/home/ada:/bin/sh\n';
    expect(parsePasswd(text)).toEqual([{ name: 'ada', uid: 1000, gid: 1001, home: '/home/ada', shell: '/bin/sh' }]);
  });
});

describe('the fingerprint', () => {
  const key = randomBytes(32);
  const passwd = 'root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n';
  const shadow = 'root:*:1:::::\nada:*:1:::::\n';
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
    expect(changed(passwd, 'root:*:1:::::\n')).toEqual(['ada']);
    expect(changed(passwd, `${shadow}ada:*:1:::::\n`)).toEqual(['ada']);
  });
  it('does not move with a shell or a full name', () => {
    expect(changed(passwd.replace('/home/ada:/bin/sh', '/srv/ada:/bin/bash'), shadow)).toEqual([]);
  });
  it('depends on its key and shows nothing of a line', () => {
    expect(fingerprintOf(passwd, shadow, randomBytes(32)).ada).not.toBe(before.ada);
    expect(Object.values(before).every((hash) => /^[A-Za-z0-9_-]{43}$/.test(hash))).toBe(true);
  });
});
