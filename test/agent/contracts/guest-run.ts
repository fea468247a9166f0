// Starts one guest for a file of tests and makes one test of each rule that is run inside it.

import { afterAll, beforeAll, describe, it } from 'vitest';
import { createGuest, type Guest, type GuestOptions } from '../../lab/guest.ts';
import { LabUnavailable } from '../../lab/requirements.ts';
import { unavailable } from '../../requirements.ts';
import type { VncStandName } from './vnc-subject.ts';

export const GUEST_NODE = `/usr/lib/latchkey-agent/node_modules/node-linux-${process.arch}/bin/node`;
const RUNNER = '/usr/lib/latchkey-agent/test/agent/contracts/in-guest.ts';
const RUN_TIMEOUT_MS = 110_000;

/** What a rule cannot do without: a name, the command that would enable it, and whether it is there. */
export type Need = Readonly<{ name: string; command: string; met: boolean }>;

type Outcome = { faults: ReadonlyMap<string, string | null>; words: string } | { missing: LabUnavailable };

export function describeInGuest(
  contract: 'accounts' | 'power' | 'environment' | 'vnc-together' | 'vnc-adversary' | 'services' | VncStandName,
  titles: readonly string[],
  { guest: options = {}, needs = [] }: { guest?: Partial<GuestOptions>; needs?: readonly Need[] } = {},
): void {
  describe(`the real ${contract} adapter keeps the contract in a guest`, () => {
    let guest: Guest | undefined;
    let outcome: Outcome | undefined;

    beforeAll(async () => {
      if (needs.some(({ met }) => !met)) return;
      try {
        guest = createGuest({ services: [], vnc: false, ...options, name: `contract-${contract}-${process.pid}` });
      } catch (error) {
        if (!(error instanceof LabUnavailable)) throw error;
        outcome = { missing: error };
        return;
      }
      await guest.boot();
      outcome = await runInside(guest, contract);
    });
    afterAll(() => guest?.destroy());

    for (const title of titles) {
      it(title, (context) => {
        for (const { name, command, met } of needs) if (!met) unavailable(context, name, command);
        if (outcome && 'missing' in outcome) unavailable(context, outcome.missing.code, outcome.missing.message);
        const fault = outcome?.faults.get(title);
        if (fault === undefined) throw new Error(`the rule was not run: ${outcome?.words ?? ''}`);
        if (fault !== null) throw new Error(fault);
      });
    }
  });
}

async function runInside(guest: Guest, contract: string): Promise<Outcome> {
  const { stdout, stderr } = await guest.exec([GUEST_NODE, RUNNER, contract], { timeoutMs: RUN_TIMEOUT_MS });
  const lines = stdout.split('\n').filter((line) => line.startsWith('{'));
  const told = lines.map((line) => JSON.parse(line) as { title: string; fault: string | null });
  return { faults: new Map(told.map(({ title, fault }) => [title, fault])), words: stderr.slice(-2_000) };
}
