// Every point of a reset in turn, without chance: the process killed and the power cut there, the call failing once, for
// the rest of the process and for ever, and, for every such point, a second blow at every point of what follows.

import { describe, expect, test } from 'vitest';
import { type Blow, failures, type SecretWish, scenarioOf, type When } from './scenario.ts';
import { judge } from './truth.ts';
import { World } from './world.ts';

type Kind = readonly [account: SecretWish, vnc: SecretWish];
const kinds: Kind[] = [
  ['generated', 'generated'],
  ['typed', 'typed'],
  ['generated', null],
  [null, 'typed'],
];

type Played = Readonly<{ world: World; end: string }>;

async function strike(wishes: Parameters<typeof scenarioOf>[0]): Promise<Played> {
  const scenario = scenarioOf(wishes);
  const world = new World(scenario);
  const { end, broken } = await judge(world);
  expect(broken, JSON.stringify(scenario)).toEqual([]);
  return { world, end };
}

function play([account, vnc]: Kind, ...blows: readonly (Blow | null)[]): Promise<Played> {
  return strike({ order: { account, vnc }, episodes: blows.map((blow) => ({ blow })) });
}

/** The calls of the process that accepts, up to the reboot. */
async function callsOf(kind: Kind): Promise<string[]> {
  const { world } = await play(kind, null);
  const end = world.trace.findIndex((line) => line.includes('the machine reboots'));
  return world.trace.slice(0, end).flatMap((line) => /^ {2}\d+ (\S+)$/.exec(line)?.[1] ?? []);
}

describe.each(kinds)('account %s, VNC %s', (...kind) => {
  test('without trouble is DONE', async () => {
    expect((await play(kind)).end).toBe('DONE null');
  });

  test.each(['kill', 'power_cut'] as const)('%s at every call, before, during and after it', async (how) => {
    const calls = await callsOf(kind);
    expect(calls.length).toBeGreaterThan(20);
    const ends = new Set<string>();
    for (const nth of calls.keys()) {
      for (const when of ['before', 'during', 'after'] satisfies When[]) {
        ends.add((await play(kind, { nth: nth + 1, when, how })).end);
      }
    }
    for (const end of ['nothing', 'INTERRUPTED INTERRUPTED', 'PARTIAL INTERRUPTED']) expect([...ends]).toContain(end);
  });

  test('each call failing the Nth time, once, for the rest of the process, and for ever', async () => {
    const calls = await callsOf(kind);
    for (const call of Object.keys(failures)) {
      const times = Math.max(1, calls.filter((name) => name === call).length);
      for (let nth = 1; nth <= times + 1; nth += 1) {
        for (const stretch of ['once', 'process', 'ever'] as const) {
          await play(kind, { call, nth, when: 'before', how: 'fail', stretch });
          if (failures[call]?.after) await play(kind, { call, nth, when: 'after', how: 'fail', stretch });
        }
      }
    }
  });
});

test('a defect at every call ends the process, and the next one ends the operation', async () => {
  const kind: Kind = ['generated', 'generated'];
  for (const nth of (await callsOf(kind)).keys()) {
    for (const when of ['before', 'during'] satisfies When[]) await play(kind, { nth: nth + 1, when, how: 'defect' });
  }
});

test('the power cut at every call of a VNC reset, and the server not there after the boot', async () => {
  const calls = await callsOf([null, 'generated']);
  for (const nth of calls.keys()) {
    for (const when of ['before', 'during', 'after'] satisfies When[]) {
      await strike({
        order: { account: null },
        machine: { atBoot: 'vnc_gone' },
        episodes: [{ blow: { nth: nth + 1, when, how: 'power_cut' } }],
      });
    }
  }
});

/** Enough calls for what takes an operation up from anywhere and brings it to its end. */
const RECOVERY_CALLS = 12;
const PAIRS_TIMEOUT_MS = 90_000;

test.each(['kill', 'power_cut'] as const)(
  'a process killed at every call, and the next one struck by %s at every call of its own',
  async (how) => {
    const calls = await callsOf(['generated', 'generated']);
    for (const [first, call] of calls.entries()) {
      // Before the acceptance there is nothing to take up, and what is done between two calls changes nothing.
      if (first < calls.indexOf('journal.append')) continue;
      const whens: When[] = call.endsWith('.append') || call.endsWith('.setPassword') ? ['during', 'after'] : ['after'];
      for (const when of whens) {
        for (let second = 1; second <= RECOVERY_CALLS; second += 1) {
          await play(
            ['generated', 'generated'],
            { nth: first + 1, when, how: 'kill' },
            { nth: second, when: 'during', how },
          );
        }
      }
    }
  },
  PAIRS_TIMEOUT_MS,
);
