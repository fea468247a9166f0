// Cancelling, and what the link's coming and going means to an operation.

import { describe, expect, test } from 'vitest';
import { cancelRequested } from '../../../agent/executor/cancel.ts';
import { OP } from '../../protocol/samples.ts';
import { FakeClock } from '../fakes/clock-fake.ts';
import { dieOnReboot, type Guest, lastOf, makeGuest, states } from './guest.ts';
import { ackOf, cancelOrder, order } from './orders.ts';

const OTHER_OP = `op_${'0'.repeat(25)}9`;
const changes = (guest: Guest) => guest.machine.accounts.get('root')?.changes;
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A reset that waits in its grace period, on a clock that the test moves. */
async function waiting() {
  const clock = new FakeClock({ jumps: false });
  const guest = makeGuest({ parts: { clock } });
  const { conversation, ready } = await guest.prepare();
  const token = await order(ready, { graceS: 60 });
  conversation.send({ t: 'execute', token });
  while (clock.sleepers === 0) await turn();
  const passUntilOver = async () => {
    let over = false;
    void conversation.over.then(() => {
      over = true;
    });
    while (!over) {
      if (clock.sleepers > 0) clock.pass(250);
      await turn();
    }
  };
  return { clock, guest, conversation, ready, token, passUntilOver };
}

describe('cancel', () => {
  test('in the grace period is CANCELLED, and nothing was changed', async () => {
    const { clock, guest, ready, passUntilOver } = await waiting();
    const asked = await guest.ask({ t: 'cancel', token: await cancelOrder(ready) });
    expect(asked.answers).toEqual([{ t: 'end' }]);
    await passUntilOver();
    expect(states(await guest.receipts())).toEqual(['ACCEPTED', 'WAITING', 'CANCELLED']);
    // At once, and not when the grace period is over.
    expect(clock.monotonicMs()).toBeLessThan(60_000);
    expect(changes(guest)).toBe(0);
    expect(guest.machine.faults.calls).not.toContain('accounts.setPassword');
  });

  test('after PASSWORD_SET stops only the reboot', async () => {
    const guest = makeGuest();
    const { setPassword } = guest.parts.vnc;
    const { conversation, ready } = await guest.prepare();
    const token = await cancelOrder(ready);
    const vnc = {
      ...guest.parts.vnc,
      setPassword: async (...args: Parameters<typeof setPassword>) => {
        await guest.parts.cancels.put(token);
        return setPassword(...args);
      },
    };
    Object.assign(guest.parts, { vnc });
    conversation.send({ t: 'execute', token: await order(ready) });
    await conversation.over;
    expect(lastOf(await guest.receipts())).toEqual(['PARTIAL', 'REBOOT_CANCELLED']);
    expect(changes(guest)).toBe(1);
    expect(guest.machine.faults.calls).not.toContain('power.reboot');
  });

  test('between the two secrets stops only the reboot: both are set', async () => {
    const guest = makeGuest();
    const { accepts } = guest.parts.accounts;
    const { conversation, ready } = await guest.prepare();
    const token = await cancelOrder(ready);
    const before = guest.vnc.source;
    const accounts = {
      ...guest.parts.accounts,
      accepts: async (...args: Parameters<typeof accepts>) => {
        await guest.parts.cancels.put(token);
        return accepts(...args);
      },
    };
    Object.assign(guest.parts, { accounts });
    conversation.send({ t: 'execute', token: await order(ready) });
    await conversation.over;
    expect(lastOf(await guest.receipts())).toEqual(['PARTIAL', 'REBOOT_CANCELLED']);
    expect([changes(guest), guest.vnc.source === before]).toEqual([1, false]);
  });

  test('that comes with the last word before the reboot still stops it', async () => {
    const guest = makeGuest();
    const { conversation, ready } = await guest.prepare();
    const token = await cancelOrder(ready);
    const power = { ...guest.parts.power, warn: () => guest.parts.cancels.put(token) };
    Object.assign(guest.parts, { power });
    conversation.send({ t: 'execute', token: await order(ready) });
    await conversation.over;
    expect(states(await guest.receipts())).toContain('REBOOTING');
    expect(lastOf(await guest.receipts())).toEqual(['PARTIAL', 'REBOOT_CANCELLED']);
    expect(guest.machine.faults.calls).not.toContain('power.reboot');
  });

  test('left behind before a crash is obeyed by the process that takes the operation up', async () => {
    const guest = makeGuest();
    const { conversation, ready } = await guest.prepare();
    guest.machine.faults.plan({ call: 'journal.append', nth: 6, when: 'after', how: 'crash' });
    conversation.send({ t: 'execute', token: await order(ready) });
    await conversation.over;
    expect((await guest.operation())?.state).toBe('VNC_SET');
    await guest.ask({ t: 'cancel', token: await cancelOrder(ready) });
    await guest.ask({ t: 'resume' });
    expect(lastOf(await guest.receipts())).toEqual(['PARTIAL', 'REBOOT_CANCELLED']);
  });

  test('of another operation, with another nonce, or that is no cancel is refused and ignored', async () => {
    const { guest, ready, token, passUntilOver } = await waiting();
    for (const wrong of [
      await cancelOrder({ ...ready, op: OTHER_OP }),
      await cancelOrder({ ...ready, cn: 'A'.repeat(43) }),
      await cancelOrder(ready, { aud: `agt_${'0'.repeat(25)}9` }),
      token,
      await ackOf(OP, 1),
    ]) {
      const { answers } = await guest.ask({ t: 'cancel', token: wrong });
      expect(answers[0]?.t).toBe('refused');
      // Even where it got into the box, whoever takes it out looks again.
      await guest.parts.cancels.put(wrong);
      const operation = await guest.operation();
      expect(operation && (await cancelRequested(guest.parts, operation))).toBe(false);
    }
    dieOnReboot(guest);
    await passUntilOver();
    expect(changes(guest)).toBe(1);
  });

  test('with nothing under way is refused, and leaves nothing for a later operation', async () => {
    const guest = makeGuest();
    const { ready } = await guest.prepare();
    const { answers } = await guest.ask({ t: 'cancel', token: await cancelOrder(ready) });
    expect(answers[0]).toMatchObject({ t: 'refused', code: 'NONCE_UNKNOWN' });
    expect(await guest.parts.cancels.take()).toBeNull();
  });
});

