// Faults strike where they were planned, and what was done before a crash stays done.

import { describe, expect, it } from 'vitest';
import { Failure } from '../../../protocol/failure.ts';
import { drawSecret, refuses } from '../contracts/contract.ts';
import { accountsFake } from './accounts-fake.ts';
import { FakeClock } from './clock-fake.ts';
import { Crash } from './faults.ts';
import { openJournalFake } from './journal-fake.ts';
import { FakeMachine } from './machine-fake.ts';
import { powerFake } from './power-fake.ts';
import { randomFake } from './random-fake.ts';

describe('faults', () => {
  it('a crash before a call leaves nothing, one after it leaves all', async () => {
    for (const when of ['before', 'after'] as const) {
      const machine = new FakeMachine();
      const accounts = accountsFake(machine);
      const [root, secret] = [await accounts.resolve(null), drawSecret()];
      machine.faults.plan({ call: 'accounts.setPassword', nth: 1, when, how: 'crash' });
      await expect(accounts.setPassword(root, secret)).rejects.toThrow(Crash);
      expect(await accountsFake(machine).accepts(root, secret)).toBe(when === 'after');
    }
  });
  it('strike at the Nth call, once or from there on', async () => {
    for (const forever of [false, true]) {
      const machine = new FakeMachine();
      const accounts = accountsFake(machine);
      machine.faults.plan({ nth: 2, when: 'before', how: new Failure('DISK_FULL'), forever });
      await accounts.fingerprint();
      await refuses(accounts.fingerprint(), 'DISK_FULL');
      if (forever) await refuses(accounts.fingerprint(), 'DISK_FULL');
      else await accounts.fingerprint();
    }
  });
  it('a crash lets the journal’s writer go and keeps its lines', async () => {
    const machine = new FakeMachine();
    const journal = await openJournalFake(machine, 'write');
    machine.faults.plan({ call: 'journal.append', nth: 1, when: 'after', how: 'crash' });
    await expect(journal.append({ n: 1 })).rejects.toThrow(Crash);
    expect((await openJournalFake(machine, 'write')).records()).toEqual([{ n: 1 }]);
  });
});

describe('the fake machine', () => {
  it('a reboot gives a new boot id, unless it is swallowed', async () => {
    const machine = new FakeMachine();
    const first = machine.bootId;
    await powerFake(machine).reboot();
    expect(machine.bootId).not.toBe(first);
    const second = machine.bootId;
    machine.power = 'swallows';
    await powerFake(machine).reboot();
    expect(machine.bootId).toBe(second);
  });
  it('its randomness repeats by seed', () => {
    expect(randomFake('a').bytes(70)).toEqual(randomFake('a').bytes(70));
    expect(randomFake('a').bytes(70)).not.toEqual(randomFake('b').bytes(70));
  });
  it('its time passes when it is told to', async () => {
    const clock = new FakeClock({ jumps: false });
    let woken = false;
    const sleep = clock.sleep(10).then(() => {
      woken = true;
    });
    clock.pass(9);
    await Promise.resolve();
    expect(woken).toBe(false);
    clock.pass(1);
    await sleep;
    expect([woken, clock.monotonicMs(), clock.sleepers]).toEqual([true, 10, 0]);
  });
});
