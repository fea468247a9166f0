// The real power and environment adapters, in guests; and that a reboot that was accepted brings another boot.

import { describe, expect, it, onTestFinished } from 'vitest';
import { createGuest, type Guest } from '../../lab/guest.ts';
import { LabUnavailable } from '../../lab/requirements.ts';
import { unavailable } from '../../requirements.ts';
import { environmentRules } from '../contracts/environment.ts';
import { describeInGuest, GUEST_NODE } from '../contracts/guest-run.ts';
import { powerRules } from '../contracts/power.ts';

describeInGuest(
  'power',
  powerRules.map(({ title }) => title),
);
describeInGuest(
  'environment',
  environmentRules.map(({ title }) => title),
);

const PROJECT = '/usr/lib/latchkey-agent';
const REBOOT = `import { powerLinux } from '${PROJECT}/agent/adapters/power-linux.ts'; await powerLinux().reboot();`;

describe('the real power adapter', () => {
  it('asks for a reboot that brings another boot id', async (context) => {
    let guest: Guest;
    try {
      guest = createGuest({ name: `power-${process.pid}`, services: [], vnc: false });
    } catch (error) {
      if (error instanceof LabUnavailable) unavailable(context, error.code, error.message);
      throw error;
    }
    onTestFinished(() => guest.destroy());
    await guest.boot();
    const before = guest.bootId();
    // The guest may take the program that asked down before it has ended.
    await guest.exec([GUEST_NODE, '--input-type=module', '-e', REBOOT]).catch(() => {});
    await guest.waitForBoot(2);
    expect(guest.bootId()).not.toBe(before);
    const told = await guest.exec(['cat', '/proc/sys/kernel/random/boot_id']);
    expect(told.stdout.trim()).toBe(guest.bootId());
  });
});