describe('the link', () => {
  test('that leaves while the executor is only prepared ends it, and nothing is done', async () => {
    const guest = makeGuest();
    const { conversation } = await guest.prepare();
    conversation.disconnect();
    expect(await conversation.over).toBeUndefined();
    expect(guest.machine.journal).toHaveLength(0);
  });

  test('that says anything else than the command ends it as well', async () => {
    const guest = makeGuest();
    const { conversation } = await guest.prepare();
    conversation.send({ t: 'resume' });
    await conversation.over;
    expect(guest.machine.journal).toHaveLength(0);
  });

  test('that leaves while the executor is at work does not stop it', async () => {
    const { guest, conversation, passUntilOver } = await waiting();
    conversation.disconnect();
    dieOnReboot(guest);
    await passUntilOver();
    guest.machine.faults.clear();
    Object.assign(guest.parts, { clock: new FakeClock() });
    await guest.ask({ t: 'resume' });
    expect(lastOf(await guest.receipts())).toEqual(['DONE', null]);
  });

  test('that comes anew while an executor outlives the old one is told what that one writes down, and takes over', async () => {
    const { guest, conversation, passUntilOver } = await waiting();
    conversation.disconnect();
    const follower = guest.connect();
    follower.send({ t: 'resume' });
    while (follower.receipts.length < 2) await turn();
    dieOnReboot(guest);
    await passUntilOver();
    while (follower.receipts.length < 6) await turn();
    expect(follower.receipts).toEqual((await guest.operation())?.receipts.map(({ token }) => token));
    expect((await guest.operation())?.state).toBe('REBOOTING');
    expect(changes(guest)).toBe(1);
    follower.disconnect();
  });

  test('that sends the command again is told the stored receipts again, and nothing is done twice', async () => {
    const { guest, conversation, token, passUntilOver } = await waiting();
    while (conversation.receipts.length < 2) await turn();
    conversation.send({ t: 'execute', token });
    while (conversation.receipts.length < 4) await turn();
    expect(conversation.receipts.slice(2)).toEqual(conversation.receipts.slice(0, 2));
    dieOnReboot(guest);
    await passUntilOver();
    expect(changes(guest)).toBe(1);
  });

  test('that sends another command for the same operation while it is at work is not heard', async () => {
    const { guest, conversation, ready, passUntilOver } = await waiting();
    while (conversation.receipts.length < 2) await turn();
    conversation.send({ t: 'execute', token: await order(ready, { graceS: 1 }) });
    dieOnReboot(guest);
    await passUntilOver();
    expect(changes(guest)).toBe(1);
    expect(states(await guest.receipts())).not.toContain('REFUSED');
  });

  test('that sends bad acknowledgements while the executor is at work does not stop it', async () => {
    const { guest, conversation, passUntilOver } = await waiting();
    const { keys } = await import('../../protocol/samples.ts');
    conversation.send({ t: 'ack', token: await ackOf(OP, 1, keys.spare) });
    conversation.send({ t: 'prepare', op: OTHER_OP, account: null });
    dieOnReboot(guest);
    await passUntilOver();
    expect((await guest.operation())?.state).toBe('REBOOTING');
    expect((await guest.operation())?.acked).toBe(0);
  });
});
