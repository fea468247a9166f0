// Trouble with the VNC server and the reboot: what was changed by then, and that the end says exactly that.

import { describe, expect, test } from 'vitest';
import { Failure } from '../../../protocol/failure.ts';
import { OP } from '../../protocol/samples.ts';
import { FakeClock } from '../fakes/clock-fake.ts';
import { dieOnReboot, lastOf, makeGuest, states } from './guest.ts';
import { ackOf, drawPassword, order } from './orders.ts';
import { changes, execute, executeAndBoot } from './runs.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('VNC', () => {
  test('that vanished after `ready` is PARTIAL, and the password stays set', async () => {
    const guest = makeGuest();
    dieOnReboot(guest);
    const { conversation, ready } = await guest.prepare();
    guest.machine.vncServers.length = 0;
    conversation.send({ t: 'execute', token: await order(ready) });
    await conversation.over;
    await guest.ask({ t: 'resume' });
    expect(lastOf(await guest.receipts())).toEqual(['PARTIAL', 'VNC_ABSENT']);
    expect(changes(guest)).toBe(1);
  });

  test.each<[string, object]>([
    ['files that must not be touched', { unsafe: 'mode' }],
    ['an inline password', { inline: true }],
    ['no file that is known', { sourcePath: null }],
  ])('%s: VNC_FAILED before anything is changed', async (_, vnc) => {
    const guest = makeGuest({ vnc });
    await execute(guest);
    expect(lastOf(await guest.receipts())).toEqual(['REFUSED', 'VNC_FAILED']);
    expect(changes(guest)).toBe(0);
    expect(guest.machine.faults.calls).not.toContain('power.reboot');
  });

  test('files that can be read and not written: VNC_FAILED after the account was set', async () => {
    const guest = makeGuest({ vnc: { unwritable: true } });
    await execute(guest);
    expect(lastOf(await guest.receipts())).toEqual(['PARTIAL', 'VNC_FAILED']);
    expect(changes(guest)).toBe(1);
    expect(guest.machine.faults.calls).not.toContain('power.reboot');
  });

  test('a server that asks for the account’s own password is refused before anything is changed', async () => {
    const guest = makeGuest({ vnc: { kind: 'account' } });
    await execute(guest);
    expect(lastOf(await guest.receipts())).toEqual(['REFUSED', 'VNC_USES_ACCOUNT']);
    expect(changes(guest)).toBe(0);
  });

  test('alone, with files that cannot be written, ends FAILED with nothing changed', async () => {
    const guest = makeGuest({ vnc: { unwritable: true } });
    await execute(guest, { account: null });
    expect(lastOf(await guest.receipts())).toEqual(['FAILED', 'VNC_FAILED']);
  });

  test('the same 8 characters as before are refused before anything is changed', async () => {
    const again = makeGuest();
    const pw = drawPassword(8);
    again.vnc.source = pw;
    again.vnc.live = pw;
    await execute(again, { vnc: { typed: `${pw}-and-more` } });
    const receipts = await again.receipts();
    expect(lastOf(receipts)).toEqual(['REFUSED', 'PASSWORD_POLICY']);
    expect(receipts.at(-1)?.detail.reason).toBe('same_as_before');
    expect(changes(again)).toBe(0);
  });

  test('alone, cut off before it was changed, is INTERRUPTED also where the live copy died with its boot', async () => {
    const guest = makeGuest();
    guest.machine.faults.plan({ call: 'vnc.setPassword', nth: 1, when: 'before', how: 'crash' });
    await execute(guest, { account: null });
    guest.vnc.copies = false;
    guest.machine.reboot();
    await guest.ask({ t: 'resume' });
    expect(lastOf(await guest.receipts())).toEqual(['INTERRUPTED', 'INTERRUPTED']);
  });

  test('alone, cut off after it was changed, is PARTIAL also in another boot', async () => {
    const guest = makeGuest();
    guest.machine.faults.plan({ call: 'vnc.setPassword', nth: 1, when: 'after', how: 'crash' });
    await execute(guest, { account: null });
    guest.machine.reboot();
    await guest.ask({ t: 'resume' });
    expect(lastOf(await guest.receipts())).toEqual(['PARTIAL', 'INTERRUPTED']);
  });

  test('that had no credential before, cut off after one was written, is PARTIAL', async () => {
    const guest = makeGuest({ vnc: { source: null } });
    guest.vnc.source = null;
    guest.vnc.live = null;
    guest.machine.faults.plan({ call: 'vnc.setPassword', nth: 1, when: 'after', how: 'crash' });
    await execute(guest, { account: null });
    await guest.ask({ t: 'resume' });
    expect(lastOf(await guest.receipts())).toEqual(['PARTIAL', 'INTERRUPTED']);
  });

  test('that says nothing is proven after the reboot', async () => {
    const guest = makeGuest();
    guest.vnc.trouble = 'busy';
    const receipts = await executeAndBoot(guest, () => {
      guest.vnc.trouble = null;
    });
    const { detail, warnings } = receipts.find(({ state }) => state === 'VNC_SET') ?? {};
    expect(detail).toMatchObject({ vnc_state: 'unverifiable', reason: 'busy', verified: { vnc: false } });
    expect(warnings).not.toContain('VNC_RESTART_REQUIRED');
    expect(receipts.at(-1)?.detail.vnc_state).toBe('verified');
    expect(lastOf(receipts)).toEqual(['DONE', null]);
  });

  test('that reads its password at its start still has the old one, and says so until the reboot', async () => {
    const old = drawPassword(8);
    const guest = makeGuest({ vnc: { source: old, live: old, copies: false, atStart: true } });
    const receipts = await executeAndBoot(guest, () => {});
    const set = receipts.find(({ state }) => state === 'VNC_SET');
    expect(set?.detail.verified?.vnc).toBe(false);
    expect(set?.warnings).toContain('VNC_RESTART_REQUIRED');
    expect(receipts.at(-1)?.detail.verified?.vnc).toBe(true);
    expect(lastOf(receipts)).toEqual(['DONE', null]);
  });

  test('that does not come back after the boot is VNC_UNVERIFIED, after as long as is given', async () => {
    const guest = makeGuest();
    const before = guest.clock.monotonicMs();
    const receipts = await executeAndBoot(guest, () => {
      guest.vnc.running = false;
    });
    expect(lastOf(receipts)).toEqual(['PARTIAL', 'VNC_UNVERIFIED']);
    expect(receipts.at(-1)?.detail.verified).toEqual({ account: true, vnc: false, reboot: true });
    expect(guest.clock.monotonicMs() - before).toBeGreaterThanOrEqual(60_000);
  });

  test('that says no after the boot is asked once: it would count its failures', async () => {
    const guest = makeGuest();
    const receipts = await executeAndBoot(guest, () => {
      guest.vnc.live = drawPassword(8);
    });
    expect(lastOf(receipts)).toEqual(['PARTIAL', 'VNC_UNVERIFIED']);
    const calls = guest.machine.faults.calls;
    expect(calls.slice(calls.indexOf('power.reboot')).filter((call) => call === 'vnc.probeStored')).toHaveLength(1);
  });

  test('whose file was changed by someone else over the reboot is VNC_UNVERIFIED', async () => {
    const guest = makeGuest();
    const receipts = await executeAndBoot(guest, () => {
      guest.vnc.source = drawPassword(8);
      guest.vnc.live = guest.vnc.source;
    });
    expect(lastOf(receipts)).toEqual(['PARTIAL', 'VNC_UNVERIFIED']);
  });

  test.each(['vnc.files', 'vnc.probeStored'])(
    'whose %s fails after the boot does not leave the operation open',
    async (call) => {
      const guest = makeGuest();
      const receipts = await executeAndBoot(guest, () =>
        guest.machine.faults.plan({ call, nth: 1, when: 'before', how: new Failure('VNC_FAILED'), forever: true }),
      );
      expect(lastOf(receipts)).toEqual(['PARTIAL', 'VNC_UNVERIFIED']);
    },
  );
});

