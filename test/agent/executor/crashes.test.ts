// A process that dies: before and after every call of a port and every line of the journal, alone and again while what it
// left behind is taken up. An operation ends once, changes each secret at most once, and loses no generated password.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Failure } from '../../../protocol/failure.ts';
import { isEnd } from '../../../protocol/lifecycle.ts';
import { Crash } from '../fakes/faults.ts';
import { dieOnReboot, type Guest, makeGuest } from './guest.ts';
import { collected, drawPassword, order, type Wishes } from './orders.ts';

type When = 'before' | 'after';
const kinds = ['generated', 'typed'] as const;
type Kind = (typeof kinds)[number];
const wishesOf = (kind: Kind): Wishes =>
  kind === 'generated' ? { graceS: 1 } : { account: { typed: drawPassword() }, vnc: { typed: drawPassword(8) } };

/** One executor process that may die in the middle: prepares and executes. */
async function begin(guest: Guest, wishes: Wishes): Promise<void> {
  const conversation = guest.connect();
  conversation.send({ t: 'prepare', op: `op_${'0'.repeat(25)}1`, account: null });
  const ready = await conversation.answer('ready').catch(() => undefined);
  if (!ready?.token) return;
  const { payloadOf } = await import('../../../protocol/token.ts');
  conversation.send({ t: 'execute', token: await order(payloadOf(ready.token) as never, wishes) });
  await expectCrashOrEnd(conversation.over);
}

async function expectCrashOrEnd(over: Promise<unknown>): Promise<void> {
  const died = await over;
  if (died !== undefined && !(died instanceof Crash)) throw died;
}

/** Takes the operation up until nothing is under way; each process may die of the reboot. */
async function takeUp(guest: Guest): Promise<void> {
  for (let process = 0; process < 12; process += 1) {
    const operation = await guest.operation();
    if (!operation || isEnd(operation.state)) return;
    await expectCrashOrEnd((await guest.ask({ t: 'resume' })).over);
  }
  throw new Error(`still ${(await guest.operation())?.state}`);
}

/** What must hold whenever and however often a process died. */
async function holds(guest: Guest, before: Readonly<{ vnc: string | null }>): Promise<string> {
  const receipts = await guest.receipts();
  const { changes = 0, password = null } = guest.machine.accounts.get('root') ?? {};
  const vncChanged = guest.vnc.source !== before.vnc;
  expect(changes).toBeLessThanOrEqual(1);
  if (receipts.length === 0) {
    expect([changes, vncChanged]).toEqual([0, false]);
    return 'nothing';
  }
  const { state, code, detail } = receipts.at(-1) ?? { state: 'ACCEPTED', code: null, detail: {} };
  expect(receipts.filter((receipt) => isEnd(receipt.state))).toHaveLength(1);
  expect(isEnd(state)).toBe(true);
  // A generated password that is in force is in a durable receipt, and the operator can open it.
  const [account, vnc] = [await collected(receipts, 'account'), await collected(receipts, 'vnc')];
  const generated = (await guest.operation())?.work?.account?.secret === 'generated';
  if (changes > 0 && generated) expect(account).toBe(password);
  if (vncChanged && generated) expect(vnc).toBe(guest.vnc.source);
  if (state === 'DONE') expect([changes, vncChanged, guest.machine.boots > 1]).toEqual([1, true, true]);
  if (changes > 0 || vncChanged) expect(['DONE', 'PARTIAL']).toContain(state);
  if (state === 'PARTIAL') expect(changes > 0 || vncChanged).toBe(true);
  if (detail.verified?.account) expect(changes).toBe(1);
  return `${state} ${code}`;
}

/** How many calls of ports a whole reset makes, to its reboot and to its end. */
async function countCalls(kind: Kind): Promise<{ toReboot: number; whole: number }> {
  const guest = makeGuest();
  dieOnReboot(guest);
  await begin(guest, wishesOf(kind));
  const toReboot = guest.machine.faults.calls.length;
  await takeUp(guest);
  return { toReboot, whole: guest.machine.faults.calls.length };
}

