// A whole reset, from the prepared nonce to the proof after the reboot.

import { describe, expect, test } from 'vitest';
import { READY_TTL_S, RECEIPT_BYTES_MAX } from '../../../protocol/limits.ts';
import type { Secret } from '../../../protocol/secret.ts';
import { AGENT, OP } from '../../protocol/samples.ts';
import { Crash, dieOnReboot, type Guest, makeGuest, states, verifyChain } from './guest.ts';
import { ackOf, collected, drawPassword, order, type Wishes } from './orders.ts';

const ALL = ['ACCEPTED', 'SECRET_READY', 'PASSWORD_SET', 'VNC_SET', 'REBOOTING', 'BOOTED', 'DONE'];
const TYPED = ALL.filter((state) => state !== 'SECRET_READY');

/** Runs a reset to its reboot, and on after it. */
async function resetWhole(guest: Guest, wishes: Wishes = {}) {
  dieOnReboot(guest);
  const { conversation, ready } = await guest.prepare();
  conversation.send({ t: 'execute', token: await order(ready, wishes) });
  expect(await conversation.over).toBeInstanceOf(Crash);
  const before = await guest.receipts();
  guest.machine.faults.clear();
  const resumed = await guest.ask({ t: 'resume' });
  return { ready, before, conversation, resumed, after: await guest.receipts() };
}

describe('ready', () => {
  test('says who, for which operation, with which nonce and key, and what was found, signed by the executor', async () => {
    const guest = makeGuest();
    const { ready } = await guest.prepare();
    expect(ready).toMatchObject({
      op: OP,
      agent: AGENT,
      ttl: READY_TTL_S,
      boot: guest.machine.bootId,
      account: { name: 'root', uid: 0, state: 'no_password' },
      account_code: null,
      vnc: [{ server: 'tigervnc:5901', kind: 'vncauth', effective: 8 }],
      warnings: ['ACCOUNT_HAD_NO_PASSWORD', 'VNC_TRUNCATED'],
    });
  });

  test('draws another nonce and key each time', async () => {
    const guest = makeGuest();
    const [first, second] = [await guest.prepare(), await guest.prepare()];
    expect(first.ready.cn).not.toBe(second.ready.cn);
    expect(first.ready.seal).not.toEqual(second.ready.seal);
  });

  test('says why an account cannot be resolved, and 113 that there is no VNC server', async () => {
    const guest = makeGuest({ vnc: null });
    const { ready } = await guest.prepare(OP, 'nobody-here');
    expect(ready).toMatchObject({
      account: null,
      account_code: 'ACCOUNT_NOT_FOUND',
      vnc: [],
      warnings: ['VNC_ABSENT'],
    });
  });

  test('names as many VNC servers as it has room for', async () => {
    const guest = makeGuest();
    for (let port = 5902; port < 5922; port += 1) guest.machine.addVncServer({ port });
    expect((await guest.prepare()).ready.vnc).toHaveLength(16);
  });

  test('changes nothing and writes nothing', async () => {
    const guest = makeGuest();
    await guest.prepare();
    expect(guest.machine.journal).toHaveLength(0);
    expect(guest.machine.accounts.get('root')?.changes).toBe(0);
  });
});

