// Receipts over a real socket: stored before they are acknowledged, and taken in the order of their chain however they
// arrive.

import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { signingKeyFromSeed } from '../../../protocol/keys.ts';
import { openRoot, roleKeys } from '../../../protocol/root.ts';
import { newId, parseSchema } from '../../../protocol/schema.ts';
import { ack as ackSchema } from '../../../protocol/session.ts';
import { payloadOf, verifyToken } from '../../../protocol/token.ts';
import type { ScriptedAgent } from '../scripted-agent.ts';
import { random32 } from '../scripted-agent.ts';
import { World } from '../world.ts';

let world: World;
let agent: ScriptedAgent;
let op: string;
beforeEach(async () => {
  world = await World.start();
  agent = await world.machine();
  ({ op } = await world.sent(agent));
});
afterEach(() => world.stop());

const alarms = async (scope = op) =>
  (await world.events(scope)).filter(({ type }) => type === 'operation.alarm').map(({ data }) => data['reason']);
const chain = async () =>
  [
    await agent.write(op, 'ACCEPTED'),
    await agent.write(op, 'PASSWORD_SET'),
    await agent.write(op, 'REBOOTING'),
  ] as const;

describe('receipts', () => {
  test('are acknowledged by a session key, for this agent and this number', async () => {
    agent.sendReceipt(await agent.write(op, 'ACCEPTED'));
    const { token } = await agent.wire.next('ack');
    const root = await openRoot(((await world.ask('GET', '/v1/trust')).body as { root: unknown }).root);
    const { payload } = await verifyToken(token, 'lk-ack+jws', roleKeys(root, 'session', null));
    expect(parseSchema(ackSchema, payload)).toEqual({ v: 1, agent: agent.agent, op, n: 1 });
  });

  test('go on where an executor says that it is ready for what the machine holds', async () => {
    const [first, second] = await chain();
    agent.sendReceipt(first);
    await agent.wire.next('ack');
    await agent.sayReady(op);
    agent.sendReceipt(second);
    await agent.wire.next('ack');
    expect(await world.operation(op)).toMatchObject({ state: 'PASSWORD_SET', ready: null });
  });

  test('sent twice are acknowledged twice and stored once', async () => {
    const [first] = await chain();
    agent.sendReceipt(first);
    await agent.wire.next('ack');
    agent.sendReceipt(first);
    await agent.wire.next('ack');
    expect((await world.operation(op)).receipts).toHaveLength(1);
    expect(await alarms()).toEqual([]);
  });

  test('with one left out wait for it: the gap is reported, and sending all again closes it', async () => {
    const [first, second, third] = await chain();
    agent.sendReceipt(first);
    await agent.wire.next('ack');
    agent.sendReceipt(third);
    await world.eventually(async () => ((await alarms()).length > 0 ? true : null), 'the gap to be reported');
    expect(await alarms()).toEqual(['gap']);
    expect(await world.operation(op)).toMatchObject({ state: 'ACCEPTED', gap: { after: 1, n: 3 } });
    for (const receipt of [first, second, third]) agent.sendReceipt(receipt);
    const { receipts, gap } = await world.until(op, 'REBOOTING');
    expect([receipts.map(({ n }) => n), gap]).toEqual([[1, 2, 3], null]);
  });

  test('that replace a stored one are a fork: nothing is taken', async () => {
    await agent.report(op, 'ACCEPTED');
    agent.sendReceipt(await agent.write(op, 'FAILED', { n: 1, prev: '47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU' }));
    agent.sendReceipt(await agent.write(op, 'PASSWORD_SET', { n: 2, prev: random32() }));
    await world.eventually(async () => ((await alarms()).length === 2 ? true : null), 'two alarms');
    expect(await alarms()).toEqual(['fork', 'fork']);
    expect(await world.operation(op)).toMatchObject({ state: 'ACCEPTED' });
  });

  test('signed by another key end the connection and change nothing', async () => {
    const forged = await agent.write(op, 'ACCEPTED', {}, await signingKeyFromSeed(randomBytes(32)));
    agent.sendReceipt(forged);
    expect(await agent.wire.closed).toBe(1008);
    expect(await world.operation(op)).toMatchObject({ state: 'SENT', receipts: [] });
  });

  test('of the link’s own key are not receipts: a taken link cannot forge DONE', async () => {
    agent.sendReceipt(await agent.write(op, 'ACCEPTED', {}, agent.ik));
    expect(await agent.wire.closed).toBe(1008);
    expect(await world.operation(op)).toMatchObject({ state: 'SENT' });
  });

  test('of an operation that nobody knows are acknowledged with an alarm: kept back they would hold up all others', async () => {
    const unknown = newId('op', randomBytes);
    const { id } = await world.vmOf(agent);
    agent.sendReceipt(await agent.write(op, 'DONE', { op: unknown }));
    const { token } = await agent.wire.next('ack');
    expect(payloadOf(token)).toMatchObject({ op: unknown });
    expect(await alarms(id)).toEqual(['unknown_operation']);
  });

  test('of one machine about another’s operation move nothing, and the alarm names the liar', async () => {
    const liar = await world.machine();
    const { id } = await world.vmOf(liar);
    const { op: own } = await world.sent(liar);
    liar.sendReceipt(await liar.write(own, 'ACCEPTED', { op }));
    await world.eventually(async () => ((await alarms(id)).length > 0 ? true : null), 'the alarm');
    expect(await alarms(id)).toEqual(['foreign_operation']);
    expect(await world.operation(op)).toMatchObject({ state: 'SENT', receipts: [] });
  });

  test('of a refusal end an operation that was not accepted, with the agent’s code', async () => {
    await agent.report(op, 'REFUSED', { code: 'ACCOUNT_LOCKED' });
    expect(await world.until(op, 'REFUSED')).toMatchObject({ code: 'ACCOUNT_LOCKED', ended: true });
  });

  test('of a refused reroot are an alarm: nothing here signs such a command', async () => {
    await agent.report(op, 'REFUSED', { code: 'REROOT_REFUSED', detail: { reason: 'method:rd.break' } });
    expect(await world.until(op, 'REFUSED')).toMatchObject({ code: 'REROOT_REFUSED', ended: true });
    expect(await alarms()).toEqual(['reroot_refused']);
  });

  test('that cannot be written down any more leave the operation where it is, and it says why until it goes on', async () => {
    await agent.report(op, 'ACCEPTED');
    agent.wire.send({ t: 'refused', op, code: 'DISK_FULL' });
    await world.eventually(
      async () => ((await world.operation(op)).reason === 'DISK_FULL' ? true : null),
      'the reason',
    );
    expect(await world.operation(op)).toMatchObject({ state: 'ACCEPTED', code: null, ended: false });
    await agent.report(op, 'PARTIAL', { code: 'INTERRUPTED' });
    expect(await world.operation(op)).toMatchObject({ state: 'PARTIAL', reason: null });
  });

  test('of a refusal after the acceptance are kept as an alarm and move nothing', async () => {
    await agent.report(op, 'ACCEPTED');
    await agent.report(op, 'REFUSED', { code: 'OP_CONFLICT' });
    expect(await world.operation(op)).toMatchObject({ state: 'ACCEPTED' });
    expect(await alarms()).toEqual(['move_refused']);
    await agent.report(op, 'PASSWORD_SET');
    expect(await world.operation(op)).toMatchObject({ state: 'PASSWORD_SET' });
  });

  test('that come after the control plane gave the operation up are still the truth', async () => {
    await agent.report(op, 'ACCEPTED');
    await agent.report(op, 'PASSWORD_SET');
    await agent.offline();
    world.now += 86_400_001;
    await world.gateway.look();
    expect(await world.operation(op)).toMatchObject({ state: 'EXPIRED', code: 'AGENT_SILENT', ended: true });
    await agent.connect();
    await agent.report(op, 'REBOOTING');
    expect(await world.operation(op)).toMatchObject({ state: 'REBOOTING', ended: false, ended_at: null });
  });

  test('with a grace period past the end of time leave the operation readable, and it still ends', async () => {
    await agent.report(op, 'ACCEPTED');
    await agent.report(op, 'WAITING', { detail: { grace_s: Number.MAX_SAFE_INTEGER } });
    expect(await world.operation(op)).toMatchObject({ state: 'WAITING' });
    expect((await world.ask('GET', '/v1/operations')).status).toBe(200);
    await agent.offline();
    world.now += 2 * 86_400_000 + 1;
    await world.gateway.look();
    expect(await world.operation(op)).toMatchObject({ state: 'EXPIRED', code: 'AGENT_SILENT' });
  });

  test('an unfinished reboot is OVERDUE, and heals', async () => {
    for (const receipt of await chain()) agent.sendReceipt(receipt);
    await world.until(op, 'REBOOTING');
    world.now += 600_001;
    await world.gateway.look();
    expect(await world.operation(op)).toMatchObject({ state: 'REBOOTING', overdue: true });
    await agent.report(op, 'BOOTED');
    expect(await world.operation(op)).toMatchObject({ state: 'BOOTED', overdue: false });
  });
});
