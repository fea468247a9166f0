// Where a VNC secret stands, as receipts say it: each state, what led to it, and that no rotation tries more than one secret
// that is expected to fail.

import { describe, expect, test } from 'vitest';
import { Failure } from '../../../protocol/failure.ts';
import type { Receipt } from '../../../protocol/receipt.ts';
import type { Secret } from '../../../protocol/secret.ts';
import type { FakeVncServer } from '../fakes/machine-fake.ts';
import { dieOnReboot, type Guest, lastOf, makeGuest } from './guest.ts';
import { drawPassword, type Wishes } from './orders.ts';
import { execute, executeAndBoot } from './runs.ts';

const vncCalls = (guest: Guest): string[] => guest.machine.faults.calls.filter((call) => call.startsWith('vnc.'));
const at = (receipts: readonly Receipt[], state: string) => receipts.find((receipt) => receipt.state === state);

/** How many of the tries before the reboot a server said no to. */
function countRejected(guest: Guest): () => number {
  const { probe, probeStored } = guest.parts.vnc;
  let rejected = 0;
  const count = async (asked: ReturnType<typeof probe>) => {
    const verdict = await asked;
    if (verdict.verdict === 'rejected') rejected += 1;
    return verdict;
  };
  const counting = {
    probe: (...args: Parameters<typeof probe>) => count(probe(...args)),
    probeStored: (...args: Parameters<typeof probeStored>) => count(probeStored(...args)),
  };
  Object.assign(guest.parts, { vnc: { ...guest.parts.vnc, ...counting } });
  return () => rejected;
}

const old = drawPassword(8);
const readsAtStart = { source: old, live: old, copies: false, atStart: true };

type Case = Readonly<{
  title: string;
  server: Partial<FakeVncServer>;
  wishes?: Wishes;
  said: object;
  warned: boolean;
  rejected: number;
}>;

const cases: readonly Case[] = [
  {
    title: 'verified: the new one is accepted and the old one is not',
    server: {},
    said: { vnc_state: 'verified', verified: { vnc: true } },
    warned: false,
    rejected: 1,
  },
  {
    title: 'verified: there was no old one that could be tried',
    server: { source: null, live: null, copies: false },
    said: { vnc_state: 'verified', verified: { vnc: true } },
    warned: false,
    rejected: 0,
  },
  {
    title: 'old_accepted: the server obeys something else than the files that it names',
    server: { alsoTakes: old, source: old, live: null, copies: false, obeysFiles: false },
    said: { vnc_state: 'old_accepted', verified: { vnc: false } },
    warned: true,
    rejected: 1,
  },
  {
    title: 'old_accepted: the server takes whatever it is told',
    server: { takesAll: true },
    said: { vnc_state: 'old_accepted', reason: 'both_accepted', verified: { vnc: false } },
    warned: false,
    rejected: 0,
  },
  {
    title: 'restart_required: the server reads its password at its start',
    server: readsAtStart,
    said: { vnc_state: 'restart_required', verified: { vnc: false } },
    warned: true,
    rejected: 0,
  },
  {
    title: 'restart_required: the operator agreed to a restart, and no manager is known',
    server: readsAtStart,
    wishes: { restart: true },
    said: { vnc_state: 'restart_required', verified: { vnc: false } },
    warned: true,
    rejected: 0,
  },
  {
    title: 'verified: the operator agreed to a restart, and it was done',
    server: { ...readsAtStart, managed: true },
    wishes: { restart: true },
    said: { vnc_state: 'verified', verified: { vnc: true } },
    warned: false,
    rejected: 1,
  },
  {
    title: 'unverifiable: the server says nothing',
    server: { trouble: 'blocked' },
    said: { vnc_state: 'unverifiable', reason: 'blocked', verified: { vnc: false } },
    warned: false,
    rejected: 0,
  },
  {
    title: 'unverifiable: another secret than the one in the files was in force before',
    server: { source: drawPassword(8), live: null, copies: false, alsoTakes: drawPassword(8), obeysFiles: false },
    said: { vnc_state: 'unverifiable', reason: 'other_in_force', verified: { vnc: false } },
    warned: true,
    rejected: 1,
  },
];

describe('a VNC secret is', () => {
  test.each(cases)('$title', async ({ server, wishes, said, warned, rejected }) => {
    const guest = makeGuest({ vnc: server });
    const count = countRejected(guest);
    dieOnReboot(guest);
    await execute(guest, { vnc: 'generated', ...wishes });
    const set = at(await guest.receipts(), 'VNC_SET');
    expect(set?.detail).toMatchObject({ ...said, effective: 8 });
    expect(set?.warnings.includes('VNC_RESTART_REQUIRED')).toBe(warned);
    expect(count()).toBe(rejected);
  });

  test('written, where the process died before it could ask', async () => {
    const guest = makeGuest();
    guest.machine.faults.plan({ call: 'vnc.setPassword', nth: 1, when: 'after', how: 'crash' });
    await execute(guest);
    await guest.ask({ t: 'resume' });
    const receipts = await guest.receipts();
    expect(lastOf(receipts)).toEqual(['PARTIAL', 'INTERRUPTED']);
    expect(receipts.at(-1)?.detail.vnc_state).toBe('written');
  });

  test('in no state, where the process died before it was written', async () => {
    const guest = makeGuest();
    guest.machine.faults.plan({ call: 'vnc.setPassword', nth: 1, when: 'before', how: 'crash' });
    await execute(guest);
    await guest.ask({ t: 'resume' });
    expect((await guest.receipts()).at(-1)?.detail).not.toHaveProperty('vnc_state');
  });
});