describe('the reboot', () => {
  test('that is denied at last is PARTIAL, and the secrets stay set', async () => {
    const guest = makeGuest();
    guest.machine.faults.plan({ call: 'power.reboot', nth: 1, when: 'before', how: new Failure('REBOOT_DENIED') });
    await execute(guest);
    expect(lastOf(await guest.receipts())).toEqual(['PARTIAL', 'REBOOT_DENIED']);
    expect((await guest.receipts()).at(-1)?.detail.verified).toEqual({ account: true, vnc: true, reboot: false });
  });

  test('is not asked for where the machine would come back in another root', async () => {
    const guest = makeGuest();
    const { probe } = guest.parts.vnc;
    const vnc = {
      ...guest.parts.vnc,
      probe: async (...args: Parameters<typeof probe>) => {
        guest.machine.facts = { nextRoot: true };
        return probe(...args);
      },
    };
    Object.assign(guest.parts, { vnc });
    await execute(guest);
    expect(lastOf(await guest.receipts())).toEqual(['PARTIAL', 'REBOOT_DENIED']);
    expect(guest.machine.faults.calls).not.toContain('power.reboot');
  });

  test('that is swallowed once is asked for again', async () => {
    const guest = makeGuest();
    guest.machine.power = 'swallows';
    guest.machine.onReboot(() => {});
    const { sleep } = guest.parts.clock;
    let slept = 0;
    const clock = Object.assign(Object.create(guest.clock), {
      monotonicMs: () => guest.clock.monotonicMs(),
      sleep: async (ms: number) => {
        if (ms === guest.parts.rebootPatienceMs) guest.machine.power = 'reboots';
        slept += 1;
        return sleep.call(guest.clock, ms);
      },
    });
    Object.assign(guest.parts, { clock });
    guest.machine.faults.plan({ call: 'power.reboot', nth: 2, when: 'after', how: 'crash' });
    await execute(guest);
    expect(slept).toBeGreaterThan(0);
    await guest.ask({ t: 'resume' });
    const receipts = await guest.receipts();
    expect(states(receipts).filter((state) => state === 'REBOOTING')).toHaveLength(2);
    expect(receipts.filter(({ state }) => state === 'REBOOTING').map(({ detail }) => detail.attempt)).toEqual([1, 2]);
    expect(lastOf(receipts)).toEqual(['DONE', null]);
  });

  test('that is swallowed three times is PARTIAL with REBOOT_TIMEOUT', async () => {
    const guest = makeGuest();
    guest.machine.power = 'swallows';
    await execute(guest);
    expect(lastOf(await guest.receipts())).toEqual(['PARTIAL', 'REBOOT_TIMEOUT']);
    expect(guest.machine.faults.calls.filter((call) => call === 'power.reboot')).toHaveLength(3);
  });

  test('waits until REBOOTING is stored outside, or for a moment only', async () => {
    for (const stored of [true, false]) {
      const clock = new FakeClock({ jumps: false });
      const guest = makeGuest({ parts: { clock } });
      dieOnReboot(guest);
      const { conversation, ready } = await guest.prepare();
      conversation.send({ t: 'execute', token: await order(ready) });
      while (clock.sleepers === 0) await turn();
      const { state, receipts = [] } = (await guest.operation()) ?? {};
      expect(state).toBe('REBOOTING');
      const n = stored ? receipts.length : receipts.length - 1;
      conversation.send({ t: 'ack', token: await ackOf(OP, n) });
      while ((await guest.operation())?.acked !== n) await turn();
      if (!stored) {
        clock.pass(1_999);
        for (let count = 0; count < 50; count += 1) await turn();
        expect(guest.machine.faults.calls).not.toContain('power.reboot');
        clock.pass(1);
      }
      await conversation.over;
      expect(guest.machine.faults.calls).toContain('power.reboot');
    }
  });

  test('a process that is started anew in the same boot does not take that for a reboot', async () => {
    const guest = makeGuest();
    guest.machine.faults.plan({ call: 'power.reboot', nth: 1, when: 'before', how: 'crash' });
    guest.machine.power = 'swallows';
    await execute(guest);
    await guest.ask({ t: 'resume' });
    expect(states(await guest.receipts())).not.toContain('BOOTED');
    expect(lastOf(await guest.receipts())).toEqual(['PARTIAL', 'REBOOT_TIMEOUT']);
  });

  test('that came as a power loss counts as the reboot', async () => {
    const guest = makeGuest();
    guest.machine.faults.plan({ call: 'power.reboot', nth: 1, when: 'before', how: 'crash' });
    await execute(guest);
    guest.machine.reboot();
    await guest.ask({ t: 'resume' });
    expect(lastOf(await guest.receipts())).toEqual(['DONE', null]);
  });

  test.each<[string, object]>([
    ['another root', { marker: 'other' }],
    ['a maintenance shell', { kernelCommandLine: 'ro systemd.unit=rescue.target' }],
    ['an overlay', { rootFilesystem: 'overlay' }],
  ])('into %s is BOOT_ENV_CHANGED and never DONE', async (_, facts) => {
    const guest = makeGuest();
    const receipts = await executeAndBoot(guest, () => {
      guest.machine.facts = facts;
    });
    expect(lastOf(receipts)).toEqual(['PARTIAL', 'BOOT_ENV_CHANGED']);
    expect(receipts.at(-1)?.detail.verified?.reboot).toBe(false);
  });
});

describe('resume', () => {
  test('with nothing under way does nothing', async () => {
    const guest = makeGuest();
    const { answers } = await guest.ask({ t: 'resume' });
    expect(answers).toEqual([{ t: 'end' }]);
    expect(guest.machine.journal).toHaveLength(0);
  });

  test('of an operation that ended does nothing', async () => {
    const guest = makeGuest();
    await executeAndBoot(guest);
    const length = guest.machine.journal.length;
    await guest.ask({ t: 'resume' });
    expect(guest.machine.journal).toHaveLength(length);
  });
});
