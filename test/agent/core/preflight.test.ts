// What each finding means for a reset: refused only what a reset would meet, warned of what it would not, and never more
// said than the answer has room for.

import { describe, expect, it, test } from 'vitest';
import {
  judgeClock,
  judgePam,
  judgePlatform,
  judgeSandbox,
  judgeStorage,
  judgeTrust,
  judgeVnc,
  payloadOf,
  row,
} from '../../../agent/core/preflight.ts';
import {
  type Check,
  canReset,
  checkNames,
  checkText,
  PREFLIGHT_PAYLOAD_BYTES_MAX,
  readPreflight,
} from '../../../protocol/preflight.ts';
import { keys, NOW_S, samplePreflight, sampleRoot } from '../../protocol/samples.ts';

const said = ({ verdict, code, reason }: Check) => [verdict, code, reason].filter(Boolean).join(' ');

describe('the system', () => {
  it('on which this agent was never proven for real is told apart', () => {
    const check = judgePlatform({ system: 'Windows', proven: false });
    expect(said(check)).toBe('warning PLATFORM_UNPROVEN');
    expect(checkText(check)).toMatchObject({
      title: 'operating system: Windows',
      sentence: 'This agent is not yet proven on a real machine of this system.',
    });
    expect(said(judgePlatform({ system: 'linux', proven: true }))).toBe('ok');
  });
});

describe('restrictions', () => {
  const all = { managed: true, noNewPrivileges: true, capabilities: 0x800c3n, seccomp: true };
  it.each([
    ['ok', 'no_new_privs capabilities seccomp', all],
    ['warning SANDBOX_OFF', 'without no_new_privs', { ...all, noNewPrivileges: false }],
    ['warning SANDBOX_OFF', 'without seccomp', { ...all, seccomp: false }],
    ['warning SANDBOX_OFF', 'without capabilities', { ...all, capabilities: 1n << 21n }],
    [
      'warning SANDBOX_OFF',
      'without no_new_privs capabilities seccomp',
      { managed: true, noNewPrivileges: false, capabilities: 0x1ffffffffffn, seccomp: false },
    ],
    ['ok', 'no service manager that could restrict it', { ...all, managed: false, seccomp: false }],
    ['ok', 'no service manager that could restrict it', null],
  ])('%s: %s', (words, about, facts) => {
    expect(said(judgeSandbox(facts))).toBe(words);
    expect(judgeSandbox(facts).about).toBe(about);
  });
});

describe('a disk', () => {
  const disk = { place: '/etc', holds: 'accounts', writable: 'yes', freeBytes: 1e9 } as const;
  it.each([
    ['ok', disk],
    ['refused FS_READONLY readonly', { ...disk, writable: 'readonly', freeBytes: 0 }],
    ['refused PASSWD_FAILED permission', { ...disk, writable: 'denied' }],
    ['refused JOURNAL_UNSAFE permission', { ...disk, holds: 'journal', writable: 'denied' }],
    ['refused PASSWD_FAILED full', { ...disk, freeBytes: 0 }],
    ['refused DISK_FULL full', { ...disk, holds: 'journal', freeBytes: 0 }],
    ['warning DISK_FULL low', { ...disk, freeBytes: 1_048_575 }],
    ['ok', { ...disk, freeBytes: 1_048_576 }],
    ['unknown', { ...disk, freeBytes: null }],
    ['unknown', { ...disk, writable: null }],
  ] as const)('%s', (words, facts) => expect(said(judgeStorage(facts))).toBe(words));
});

describe('PAM', () => {
  const stack = { service: 'passwd', denies: false, missing: [], unclear: false };
  it.each([
    ['ok', null],
    ['ok', stack],
    ['refused PASSWD_FAILED pam_no_rules', { ...stack, service: null }],
    ['refused PASSWD_FAILED pam_denies', { ...stack, denies: true }],
    ['refused PASSWD_FAILED pam_module', { ...stack, missing: ['pam_gone.so'] }],
    ['unknown', { ...stack, unclear: true }],
  ])('%s', (words, facts) => expect(said(judgePam(facts))).toBe(words));
});

