// What the receipts say of an account beside the code: the reason of a failure, and what still keeps the owner out.

import { describe, expect, test } from 'vitest';
import { Failure } from '../../../protocol/failure.ts';
import { lastOf, makeGuest } from './guest.ts';
import { execute, executeAndBoot } from './runs.ts';

const endOf = async (guest: ReturnType<typeof makeGuest>) => (await guest.receipts()).at(-1);

describe('the reason of an end', () => {
  test.each([
    ['lock_held', 'lock'],
    ['read_only', 'readonly'],
    ['full', 'full'],
  ] as const)('%s is %s', async (trouble, reason) => {
    const guest = makeGuest();
    guest.machine.diskTrouble = trouble;
    await execute(guest);
    expect(await endOf(guest)).toMatchObject({ state: 'FAILED', detail: { reason } });
  });

  test.each([
    ['echoes', 'echoed'],
    ['hangs', 'timeout'],
    ['asks_current', 'asks_current'],
    ['asks_unknown', 'unknown'],
    ['missing', 'missing'],
    ['refuses', 'policy'],
    ['denied', 'permission'],
  ] as const)('a password program that %s is %s', async (trouble, reason) => {
    const guest = makeGuest();
    guest.machine.programTrouble = trouble;
    await execute(guest);
    expect(await endOf(guest)).toMatchObject({ state: 'FAILED', code: 'PASSWD_FAILED', detail: { reason } });
  });

  test.each([
    [{ accepts: async () => false }, 'not_accepted'],
    [{ usable: async () => false }, 'not_usable'],
    [
      {
        accepts: async () => {
          throw new Failure('VERIFY_FAILED', { reason: 'checker_missing' });
        },
      },
      'checker_missing',
    ],
  ])('a password that is not proven says why: %s', async (refusal, reason) => {
    const guest = makeGuest();
    Object.assign(guest.parts, { accounts: { ...guest.parts.accounts, ...refusal } });
    await execute(guest);
    expect(await endOf(guest)).toMatchObject({ state: 'PARTIAL', code: 'VERIFY_FAILED', detail: { reason } });
  });

  test('a program that reported success and changed nothing', async () => {
    const guest = makeGuest();
    Object.assign(guest.parts, { accounts: { ...guest.parts.accounts, setPassword: async () => {} } });
    await execute(guest);
    expect(await endOf(guest)).toMatchObject({ state: 'FAILED', detail: { reason: 'unchanged' } });
  });

  test('a VNC server that could not be set says why', async () => {
    const guest = makeGuest();
    guest.machine.faults.plan({
      call: 'vnc.setPassword',
      nth: 1,
      when: 'before',
      how: new Failure('VNC_FAILED', { reason: 'symlink' }),
    });
    await execute(guest);
    expect(await endOf(guest)).toMatchObject({ state: 'PARTIAL', code: 'VNC_FAILED', detail: { reason: 'symlink' } });
  });

  test('the narrower code stands in where there is no word', async () => {
    const guest = makeGuest();
    guest.machine.faults.plan({ call: 'vnc.setPassword', nth: 1, when: 'before', how: new Failure('DISK_FULL') });
    await execute(guest);
    expect((await endOf(guest))?.detail.reason).toBe('DISK_FULL');
  });

  test('what is no short word stays in the log of the guest', async () => {
    const guest = makeGuest();
    guest.machine.faults.plan({
      call: 'accounts.setPassword',
      nth: 1,
      when: 'before',
      how: new Failure('PASSWD_FAILED', { reason: 'New password: hunter2' }),
    });
    await execute(guest);
    expect(await endOf(guest)).toMatchObject({ state: 'FAILED', code: 'PASSWD_FAILED' });
    expect((await endOf(guest))?.detail).not.toHaveProperty('reason');
  });

  test('a success has none', async () => {
    const guest = makeGuest();
    expect(lastOf(await executeAndBoot(guest))).toEqual(['DONE', null]);
    expect((await endOf(guest))?.detail).not.toHaveProperty('reason');
  });
});

