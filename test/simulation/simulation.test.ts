// Many seeds, each a whole life of one operation with everything going wrong that its scenario says. A seed that fails is
// printed, is played again with `npm run sim -- SEED`, and is kept here for ever once what it found is mended.

import { expect, test } from 'vitest';
import { drawScenario, scenarioOf } from './scenario.ts';
import { judge } from './truth.ts';
import { World } from './world.ts';

const FIRST_SEED = 20_000;
const SEEDS = 400;
/** Seeds that once found something, as long as scenarios are drawn as they are; what they found follows by hand below. */
const kept = [219, 266, 304, 1077, 1387, 3124, 3344, 5317];

async function complaintsOf(scenario: ReturnType<typeof drawScenario>) {
  const world = new World(scenario);
  const { end, broken } = await judge(world);
  return { world, end, complaints: broken.map((rule) => `seed ${scenario.seed}: ${rule}`) };
}

test(`whatever goes wrong, an operation ends once and truly (seeds ${FIRST_SEED} to ${FIRST_SEED + SEEDS - 1})`, async () => {
  const ends = new Set<string>();
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed += 1) {
    const { end, complaints } = await complaintsOf(drawScenario(seed));
    expect(complaints, `npm run sim -- ${seed}`).toEqual([]);
    ends.add(end);
  }
  // The rules were tried on every end that there is.
  for (const state of ['DONE', 'PARTIAL', 'FAILED', 'REFUSED', 'INTERRUPTED', 'CANCELLED']) {
    expect(
      [...ends].some((end) => end.startsWith(state)),
      state,
    ).toBe(true);
  }
}, 90_000);

test.each(kept)('seed %i, which once broke a rule, breaks none', async (seed) => {
  expect((await complaintsOf(drawScenario(seed))).complaints).toEqual([]);
});

test('the same seed plays the same life', async () => {
  for (const seed of [12, 85, 219, 358, 1077]) {
    const [one, other] = [await complaintsOf(drawScenario(seed)), await complaintsOf(drawScenario(seed))];
    expect(one.world.trace).toEqual(other.world.trace);
  }
});

test('a link that goes away while its request fails does not keep the process', async () => {
  const scenario = scenarioOf({
    episodes: [
      {
        blow: { call: 'vnc.list', nth: 1, when: 'before', how: 'fail' },
        happenings: [{ at: 4, what: 'disconnect' }],
      },
    ],
  });
  expect(await complaintsOf(scenario)).toMatchObject({ end: 'nothing', complaints: [] });
});

test('a cancel between the two secrets stops only the reboot', async () => {
  const scenario = scenarioOf({
    episodes: [{ happenings: [{ at: 20, what: 'cancel' }] }],
  });
  const { world, end, complaints } = await complaintsOf(scenario);
  expect([end, complaints]).toEqual(['PARTIAL REBOOT_CANCELLED', []]);
  expect(world.machine.changes.map(({ slot }) => slot)).toEqual(['account', 'vnc']);
});

test('an acceptance of which it is not known whether it was written is not contradicted by a signed refusal', async () => {
  const scenario = scenarioOf({
    episodes: [{ blow: { call: 'journal.append', nth: 1, when: 'after', how: 'fail' } }],
  });
  const { world, end, complaints } = await complaintsOf(scenario);
  expect([end, complaints]).toEqual(['INTERRUPTED INTERRUPTED', []]);
  expect(world.answers).toContainEqual({ t: 'refused', op: expect.any(String), code: 'JOURNAL_UNSAFE' });
});

test('a password of which the program could not say that it is durable is not said to be proven', async () => {
  const scenario = scenarioOf({
    episodes: [{ blow: { call: 'accounts.setPassword', nth: 1, when: 'after', how: 'fail' } }, { first: 'power_cut' }],
  });
  expect(await complaintsOf(scenario)).toMatchObject({ end: 'PARTIAL VERIFY_FAILED', complaints: [] });
});