describe('a whole reset', () => {
  test('with generated secrets goes through every state, and the operator opens what is in force', async () => {
    const guest = makeGuest();
    const { before, after } = await resetWhole(guest);
    expect(states(before)).toEqual(ALL.slice(0, 5));
    expect(states(after)).toEqual(ALL);
    const root = guest.machine.accounts.get('root');
    expect(root?.password).toBe(await collected(after, 'account'));
    expect(root?.password).toHaveLength(24);
    expect(root?.changes).toBe(1);
    expect(guest.vnc.source).toBe(await collected(after, 'vnc'));
    expect(guest.vnc.source).toHaveLength(8);
  });

  test('with typed secrets needs no SECRET_READY, and sets exactly what was typed', async () => {
    const guest = makeGuest();
    const [account, vnc] = [drawPassword(30), drawPassword(8)];
    const { after } = await resetWhole(guest, { account: { typed: account }, vnc: { typed: vnc } });
    expect(states(after)).toEqual(TYPED);
    expect(guest.machine.accounts.get('root')?.password).toBe(account);
    expect(guest.vnc.source).toBe(vnc);
  });

  test('passwords of exactly 8 characters, with a colon in one of them (81)', async () => {
    const guest = makeGuest();
    const account = `:${drawPassword(8).slice(1, 6)}a1`;
    const { after } = await resetWhole(guest, { account: { typed: account }, vnc: { typed: drawPassword(8) } });
    expect(after.at(-1)?.state).toBe('DONE');
    expect(guest.machine.accounts.get('root')?.password).toBe(account);
  });

  test('ends with what was proven, and with the two boots', async () => {
    const guest = makeGuest();
    const bootBefore = guest.machine.bootId;
    const { after } = await resetWhole(guest);
    expect(after.at(-1)).toMatchObject({
      state: 'DONE',
      code: null,
      boot: guest.machine.bootId,
      warnings: ['ACCOUNT_HAD_NO_PASSWORD'],
      detail: {
        account: 'root',
        vnc: 'tigervnc:5901',
        boot_before: bootBefore,
        boot_after: guest.machine.bootId,
        verified: { account: true, vnc: true, reboot: true },
      },
    });
    expect(bootBefore).not.toBe(guest.machine.bootId);
  });

  test('claims nothing before it was proven', async () => {
    const { after } = await resetWhole(makeGuest());
    const verified = Object.fromEntries(after.map(({ state, detail }) => [state, detail.verified]));
    expect(verified['PASSWORD_SET']).toEqual({ account: true, vnc: null, reboot: false });
    expect(verified['VNC_SET']).toEqual({ account: true, vnc: true, reboot: false });
    expect(verified['REBOOTING']).toEqual({ account: true, vnc: true, reboot: false });
    expect(verified['BOOTED']).toEqual({ account: true, vnc: true, reboot: true });
  });

  test('tells the link each receipt as it is made, before and after the reboot', async () => {
    const { conversation, resumed } = await resetWhole(makeGuest());
    expect(states(await verifyChain([...conversation.receipts, ...resumed.receipts]))).toEqual(ALL);
  });

  test('binds every receipt to the command, the nonce and the boot', async () => {
    const guest = makeGuest();
    const { ready, after } = await resetWhole(guest);
    expect(new Set(after.map(({ cmd_sha256 }) => cmd_sha256)).size).toBe(1);
    expect(new Set(after.map(({ cn }) => cn))).toEqual(new Set([ready.cn]));
    expect(new Set(after.map(({ boot }) => boot)).size).toBe(2);
  });

  test('makes receipts that fit, the one with two sealed secrets included', async () => {
    const guest = makeGuest();
    await resetWhole(guest);
    for (const { token } of (await guest.operation())?.receipts ?? [])
      expect(token.length).toBeLessThanOrEqual(RECEIPT_BYTES_MAX);
  });

  test('of the account alone, where there is no VNC server, is DONE with a warning', async () => {
    const { after } = await resetWhole(makeGuest({ vnc: null }), { vnc: null });
    expect(after.at(-1)).toMatchObject({
      state: 'DONE',
      warnings: ['ACCOUNT_HAD_NO_PASSWORD', 'VNC_ABSENT'],
      detail: { verified: { account: true, vnc: 'absent', reboot: true } },
    });
  });

  test('of the VNC secret alone leaves the account as it is', async () => {
    const guest = makeGuest();
    const { after } = await resetWhole(guest, { account: null });
    expect(states(after)).toEqual(['ACCEPTED', 'SECRET_READY', 'VNC_SET', 'REBOOTING', 'BOOTED', 'DONE']);
    expect(guest.machine.accounts.get('root')?.changes).toBe(0);
    expect(after.at(-1)?.detail.verified).toEqual({ account: null, vnc: true, reboot: true });
  });

  test('89 of a locked account, with consent, unlocks it', async () => {
    const guest = makeGuest();
    guest.machine.accounts.set('root', { uid: 0, password: drawPassword(), state: 'locked', changes: 0 });
    const { after } = await resetWhole(guest, { unlock: true });
    expect(after.at(-1)?.state).toBe('DONE');
    expect(guest.machine.accounts.get('root')?.state).toBe('active');
  });

  test('works on a machine with more accounts than a record of the journal has room for', async () => {
    const guest = makeGuest();
    for (let n = 0; n < 2_000; n += 1)
      guest.machine.accounts.set(`student${n}`, { uid: 2_000 + n, password: null, state: 'no_password', changes: 0 });
    const { after } = await resetWhole(guest);
    expect(after.at(-1)?.state).toBe('DONE');
  });

  test('with a typed VNC secret that is longer than the server reads says so', async () => {
    const { after } = await resetWhole(makeGuest(), { vnc: { typed: drawPassword(20) } });
    expect(after[0]?.warnings).toContain('VNC_TRUNCATED');
    expect(after.at(-1)).toMatchObject({ state: 'DONE' });
  });

  test('warns the people who are signed in before it restarts the machine', async () => {
    const guest = makeGuest();
    await resetWhole(guest, { graceS: 60 });
    expect(guest.machine.warnings).toHaveLength(2);
    expect(guest.machine.warnings[0]).toContain('60 seconds');
  });

  test('leaves no secret in the journal, in answers, in warnings or in the log', async () => {
    const guest = makeGuest();
    const account = drawPassword();
    const { conversation, resumed } = await resetWhole(guest, { account: { typed: account } });
    const vnc = (await collected(await guest.receipts(), 'vnc')) ?? '';
    const everything = [
      guest.machine.journal.toString(),
      JSON.stringify([conversation.answers, resumed.answers]),
      ...guest.machine.warnings,
      ...guest.log,
    ].join('\n');
    for (const secret of [account, vnc]) {
      expect(secret.length).toBeGreaterThanOrEqual(8);
      for (const spelling of [secret, Buffer.from(secret).toString('base64url'), Buffer.from(secret).toString('hex')]) {
        expect(everything.includes(spelling)).toBe(false);
      }
    }
  });

  test('overwrites the secrets in memory when its process is done with them', async () => {
    const guest = makeGuest();
    const held: Secret[] = [];
    const { setPassword } = guest.parts.accounts;
    const accounts = {
      ...guest.parts.accounts,
      setPassword: (...args: Parameters<typeof setPassword>) => {
        held.push(args[1]);
        return setPassword(...args);
      },
    };
    Object.assign(guest.parts, { accounts });
    await resetWhole(guest, { account: { typed: drawPassword() } });
    expect(held).toHaveLength(1);
    expect(() => held[0]?.reveal()).toThrow(TypeError);
  });

  test('can be followed by another one', async () => {
    const guest = makeGuest();
    await resetWhole(guest);
    dieOnReboot(guest);
    const next = `op_${'0'.repeat(25)}7`;
    const { conversation, ready } = await guest.prepare(next);
    conversation.send({ t: 'execute', token: await order(ready) });
    await conversation.over;
    await guest.ask({ t: 'resume' });
    expect((await guest.receipts(next)).at(-1)?.state).toBe('DONE');
    expect((await guest.receipts()).at(-1)?.state).toBe('DONE');
  });
});

