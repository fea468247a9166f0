// `npm run fuzz -- [--seconds N] [--inputs N] [--seed N] [--sockets N]`: as many spoilt inputs as fit into the time, or as are
// asked for, whichever comes first, and as many through real sockets as asked for. What it finds is kept as a fixture and ends the run with 1.

import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fuzz, liveBytes, type Tally } from './fuzz.ts';
import { fuzzExecutor, fuzzGateway } from './sockets.ts';
import { makeTargets } from './targets.ts';

const BATCH = 500;
/** Growth from the first quarter of a run to its end that no cache of a parser explains. */
const GROWTH_BYTES_MAX = 16_000_000;
const FINDINGS_MAX = 20;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string' },
    inputs: { type: 'string' },
    seed: { type: 'string' },
    sockets: { type: 'string' },
  },
});
const [seconds, inputsMax, firstSeed, sockets] = [
  Number(values.seconds ?? 60),
  Number(values.inputs ?? Number.MAX_SAFE_INTEGER),
  Number(values.seed ?? Date.now() % 2 ** 31),
  Number(values.sockets ?? 0),
];
if (![seconds, inputsMax, firstSeed, sockets].every((value) => Number.isSafeInteger(value) && value >= 0)) {
  console.error('usage: npm run fuzz -- [--seconds N] [--inputs N] [--seed N] [--sockets N]');
  process.exit(2);
}

// What refuses an input makes an error each time: where it was made is not looked at.
Error.stackTraceLimit = 0;

const targets = await makeTargets();
const tallies = new Map<string, Tally>(
  targets.map(({ name }) => [name, { inputs: 0, codes: new Map(), findings: [] }]),
);
const startedMs = performance.now();
/** From 0 to 1, where the run is over. */
const progress = () => Math.max((performance.now() - startedMs) / (seconds * 1_000), total() / inputsMax);
const total = () => [...tallies.values()].reduce((sum, { inputs }) => sum + inputs, 0);
let [seed, early] = [firstSeed, 0];
const findings = () => [...tallies.values()].flatMap((tally) => tally.findings);
console.log(`first seed ${firstSeed}`);
while (progress() < 1 && findings().length < FINDINGS_MAX) {
  // Beside each other: while one waits for the platform's cryptography the others go on.
  await Promise.all(targets.map((target) => fuzz(target, seed, BATCH, tallies.get(target.name) as Tally)));
  seed += 1;
  if (early === 0 && progress() > 0.25) early = liveBytes();
}
const growth = early === 0 ? 0 : liveBytes() - early;
let failed = findings().length > 0 || growth > GROWTH_BYTES_MAX;

for (const [name, { inputs, codes }] of tallies) {
  const most = [...codes].sort(([, a], [, b]) => b - a).slice(0, 5);
  console.log(`${String(inputs).padStart(10)} ${name}: ${most.map(([code, times]) => `${code} ${times}`).join(', ')}`);
}
for (const finding of findings()) {
  const name = createHash('sha256').update(finding.input).digest('hex').slice(0, 16);
  writeFileSync(join(import.meta.dirname, `../fixtures/fuzz/${name}.json`), `${JSON.stringify(finding)}\n`);
  console.log(`FOUND in ${finding.target}, seed ${finding.seed}: ${finding.what} (kept as ${name}.json)`);
}
console.log(`${total()} inputs in this process, seeds ${firstSeed} to ${seed - 1}; memory grew by ${growth} bytes`);

for (const [name, run] of [
  ['gateway', fuzzGateway],
  ['executor', fuzzExecutor],
] as const) {
  if (sockets === 0) continue;
  const tally = await run(firstSeed, sockets);
  failed ||= tally.findings.length > 0;
  console.log(`${tally.inputs} inputs through the ${name}'s socket: ${tally.closed} times it hung up`);
  for (const finding of tally.findings) console.log(`FOUND: ${finding}`);
}
process.exitCode = failed ? 1 : 0;