describe.each(kinds)('a reset with %s secrets', (kind) => {
  test.each(['the same boot', 'another boot'])(
    'whose process dies at any point ends truly, taken up in %s',
    async (where) => {
      const { toReboot } = await countCalls(kind);
      expect(toReboot).toBeGreaterThan(25);
      const seen = new Set<string>();
      for (let nth = 1; nth <= toReboot; nth += 1) {
        for (const when of ['before', 'after'] satisfies When[]) {
          const guest = makeGuest();
          const before = { vnc: guest.vnc.source };
          dieOnReboot(guest);
          guest.machine.faults.plan({ nth, when, how: 'crash' });
          await begin(guest, wishesOf(kind));
          const call = guest.machine.faults.calls.at(-1);
          if (where === 'another boot') guest.machine.reboot();
          await takeUp(guest);
          seen.add(
            await holds(guest, before).catch((cause: unknown) => {
              throw new Error(`${when} call ${nth}, ${call}`, { cause });
            }),
          );
        }
      }
      expect([...seen].sort()).toEqual(['DONE null', 'INTERRUPTED INTERRUPTED', 'PARTIAL INTERRUPTED', 'nothing']);
    },
  );

  test('whose second process dies as well, anywhere, ends truly', async () => {
    const { whole } = await countCalls(kind);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ nth: fc.integer({ min: 1, max: whole }), after: fc.boolean(), reboot: fc.boolean() }), {
          minLength: 2,
          maxLength: 4,
        }),
        async (deaths) => {
          const guest = makeGuest();
          const before = { vnc: guest.vnc.source };
          for (const [i, { nth, after, reboot }] of deaths.entries()) {
            guest.machine.faults.clear();
            dieOnReboot(guest);
            guest.machine.faults.plan({ nth, when: after ? 'after' : 'before', how: 'crash' });
            if (i === 0) await begin(guest, wishesOf(kind));
            else await expectCrashOrEnd((await guest.ask({ t: 'resume' })).over);
            if (reboot) guest.machine.reboot();
          }
          guest.machine.faults.clear();
          dieOnReboot(guest);
          await takeUp(guest);
          await holds(guest, before);
        },
      ),
      { numRuns: 150 },
    );
  });

  test('in which any one call of a port fails ends truly', async () => {
    const { whole } = await countCalls(kind);
    for (let nth = 1; nth <= whole; nth += 1) {
      const guest = makeGuest();
      const before = { vnc: guest.vnc.source };
      dieOnReboot(guest);
      guest.machine.faults.plan({ nth, when: 'before', how: new Failure('DISK_FULL') });
      await begin(guest, wishesOf(kind));
      await takeUp(guest);
      const operation = await guest.operation();
      if (operation && operation.state !== 'REFUSED') await holdsOrFailed(guest, before, nth);
    }
  });

  test('in which a port fails for ever does not stay open', async () => {
    const ports = ['accounts.', 'vnc.', 'power.'];
    const guest = makeGuest();
    dieOnReboot(guest);
    await begin(guest, wishesOf(kind));
    await takeUp(guest);
    for (const call of new Set(
      guest.machine.faults.calls.filter((name) => ports.some((port) => name.startsWith(port))),
    )) {
      for (const nth of [1, 2]) {
        const trouble = makeGuest();
        const before = { vnc: trouble.vnc.source };
        dieOnReboot(trouble);
        trouble.machine.faults.plan({ call, nth, when: 'before', how: new Failure('VERIFY_FAILED'), forever: true });
        await begin(trouble, wishesOf(kind));
        await takeUp(trouble);
        const operation = await trouble.operation();
        if (operation && operation.state !== 'REFUSED') await holdsOrFailed(trouble, before, nth);
      }
    }
  });
});

async function holdsOrFailed(guest: Guest, before: { vnc: string | null }, nth: number): Promise<void> {
  const { state } = (await guest.receipts()).at(-1) ?? {};
  const changed = guest.machine.accounts.get('root')?.changes !== 0 || guest.vnc.source !== before.vnc;
  if (state === 'FAILED' || state === 'REFUSED') {
    expect([nth, changed]).toEqual([nth, false]);
    return;
  }
  // Where it could not be told whether something was changed, PARTIAL is the cautious answer.
  if (state === 'PARTIAL' && !changed) return;
  await holds(guest, before);
}

test('a generated secret is sealed in a durable receipt before it is set', async () => {
  const guest = makeGuest();
  guest.machine.faults.plan({ call: 'accounts.setPassword', nth: 1, when: 'before', how: 'crash' });
  await begin(guest, wishesOf('generated'));
  const receipts = await guest.receipts();
  expect(receipts.at(-1)?.state).toBe('SECRET_READY');
  expect(await collected(receipts, 'account')).toHaveLength(24);
  expect(await collected(receipts, 'vnc')).toHaveLength(8);
});

test('a torn last line of the journal is dropped, and the operation ends by what is found', async () => {
  const guest = makeGuest();
  const before = { vnc: guest.vnc.source };
  dieOnReboot(guest);
  guest.machine.faults.plan({ call: 'accounts.setPassword', nth: 1, when: 'after', how: 'crash' });
  await begin(guest, wishesOf('generated'));
  guest.machine.journal = Buffer.concat([guest.machine.journal, Buffer.from('{"half":')]);
  await takeUp(guest);
  expect(await holds(guest, before)).toBe('PARTIAL INTERRUPTED');
  expect(guest.log.filter((line) => line.includes('torn'))).toHaveLength(1);
});