describe('acknowledgements', () => {
  test('shrink what `receipts` gives, and survive the process', async () => {
    const guest = makeGuest();
    const { after } = await resetWhole(guest);
    expect((await guest.ask({ t: 'receipts' })).receipts).toHaveLength(after.length);
    await guest.ask({ t: 'ack', token: await ackOf(OP, 5) });
    const { answers } = await guest.ask({ t: 'receipts' });
    expect(answers[0]).toMatchObject({ t: 'state', open: null });
    expect(await guest.unacknowledged()).toEqual([6, 7]);
    await guest.ask({ t: 'ack', token: await ackOf(OP, after.length) });
    expect((await guest.ask({ t: 'receipts' })).receipts).toEqual([]);
  });

  test('of another agent, or by a key of another role, count for nothing', async () => {
    const guest = makeGuest();
    const { keys } = await import('../../protocol/samples.ts');
    await resetWhole(guest);
    const before = guest.machine.journal.length;
    for (const token of [
      await ackOf(OP, 5, keys.command),
      await ackOf(OP, 5, keys.spare),
      await ackOf(OP, 5, keys.session, `agt_${'0'.repeat(25)}9`),
    ]) {
      expect((await guest.ask({ t: 'ack', token })).answers[0]?.t).toBe('refused');
    }
    expect(guest.machine.journal).toHaveLength(before);
  });

  test('while the operation is at work are noted by the process that holds the journal', async () => {
    const guest = makeGuest();
    const { conversation, ready } = await guest.prepare();
    dieOnReboot(guest);
    conversation.send({ t: 'execute', token: await order(ready, { graceS: 60 }) });
    conversation.send({ t: 'ack', token: await ackOf(OP, 1) });
    await conversation.over;
    expect((await guest.operation())?.acked).toBe(1);
  });
});
