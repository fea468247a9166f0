// What happens to an identity between a peer's hello and its session: other connections change the store meanwhile.

import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { quarantineVm } from '../../../control-plane/store/vms.ts';
import { signToken } from '../../../protocol/token.ts';
import { random32, type ScriptedAgent, Wire } from '../scripted-agent.ts';
import { World } from '../world.ts';

let world: World;
beforeEach(async () => {
  world = await World.start();
});
afterEach(() => world.stop());

const REFUSED = 1008;

/** Nobody else reads or writes the store until the returned function is called. */
async function stall(): Promise<() => Promise<void>> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const done = world.store.write(async () => {
    begun.resolve();
    await promise;
  });
  await begun.promise;
  return async () => {
    resolve();
    await done;
  };
}

test('a machine that comes again while its dropped hello still waits for the store is not held', async () => {
  const agent = await world.enrolled();
  const { id } = await world.vmOf(agent);
  const jhead = random32();
  const go = await stall();
  const dropped = await new Wire(world.agentUrl).opened();
  const { sn } = await dropped.next('challenge');
  const hello = agent.hello({ sn, jhead });
  dropped.send({ t: 'hello', token: await signToken('lk-hello+jws', hello, agent.ik) });
  await new Promise((resolve) => setTimeout(resolve, 200));
  dropped.ws.terminate();
  const again = agent.connect({ hello: { jhead } });
  await new Promise((resolve) => setTimeout(resolve, 300));
  await go();
  expect([await again, (await world.vmOf(agent)).quarantine]).toEqual([null, null]);
  expect((await world.events(id)).map(({ type }) => type)).not.toContain('vm.flag');
});

test('a hello that waits while its identity is held is refused', async () => {
  const agent = await world.enrolled();
  const { id } = await world.vmOf(agent);
  const go = await stall();
  const waiting = agent.connect();
  await new Promise((resolve) => setTimeout(resolve, 300));
  const held = world.store.write((trx) => quarantineVm(trx, id, 'CLONE_SUSPECTED', world.now));
  await go();
  await held;
  expect(await waiting).toBe(REFUSED);
});

test('a welcome that was given before its identity was held lets nobody in', async () => {
  const agent = await world.enrolled();
  const clone = agent.clone();
  // The copy stops half-way into its handshake.
  const wire = await new Wire(world.agentUrl).opened();
  const { sn } = await wire.next('challenge');
  const hello = agent.hello({ sn });
  wire.send({ t: 'hello', token: await signToken('lk-hello+jws', hello, agent.ik) });
  await wire.next('welcome');
  await agent.online();
  clone.ctr = agent.ctr;
  expect(await clone.connect()).toBe(REFUSED);
  expect((await world.vmOf(agent)).quarantine?.code).toBe('CLONE_SUSPECTED');
  await agent.wire.closed;
  await world.eventually(async () => ((await world.vmOf(agent)).online ? null : true), 'the machine to be offline');
  wire.send({ t: 'hello_ok', ctr: 1 });
  const closed = await Promise.race([wire.closed, new Promise((resolve) => setTimeout(resolve, 1_500, 'open'))]);
  expect([closed, (await world.vmOf(agent)).online]).toEqual([REFUSED, false]);
});

test('a welcome is not counted where its identity came to be held before the answer, whoever held it', async () => {
  const agent = await world.enrolled();
  const { id } = await world.vmOf(agent);
  await agent.connect({
    meanwhile: () => world.store.write((trx) => quarantineVm(trx, id, 'CLONE_SUSPECTED', Date.now())),
  });
  // Short of the wait for a session that should not be: whoever gets in is online.
  expect(await Promise.race([agent.wire.closed, sleep(5_000)])).toBe(REFUSED);
  expect((await world.vmOf(agent)).online).toBe(false);
});

test('a hello that holds an identity ends the session that it has, and no command goes out', async () => {
  const agent = await world.machine();
  const draft = await world.draft(agent);
  await agent.answerPrepare();
  await world.until(draft.op, 'PREPARED');
  const { intent_hash } = await world.intent(draft);
  const copy = agent.clone();
  copy.ctr = 0;
  expect(await copy.connect()).toBe(REFUSED);
  expect((await world.vmOf(agent)).quarantine?.code).toBe('STATE_ROLLED_BACK');
  expect(await agent.wire.closed).toBe(REFUSED);
  const proof = await world.keyProof(intent_hash);
  const submitted = await world.ask('POST', `/v1/operations/${draft.op}/submit`, proof);
  expect([submitted.status, submitted.body['code']]).toEqual([409, 'AGENT_QUARANTINED']);
  // The proof was not spent on it.
  expect((await world.operation(draft.op)).approved).toBe(false);
  expect(agent.wire.waiting('command')).toBe(0);
});

const heldFor = async (agent: ScriptedAgent) => (await world.vmOf(agent)).quarantine?.code;
const comesAndGoes = async (agent: ScriptedAgent) => {
  await agent.online();
  await agent.offline();
  await world.eventually(async () => ((await world.vmOf(agent)).online ? null : true), 'its leave');
};

test('an answer with the counter of a connection that was counted since holds the identity', async () => {
  const agent = await world.enrolled();
  const twin = agent.clone();
  await twin.connect({ meanwhile: () => comesAndGoes(agent) });
  expect(await twin.wire.closed).toBe(REFUSED);
  expect(await heldFor(agent)).toBe('CLONE_SUSPECTED');
});

test('an answer that comes after the next connection was counted does not put the counter back', async () => {
  const agent = await world.enrolled();
  const next = agent.clone();
  await agent.connect({
    meanwhile: () => {
      next.ctr = agent.ctr;
      return comesAndGoes(next);
    },
  });
  expect(await agent.wire.closed).toBe(REFUSED);
  expect(await heldFor(agent)).toBeUndefined();
  expect(await agent.connect()).toBe(REFUSED);
  expect(await heldFor(agent)).toBe('STATE_ROLLED_BACK');
});
