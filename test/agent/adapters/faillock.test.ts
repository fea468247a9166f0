// pam_faillock's rule, on tallies made up here.

import { describe, expect, it } from 'vitest';
import { faillockSettings, isBlocked } from '../../../agent/adapters/faillock.ts';

const NOW_S = 1_700_000_000;
const AUTH = 'auth required pam_faillock.so preauth';

/** A tally with one record for each age in seconds; a negative one was counted as no longer valid. */
function tally(...agesS: number[]): Uint8Array {
  const bytes = Buffer.alloc(64 * agesS.length);
  agesS.forEach((age, index) => {
    bytes.writeUInt16LE(age < 0 ? 2 : 3, 64 * index + 54);
    bytes.writeBigUInt64LE(BigInt(NOW_S - Math.abs(age)), 64 * index + 56);
  });
  return bytes;
}

function blocked(bytes: Uint8Array, { line = AUTH, conf = '', uid = 1000 } = {}): boolean {
  return faillockSettings([line], conf).some((rule) => isBlocked(bytes, rule, uid, NOW_S));
}

describe('who is blocked', () => {
  it.each([
    ['three wrong passwords by default', tally(1, 2, 3), {}, true],
    ['two are too few', tally(1, 2), {}, false],
    ['one that no longer counts', tally(1, 2, -3), {}, false],
    ['one long before the others', tally(1, 2, 1_000), {}, false],
    ['ten minutes later no more', tally(601, 602, 603), {}, false],
    ['but for ever where it is never unlocked', tally(1e6, 1e6, 1e6), { conf: 'unlock_time = never' }, true],
    ['the file says how many', tally(1, 2, 3), { conf: '# deny = 2\ndeny = 5' }, false],
    ['the line in pam.d comes over the file', tally(1, 2), { conf: 'deny = 5', line: `${AUTH} deny=2` }, true],
    ['0 blocks nobody', tally(1, 2, 3), { conf: 'deny = 0' }, false],
    ['root is spared', tally(1, 2, 3), { uid: 0 }, false],
    ['unless it is said', tally(1, 2, 3), { uid: 0, conf: 'even_deny_root' }, true],
    ['a time of its own says it as well', tally(61, 62, 63), { uid: 0, conf: 'root_unlock_time = 60' }, false],
    ['and holds for root', tally(1, 2, 3), { uid: 0, conf: 'root_unlock_time = 60' }, true],
    ['a broken record is none', tally(1, 2, 3).subarray(0, 190), {}, false],
  ])('%s', (_, bytes, options, expected) => expect(blocked(bytes, options)).toBe(expected));
});

describe('where the module is in use', () => {
  it.each([
    ['a comment is no line', `#${AUTH}`, 0],
    ['other kinds do not count', 'account required pam_faillock.so', 0],
    ['a dash before it does not matter', `-${AUTH}`, 1],
    ['nor do brackets', 'auth [default=die] pam_faillock.so authfail', 1],
    ['two lines are two rules', `${AUTH}\n${AUTH} deny=9`, 2],
  ])('%s', (_, text, count) => expect(faillockSettings([text], '')).toHaveLength(count));

  it('the folder of the tallies is that of the line, of the file, or the usual one', () => {
    const dirs = [`${AUTH} dir=/a`, AUTH].flatMap((line) => faillockSettings([line], 'dir = /b')).map(({ dir }) => dir);
    expect(dirs).toEqual(['/a', '/b']);
    expect(faillockSettings([AUTH], '')[0]?.dir).toBe('/var/run/faillock');
  });
});