test('a clock refuses nothing, however far it is off, and without server time it is not judged', () => {
  expect(said(judgeClock(NOW_S - 60, NOW_S))).toBe('ok');
  expect(judgeClock(NOW_S - 61, NOW_S)).toMatchObject({
    verdict: 'warning',
    code: 'CLOCK_WRONG',
    about: '61 s behind',
  });
  expect(said(judgeClock(0, NOW_S))).toBe('warning CLOCK_WRONG');
  expect(said(judgeClock(0, null))).toBe('unknown');
});

describe('the root', () => {
  const spare = { [keys.spare.kid]: { jwk: keys.spare.jwk, expires: NOW_S - 1 } };
  it('is good for as long as one command key is', () => {
    const roles = { ...sampleRoot().roles, command: { kids: [keys.spare.kid, keys.command.kid], threshold: 1 } };
    const root = sampleRoot({ roles, keys: { ...sampleRoot().keys, ...spare } });
    expect(said(judgeTrust({ value: root }, NOW_S))).toBe('ok');
    const alone = { ...roles, command: { kids: [keys.spare.kid], threshold: 1 } };
    expect(said(judgeTrust({ value: { ...root, roles: alone } }, NOW_S))).toBe('refused KEY_EXPIRED');
  });
  it('is good in its last second, and that it ends is said', () => {
    const root = sampleRoot({ expires: NOW_S });
    expect(judgeTrust({ value: root }, NOW_S)).toMatchObject({
      verdict: 'warning',
      about: 'version 1, ends in 0 days',
    });
    expect(said(judgeTrust({ value: root }, NOW_S + 1))).toBe('refused ROOT_EXPIRED');
  });
  it('that cannot be read is refused by its code', () => {
    expect(said(judgeTrust({ code: 'ROOT_INVALID', details: { reason: 'syntax' } }, NOW_S))).toBe(
      'refused ROOT_INVALID syntax',
    );
  });
});

describe('VNC', () => {
  const server = { id: 'tigervnc:5901', kind: 'vncauth', effective: 8, changeable: { value: undefined } } as const;
  it('a server that agent.json names and that does not run is said, beside those that do', () => {
    expect(judgeVnc([server], { value: null }).map(said)).toEqual(['ok VNC_TRUNCATED', 'refused VNC_ABSENT']);
  });
  it('refuses no reset of the account', () => {
    const rows = judgeVnc([server, server], { code: 'VNC_AMBIGUOUS', details: {} });
    expect(canReset(rows)).toEqual({ account: true, vnc: false });
    expect(canReset([...rows, row('power', 'refused', { code: 'REBOOT_DENIED' })])).toEqual({
      account: false,
      vnc: false,
    });
  });
});

describe('an answer', () => {
  const { checks: _, left_out: __, ...head } = samplePreflight();
  const many = (verdict: Check['verdict'], count: number) =>
    Array.from({ length: count }, (_, n) => row('vnc', verdict, { code: 'VNC_FAILED', about: `tigervnc:${5900 + n}` }));

  it('that fits is whole', () => {
    const rows = checkNames.map((name) => row(name, 'ok'));
    expect(payloadOf(head, rows)).toEqual({ ...head, checks: rows, left_out: 0 });
  });

  it('that does not fit leaves out what says least, from its end, and says how much', () => {
    const rows = [...many('ok', 20), ...many('warning', 30), ...many('refused', 5), ...many('unknown', 5)];
    const payload = payloadOf(head, rows);
    expect(JSON.stringify(payload).length).toBeLessThanOrEqual(PREFLIGHT_PAYLOAD_BYTES_MAX);
    expect(readPreflight(payload)).toEqual(payload);
    expect(payload.left_out).toBe(rows.length - payload.checks.length);
    const count = (verdict: string) => payload.checks.filter((each) => each.verdict === verdict).length;
    expect([count('refused'), count('unknown'), count('ok')]).toEqual([5, 5, 0]);
    expect(count('warning')).toBeGreaterThan(10);
    expect(payload.checks.find(({ verdict }) => verdict === 'warning')?.about).toBe('tigervnc:5900');
  });

  it('takes no word of the machine that the wire would not take', () => {
    const rows = [row('disk', 'ok', { about: `/etc\u001b[2J\n${'x'.repeat(100)}` }), row('disk', 'ok', { about: '' })];
    expect(readPreflight(payloadOf(head, rows)).checks.map(({ about }) => about?.slice(0, 12))).toEqual([
      '/etc?[2J?xxx',
      '-',
    ]);
  });
});
