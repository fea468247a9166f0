// A short run of the fuzzer, from seeds that are always the same, and everything that a longer one ever found. The long one is
// `npm run fuzz -- --seconds N`.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Finding, fuzz, liveBytes, type Tally, tryInput } from './fuzz.ts';
import { fuzzExecutor, fuzzGateway } from './sockets.ts';
import { makeTargets } from './targets.ts';

const FINDINGS = join(import.meta.dirname, '../fixtures/fuzz');
const INPUTS_EACH = 2_000;
/** Far less than what keeping each input would come to. */
const GROWTH_BYTES_MAX = 4_000_000;
const targets = await makeTargets();

test.each(targets.map((target) => [target.name, target] as const))('%s: real inputs are taken', async (_, target) => {
  // The first is the target's own; those of other targets stand beside it to be spliced in.
  const own = target.corpus[0] ?? new Uint8Array();
  expect(await tryInput(target, own)).toEqual({ code: 'taken' });
});

test.each(targets.map((target) => [target.name, target] as const))(
  '%s: no spoilt input is taken, nor harms',
  async (_, target) => {
    const tally: Tally = { inputs: 0, codes: new Map(), findings: [] };
    for (let seed = 1; seed <= 4; seed += 1) await fuzz(target, seed, INPUTS_EACH / 4, tally);
    expect(tally.findings).toEqual([]);
    expect(tally.inputs).toBe(INPUTS_EACH);
    // It got past the first check often enough to mean something.
    expect(tally.codes.size).toBeGreaterThan(1);
  },
);

test('spoilt inputs leave nothing behind in memory', async () => {
  const [frames] = targets.filter(({ name }) => name === 'frame from a link');
  if (!frames) throw new Error('no target');
  const tally: Tally = { inputs: 0, codes: new Map(), findings: [] };
  await fuzz(frames, 1, 20_000, tally);
  const before = liveBytes();
  await fuzz(frames, 2, 60_000, tally);
  expect(liveBytes() - before).toBeLessThan(GROWTH_BYTES_MAX);
});

test.each([
  ['gateway', fuzzGateway],
  ['executor', fuzzExecutor],
] as const)('the %s takes spoilt messages through its socket, does nothing, and works on', async (_, run) => {
  const { inputs, closed, findings } = await run(1, 300);
  expect(findings).toEqual([]);
  expect(inputs).toBe(300);
  // Some got past the first look, and some did not.
  expect(closed).toBeGreaterThan(0);
  expect(closed).toBeLessThan(300);
});

test('whatever was found once stays refused', async () => {
  for (const name of readdirSync(FINDINGS).filter((file) => file.endsWith('.json'))) {
    const { target, input } = JSON.parse(readFileSync(join(FINDINGS, name), 'utf8')) as Finding;
    const found = targets.find((candidate) => candidate.name === target);
    expect(found, name).toBeDefined();
    if (found) expect(await tryInput(found, Buffer.from(input, 'base64')), name).toHaveProperty('code');
  }
});
