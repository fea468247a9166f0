// Two machines with one identity that come at once: neither is there yet when the other is looked for, and still both are found.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { World } from '../world.ts';

let world: World;
beforeAll(async () => {
  world = await World.start();
});
afterAll(() => world.stop());

const heldFor = async (agent: Parameters<World['vmOf']>[0]) => (await world.vmOf(agent)).quarantine?.code;

describe('a second connection of one identity', () => {
  test('that was welcomed beside the first, before either confirmed it, holds the identity', async () => {
    const agent = await world.enrolled();
    const twin = agent.clone();
    let welcomed = 0;
    const both = Promise.withResolvers<void>();
    const meanwhile = () => {
      welcomed += 1;
      if (welcomed === 2) both.resolve();
      return both.promise;
    };
    await Promise.all([agent.connect({ meanwhile }), twin.connect({ meanwhile })]);
    expect(await world.eventually(async () => (await heldFor(agent)) ?? null, 'the quarantine')).toBe(
      'CLONE_SUSPECTED',
    );
  });

  test('that was welcomed before the first confirmed, and confirms after it, holds the identity', async () => {
    const agent = await world.enrolled();
    const twin = agent.clone();
    const [welcomed, entered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    // A copy made after the first one kept its counter, so that the counter tells nothing.
    const second = twin.connect({
      hello: { ctr: agent.ctr + 1 },
      meanwhile: () => {
        welcomed.resolve();
        return entered.promise;
      },
    });
    await agent.connect({ meanwhile: () => welcomed.promise });
    const { id } = await world.vmOf(agent);
    await world.eventually(async () => (world.gateway.switchboard.of(id) ? true : null), 'the first one');
    entered.resolve();
    await second;
    expect(await world.eventually(async () => (await heldFor(agent)) ?? null, 'the quarantine')).toBe(
      'CLONE_SUSPECTED',
    );
  });
});