describe('what still keeps the owner out', () => {
  test('is told before, and at the end, and changes no end', async () => {
    const guest = makeGuest();
    guest.machine.sshObstacles = ['SSH_ROOT_PASSWORD_OFF'];
    const root = guest.machine.accounts.get('root');
    if (root) root.obstacles = ['ACCOUNT_SHELL_NOLOGIN'];
    const { conversation, ready } = await guest.prepare();
    conversation.finish();
    expect(ready.warnings).toEqual(expect.arrayContaining(['ACCOUNT_SHELL_NOLOGIN', 'SSH_ROOT_PASSWORD_OFF']));
    const receipts = await executeAndBoot(guest);
    expect(lastOf(receipts)).toEqual(['DONE', null]);
    expect(receipts.at(-1)?.warnings).toEqual(
      expect.arrayContaining(['ACCOUNT_SHELL_NOLOGIN', 'SSH_ROOT_PASSWORD_OFF']),
    );
  });

  test('is asked at the end: what the reboot took away is not told', async () => {
    const guest = makeGuest();
    const root = guest.machine.accounts.get('root');
    if (root) root.obstacles = ['FAILLOCK_ACTIVE'];
    const receipts = await executeAndBoot(guest, () => {
      if (root) root.obstacles = [];
    });
    expect(receipts.flatMap(({ warnings }) => warnings)).not.toContain('FAILLOCK_ACTIVE');
  });

  test('is told of a password that is set where the reboot was denied, and not where none was set', async () => {
    const guest = makeGuest();
    guest.machine.sshObstacles = ['SSH_PASSWORD_OFF'];
    guest.machine.faults.plan({
      call: 'power.reboot',
      nth: 1,
      when: 'before',
      how: new Failure('REBOOT_DENIED', { reason: 'inhibited' }),
    });
    await execute(guest);
    expect(await endOf(guest)).toMatchObject({
      state: 'PARTIAL',
      detail: { reason: 'inhibited' },
      warnings: expect.arrayContaining(['SSH_PASSWORD_OFF']),
    });
    const other = makeGuest();
    other.machine.sshObstacles = ['SSH_PASSWORD_OFF'];
    other.machine.programTrouble = 'refuses';
    await execute(other);
    expect((await endOf(other))?.warnings).not.toContain('SSH_PASSWORD_OFF');
  });

  test('may be impossible to tell: that changes neither `ready` nor the end', async () => {
    const guest = makeGuest();
    guest.machine.faults.plan({
      call: 'accounts.obstacles',
      nth: 1,
      when: 'before',
      how: new Failure('VERIFY_FAILED'),
      forever: true,
    });
    expect(lastOf(await executeAndBoot(guest))).toEqual(['DONE', null]);
  });

  test.each([
    [true, false],
    [false, true],
  ])('wrong passwords are forgotten with unlock and not without (%s)', async (unlock, stays) => {
    const guest = makeGuest();
    const root = guest.machine.accounts.get('root');
    if (root) root.obstacles = ['FAILLOCK_ACTIVE'];
    const receipts = await executeAndBoot(guest, () => {}, { unlock });
    expect(lastOf(receipts)).toEqual(['DONE', null]);
    expect(receipts.at(-1)?.warnings.includes('FAILLOCK_ACTIVE')).toBe(stays);
    expect(guest.machine.faults.calls.includes('accounts.clearLockout')).toBe(unlock);
  });

  test('wrong passwords that cannot be forgotten are told, and the reset is done', async () => {
    const guest = makeGuest();
    const root = guest.machine.accounts.get('root');
    if (root) root.obstacles = ['FAILLOCK_ACTIVE'];
    guest.machine.faults.plan({
      call: 'accounts.clearLockout',
      nth: 1,
      when: 'before',
      how: new Failure('PASSWD_FAILED'),
    });
    const receipts = await executeAndBoot(guest, () => {}, { unlock: true });
    expect(lastOf(receipts)).toEqual(['DONE', null]);
    expect(receipts.at(-1)?.warnings).toContain('FAILLOCK_ACTIVE');
  });

  test('a reset that failed forgets nothing', async () => {
    const guest = makeGuest();
    guest.machine.programTrouble = 'refuses';
    await execute(guest, { unlock: true });
    expect(guest.machine.faults.calls).not.toContain('accounts.clearLockout');
  });
});