describe('after the boot it is', () => {
  test('verified, whatever it was before', async () => {
    for (const server of [{}, readsAtStart]) {
      const receipts = await executeAndBoot(makeGuest({ vnc: server }));
      expect(lastOf(receipts)).toEqual(['DONE', null]);
      expect(receipts.at(-1)?.detail.vnc_state).toBe('verified');
    }
  });

  test('still called old_accepted, where the server took both: its yes proves nothing', async () => {
    const receipts = await executeAndBoot(makeGuest({ vnc: { takesAll: true } }));
    expect(lastOf(receipts)).toEqual(['PARTIAL', 'VNC_UNVERIFIED']);
    expect(receipts.at(-1)?.detail).toMatchObject({ vnc_state: 'old_accepted', reason: 'both_accepted' });
  });

  test.each<[string, (guest: Guest) => void]>([
    ['not_running', (guest) => Object.assign(guest.vnc, { running: false })],
    ['rejected', (guest) => Object.assign(guest.vnc, { live: drawPassword(8) })],
    ['file_changed', (guest) => Object.assign(guest.vnc, { source: drawPassword(8) })],
  ])('unverifiable, and the reason is %s', async (reason, happen) => {
    const guest = makeGuest();
    const receipts = await executeAndBoot(guest, () => happen(guest));
    expect(lastOf(receipts)).toEqual(['PARTIAL', 'VNC_UNVERIFIED']);
    expect(receipts.at(-1)?.detail).toMatchObject({ vnc_state: 'unverifiable', reason });
  });
});

describe('a VNC server is restarted', () => {
  test('never without consent', async () => {
    const guest = makeGuest({ vnc: { ...readsAtStart, managed: true } });
    await executeAndBoot(guest);
    expect(vncCalls(guest)).not.toContain('vnc.restart');
  });

  test('never where nothing asks for it, with consent', async () => {
    const guest = makeGuest({ vnc: { managed: true } });
    await executeAndBoot(guest, () => {}, { restart: true });
    expect(vncCalls(guest)).not.toContain('vnc.restart');
  });

  test('and waited for until it answers', async () => {
    const guest = makeGuest({ vnc: { ...readsAtStart, managed: true } });
    const { probe } = guest.parts.vnc;
    let asked = 0;
    const slow = (...args: Parameters<typeof probe>): ReturnType<typeof probe> => {
      asked += 1;
      return asked < 4 ? Promise.resolve({ verdict: 'unknown', reason: 'not_listening' }) : probe(...args);
    };
    Object.assign(guest.parts, { vnc: { ...guest.parts.vnc, probe: slow } });
    const receipts = await executeAndBoot(guest, () => {}, { restart: true });
    expect(at(receipts, 'VNC_SET')?.detail.vnc_state).toBe('verified');
  });

  test('and where that fails the reboot does it', async () => {
    const guest = makeGuest({ vnc: { ...readsAtStart, managed: true } });
    const how = new Failure('VNC_FAILED', { reason: 'restart_failed' });
    guest.machine.faults.plan({ call: 'vnc.restart', nth: 1, when: 'before', how });
    const receipts = await executeAndBoot(guest, () => {}, { restart: true });
    expect(at(receipts, 'VNC_SET')?.detail).toMatchObject({ vnc_state: 'unverifiable', reason: 'restart_failed' });
    expect(lastOf(receipts)).toEqual(['DONE', null]);
  });
});

describe('a typed password of which the server reads a part', () => {
  test.each([
    [8, false],
    [9, true],
    [30, true],
  ])('of %i characters is said to be cut: %s', async (length, cut) => {
    const guest = makeGuest();
    await execute(guest, { vnc: { typed: drawPassword(length) } });
    const [accepted] = await guest.receipts();
    expect(accepted?.warnings.includes('VNC_TRUNCATED')).toBe(cut);
    expect(accepted?.detail.effective).toBe(8);
  });
});

test('the secret that was replaced is wiped', async () => {
  const guest = makeGuest();
  const { setPassword } = guest.parts.vnc;
  const replaced: (Secret | null)[] = [];
  const keep = async (...args: Parameters<typeof setPassword>) => {
    const result = await setPassword(...args);
    replaced.push(result.previous);
    return result;
  };
  Object.assign(guest.parts, { vnc: { ...guest.parts.vnc, setPassword: keep } });
  await execute(guest);
  expect(replaced).toHaveLength(1);
  expect(() => replaced[0]?.reveal()).toThrow('wiped');
});
