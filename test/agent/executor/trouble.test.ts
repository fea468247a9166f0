// Trouble with the journal and the account: what fails, what was changed by then, and that the end says exactly that.

import { describe, expect, test } from 'vitest';
import { Failure } from '../../../protocol/failure.ts';
import { lastOf, makeGuest } from './guest.ts';
import { changes, execute, executeAndBoot } from './runs.ts';

describe('the journal', () => {
  test('without space refuses before anything is changed, and still says so', async () => {
    const guest = makeGuest();
    guest.machine.journalTrouble = 'full';
    const { answers } = await execute(guest);
    expect(answers.filter(({ t }) => t === 'receipt')).toHaveLength(1);
    expect(changes(guest)).toBe(0);
    guest.machine.journalTrouble = null;
    expect(await guest.receipts()).toEqual([]);
  });

  test('that fills up before the effect is announced lets nothing be changed', async () => {
    const guest = makeGuest();
    guest.machine.faults.plan({ call: 'journal.append', nth: 3, when: 'before', how: new Failure('DISK_FULL') });
    const { answers } = await execute(guest);
    expect(answers.some(({ t, code }) => t === 'refused' && code === 'DISK_FULL')).toBe(true);
    expect(changes(guest)).toBe(0);
    await guest.ask({ t: 'resume' });
    expect(lastOf(await guest.receipts())).toEqual(['INTERRUPTED', 'INTERRUPTED']);
  });

  test('that is unsafe lets nothing be prepared', async () => {
    const guest = makeGuest();
    guest.machine.journalTrouble = 'unsafe';
    const { answers } = await guest.ask({ t: 'prepare', op: `op_${'0'.repeat(26)}`, account: null });
    expect(answers[0]).toMatchObject({ t: 'refused', code: 'JOURNAL_UNSAFE' });
  });

  test('with an edited line lets nothing be prepared', async () => {
    const guest = makeGuest();
    await executeAndBoot(guest);
    guest.machine.journal = Buffer.from(guest.machine.journal.toString().replace('PASSWORD_SET', 'PASSWORD_SEX'));
    const { answers } = await guest.ask({ t: 'prepare', op: `op_${'0'.repeat(26)}`, account: null });
    expect(answers[0]).toMatchObject({ t: 'refused', code: 'JOURNAL_UNSAFE' });
  });

  test('that another process holds for a moment is waited for', async () => {
    const guest = makeGuest();
    guest.machine.faults.plan({ call: 'journal.open', nth: 2, when: 'before', how: new Failure('BUSY') });
    await execute(guest);
    expect((await guest.receipts())[0]?.state).toBe('ACCEPTED');
  });
});

describe('the account', () => {
  test.each([
    ['95', 'lock_held', 'SHADOW_LOCKED'],
    ['96', 'read_only', 'FS_READONLY'],
    ['98', 'full', 'PASSWD_FAILED'],
  ] as const)('%s %s ends FAILED with %s, and nothing is changed', async (_, trouble, code) => {
    const guest = makeGuest();
    guest.machine.diskTrouble = trouble;
    await execute(guest);
    expect(lastOf(await guest.receipts())).toEqual(['FAILED', code]);
    expect(changes(guest)).toBe(0);
  });

  test.each(['echoes', 'hangs', 'asks_current', 'missing', 'refuses'] as const)(
    'a password program that %s ends FAILED',
    async (trouble) => {
      const guest = makeGuest();
      guest.machine.programTrouble = trouble;
      await execute(guest);
      expect(lastOf(await guest.receipts())).toEqual(['FAILED', 'PASSWD_FAILED']);
      expect(guest.machine.faults.calls).not.toContain('power.reboot');
    },
  );

  test('a program that failed after it had changed the entry is judged by the entry', async () => {
    const guest = makeGuest();
    guest.machine.faults.plan({
      call: 'accounts.setPassword',
      nth: 1,
      when: 'after',
      how: new Failure('PASSWD_FAILED'),
    });
    expect(lastOf(await executeAndBoot(guest))).toEqual(['DONE', null]);
  });

  test('a program of which it cannot be told what it did is VERIFY_FAILED, whatever the entry says now', async () => {
    const guest = makeGuest();
    const how = new Failure('VERIFY_FAILED', { reason: 'sync' });
    guest.machine.faults.plan({ call: 'accounts.setPassword', nth: 1, when: 'after', how });
    await execute(guest);
    const receipts = await guest.receipts();
    expect(lastOf(receipts)).toEqual(['PARTIAL', 'VERIFY_FAILED']);
    expect(receipts.at(-1)?.detail.verified?.account).not.toBe(true);
  });

  test('another account that changed meanwhile is VERIFY_FAILED, and the machine is not rebooted', async () => {
    const guest = makeGuest();
    guest.machine.accounts.set('eve', { uid: 1001, password: null, state: 'no_password', changes: 0 });
    const { setPassword } = guest.parts.accounts;
    const accounts = {
      ...guest.parts.accounts,
      setPassword: async (...args: Parameters<typeof setPassword>) => {
        await setPassword(...args);
        const eve = guest.machine.accounts.get('eve');
        if (eve) eve.changes += 1;
      },
    };
    Object.assign(guest.parts, { accounts });
    await execute(guest);
    expect(lastOf(await guest.receipts())).toEqual(['PARTIAL', 'VERIFY_FAILED']);
    expect(guest.machine.faults.calls).not.toContain('power.reboot');
  });

  test('a checker that says no, or an account that cannot sign in, is VERIFY_FAILED', async () => {
    for (const refusal of [{ accepts: async () => false }, { usable: async () => false }]) {
      const guest = makeGuest();
      Object.assign(guest.parts, { accounts: { ...guest.parts.accounts, ...refusal } });
      await execute(guest);
      expect(lastOf(await guest.receipts())).toEqual(['PARTIAL', 'VERIFY_FAILED']);
    }
  });

  test.each(['accounts.accepts', 'accounts.usable'])(
    '%s that cannot tell is VERIFY_FAILED, and said at once',
    async (call) => {
      const guest = makeGuest();
      guest.machine.faults.plan({ call, nth: 1, when: 'before', how: new Failure('VERIFY_FAILED') });
      await execute(guest);
      expect(lastOf(await guest.receipts())).toEqual(['PARTIAL', 'VERIFY_FAILED']);
    },
  );

  test('whose entry was changed by someone else before the machine came back is VERIFY_FAILED', async () => {
    const guest = makeGuest();
    const receipts = await executeAndBoot(guest, () => {
      const root = guest.machine.accounts.get('root');
      if (root) root.changes += 1;
    });
    expect(lastOf(receipts)).toEqual(['PARTIAL', 'VERIFY_FAILED']);
    expect(receipts.at(-1)?.detail.verified).toEqual({ account: false, vnc: true, reboot: true });
  });

  test('another account that changed over the reboot is nobody else’s matter', async () => {
    const guest = makeGuest();
    guest.machine.accounts.set('eve', { uid: 1001, password: null, state: 'no_password', changes: 0 });
    const receipts = await executeAndBoot(guest, () => guest.machine.accounts.delete('eve'));
    expect(lastOf(receipts)).toEqual(['DONE', null]);
  });
});
