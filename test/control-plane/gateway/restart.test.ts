// A gateway that ends: what the signer was asked for is written down before the store closes, and machines are told when to come back.

import { once } from 'node:events';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { World } from '../world.ts';

let world: World;
beforeEach(async () => {
  world = await World.start();
});
afterEach(() => world.stop());

test('a command that is being signed when its gateway ends is waited for, and is asked for anew afterwards', async () => {
  const agent = await world.machine();
  const draft = await world.draft(agent);
  await agent.answerPrepare();
  await world.until(draft.op, 'PREPARED');
  const closed = once(agent.wire.ws, 'close');
  const stop: { ended?: Promise<void> } = {};
  let signed = false;
  world.meanwhile.set('command.mint', async () => {
    stop.ended = world.gateway.stop();
    // The signer takes its time: the machine has left long ago.
    await closed;
    await new Promise((resolve) => setTimeout(resolve, 300));
    signed = true;
  });
  await world.approve(draft);
  const [code, reason] = (await closed) as [number, Buffer];
  expect([code, reason.toString()]).toEqual([1012, '2000']);
  await stop.ended;
  // The store is closed next.
  expect(signed).toBe(true);
  expect(agent.wire.waiting('command')).toBe(0);
  expect(await world.operation(draft.op)).toMatchObject({ state: 'QUEUED', approved: true });
});
