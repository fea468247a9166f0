// Resets with a window: what was approved waits until it opens, and ends with it.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readIntent } from '../../../protocol/intent.ts';
import { WIRE_VERSION } from '../../../protocol/version.ts';
import type { ScriptedAgent } from '../scripted-agent.ts';
import { World } from '../world.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

let world: World;
let agent: ScriptedAgent;
beforeEach(async () => {
  world = await World.start();
  agent = await world.enrolled();
});
afterEach(() => world.stop());

const come = async (vmax = WIRE_VERSION) => {
  await agent.connect({ hello: { vmax } });
  agent.wire.send({ t: 'synced', open: null });
};
const inMs = (ms: number) => new Date(Math.ceil((world.now + ms) / 1000) * 1000).toISOString();
const draft = (not_before: string) => world.draft(agent, { account: { mode: 'generated' }, not_before });
const pass = async (ms: number) => {
  world.now += ms;
  await world.gateway.look();
};

describe('a reset with a window', () => {
  test('waits, approved, until it opens, and is then sent as it was proven', async () => {
    const not_before = inMs(HOUR_MS);
    const { op, ...drafted } = await draft(not_before);
    expect(drafted.not_before).toBe(not_before);
    const { status, body } = await world.approve({ op, ...drafted });
    expect([status, body['approved'], body['not_before']]).toEqual([200, true, not_before]);
    await come();
    await pass(HOUR_MS - 2_000);
    expect((await world.operation(op)).state).toBe('QUEUED');
    expect(agent.wire.waiting('prepare')).toBe(0);
    await pass(3_000);
    await agent.answerPrepare();
    await agent.takeCommand();
    await agent.carryOut(op);
    await world.until(op, 'DONE');
  });

  test('shows its window among what is proven, and lasts beyond its opening by default', async () => {
    const drafted = await draft(inMs(HOUR_MS));
    const { intent, summary } = await world.intent(drafted);
    const said = readIntent(intent) as { not_before?: number; not_after: number };
    expect(said.not_before).toBe(Date.parse(drafted.not_before ?? '') / 1000);
    expect(said.not_after - (said.not_before ?? 0)).toBe(900);
    expect(summary.not_before).toBe(drafted.not_before);
  });

  test('an executor that was ready before it opens is not told', async () => {
    await come();
    const drafted = await draft(inMs(HOUR_MS));
    await agent.answerPrepare();
    await world.until(drafted.op, 'PREPARED');
    await world.approve(drafted);
    await pass(5_000);
    expect(await world.operation(drafted.op)).toMatchObject({ state: 'PREPARED', approved: true });
    expect(agent.wire.waiting('command')).toBe(0);
  });

  test('whose machine does not come in it has expired', async () => {
    const drafted = await draft(inMs(HOUR_MS));
    await world.approve(drafted, { valid_s: 7_200 });
    await pass(7_201_000);
    expect(await world.operation(drafted.op)).toMatchObject({ state: 'EXPIRED', code: 'AGENT_OFFLINE', receipts: [] });
    await come();
    await pass(2_000);
    expect(agent.wire.waiting('prepare')).toBe(0);
  });

  test('keeps the machine: another operation is told by whom and since when', async () => {
    const drafted = await draft(inMs(HOUR_MS));
    await world.approve(drafted);
    const { approved_at: since } = await world.operation(drafted.op);
    const { status, body } = await world.ask('POST', '/v1/operations', {
      vm: drafted.vm,
      account: { mode: 'generated' },
    });
    expect([status, body['code']]).toEqual([409, 'BUSY']);
    expect(body['detail']).toContain(`op=${drafted.op}`);
    expect(body['detail']).toContain('operator=admin');
    expect(body['detail']).toContain(`since=${since}`);
    await world.ask('POST', `/v1/operations/${drafted.op}/cancel`, {});
    await draft(inMs(HOUR_MS));
  });

  test('is not sent to an agent that would not understand it', async () => {
    const drafted = await draft(inMs(1_000));
    await world.approve(drafted);
    await come(WIRE_VERSION - 1);
    await pass(3_000);
    expect(await world.until(drafted.op, 'REFUSED')).toMatchObject({ code: 'VERSION_UNSUPPORTED' });
  });

  test.each<[string, () => object, string]>([
    ['opens later than an intent can wait', () => ({ not_before: inMs(DAY_MS + 2_000) }), 'not_before'],
    [
      'has a password that nobody could open then',
      () => ({ not_before: inMs(HOUR_MS), account: { mode: 'typed' } }),
      'typed',
    ],
    ['opens at no time', () => ({ not_before: 'tomorrow' }), 'not_before'],
  ])('that %s is refused', async (_, body, word) => {
    const { id } = await world.vmOf(agent);
    const answer = await world.ask('POST', '/v1/operations', { vm: id, account: { mode: 'generated' }, ...body() });
    expect(answer).toMatchObject({ status: 400, body: { code: 'REQUEST_INVALID' } });
    expect(JSON.stringify(answer.body)).toContain(word);
  });

  test('that is over before it opens is refused', async () => {
    const { op } = await draft(inMs(HOUR_MS));
    const secret = { mode: 'generated', recipient_jwk: await world.recipient() };
    const answer = await world.ask('POST', `/v1/operations/${op}/intent`, { account: { secret }, valid_s: 60 });
    expect(answer).toMatchObject({ status: 400, body: { code: 'REQUEST_INVALID' } });
  });
});
