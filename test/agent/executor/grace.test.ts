// A machine may become another one while an operation waits in its grace period: what was true when it was accepted must
// still be true when it is carried out.

import { describe, expect, test } from 'vitest';
import type { FakeMachine } from '../fakes/machine-fake.ts';
import { lastOf, makeGuest, states } from './guest.ts';
import { execute } from './runs.ts';

/** A reset of root with a grace period, and what happens to the machine in it. */
async function resetWhile(meanwhile: (machine: FakeMachine) => void, wishes: { uid?: number | null } = {}) {
  const guest = makeGuest();
  const { warn } = guest.parts.power;
  const power = {
    ...guest.parts.power,
    warn: async (message: string) => {
      meanwhile(guest.machine);
      return warn(message);
    },
  };
  Object.assign(guest.parts, { power });
  await execute(guest, { graceS: 60, ...wishes });
  return { guest, receipts: await guest.receipts() };
}

const root = (changes: object) => (machine: FakeMachine) => {
  Object.assign(machine.accounts.get('root') ?? {}, changes);
};

describe('in the grace period', () => {
  test.each<[string, (machine: FakeMachine) => void, string]>([
    ['an account that was made anew', root({ uid: 7 }), 'ACCOUNT_NOT_FOUND'],
    ['an account that went away', (machine) => machine.accounts.clear(), 'ACCOUNT_NOT_FOUND'],
    ['an account that was locked', root({ state: 'locked' }), 'ACCOUNT_LOCKED'],
    ['an account that expired', root({ state: 'expired' }), 'ACCOUNT_EXPIRED'],
    [
      'a second account with its uid',
      (machine) => machine.accounts.set('toor', { uid: 0, password: null, state: 'no_password', changes: 0 }),
      'ACCOUNT_AMBIGUOUS',
    ],
    [
      'another root prepared for the reboot',
      (machine) => {
        machine.facts = { nextRoot: true };
      },
      'ENV_REFUSED',
    ],
  ])('%s ends the operation, and nothing is changed', async (_, meanwhile, code) => {
    const { guest, receipts } = await resetWhile(meanwhile, { uid: null });
    expect(states(receipts)).toEqual(['ACCEPTED', 'WAITING', 'FAILED']);
    expect(lastOf(receipts)).toEqual(['FAILED', code]);
    expect(guest.machine.faults.calls).not.toContain('accounts.setPassword');
    expect(guest.vnc.source).not.toBeNull();
  });

  test('a machine that stays the same is reset', async () => {
    const { receipts } = await resetWhile(() => {});
    expect(states(receipts)).toContain('PASSWORD_SET');
  });
});
