// `npm run sim -- SEED [COUNT]`: plays the scenarios of as many seeds, and prints each seed that breaks a rule with its
// scenario made as small as it goes and a trace of what happened.

import { parseArgs } from 'node:util';
import { drawScenario } from './scenario.ts';
import { shrink } from './shrink.ts';
import { judge } from './truth.ts';
import { World } from './world.ts';

const { positionals, values } = parseArgs({ allowPositionals: true, options: { trace: { type: 'boolean' } } });
const first = Number(positionals[0] ?? 1);
const count = Number(positionals[1] ?? 1);
if (!Number.isSafeInteger(first) || !Number.isSafeInteger(count) || count < 1) {
  console.error('usage: npm run sim -- SEED [COUNT] [--trace]');
  process.exit(2);
}

const ends = new Map<string, number>();
let failed = 0;
for (let seed = first; seed < first + count; seed += 1) {
  const world = new World(drawScenario(seed));
  const { end, broken } = await judge(world);
  ends.set(end, (ends.get(end) ?? 0) + 1);
  if (broken.length === 0) {
    if (values.trace || count === 1) console.log([`seed ${seed}: ${end}`, ...shortened(world.trace)].join('\n'));
    continue;
  }
  failed += 1;
  const small = await shrink(world.scenario);
  const again = new World(small);
  const verdict = await judge(again);
  console.log(`seed ${seed} breaks:\n  ${broken.join('\n  ')}`);
  console.log(`as small as it goes: ${JSON.stringify(small)}\n  ${verdict.end}: ${verdict.broken.join('\n  ')}`);
  console.log(shortened(again.trace).join('\n'));
  if (failed >= 5) break;
}
for (const [end, times] of [...ends].sort()) console.log(`${String(times).padStart(6)} ${end}`);
process.exitCode = failed > 0 ? 1 : 0;

/** A wait is many calls of the same kind: the first of them, and how many followed. */
function shortened(trace: readonly string[]): string[] {
  const kinds = trace.map((line) => line.replace(/\d+ /, ''));
  return trace.flatMap((line, at) => {
    if (kinds[at] === kinds[at - 1]) return [];
    const next = kinds.findIndex((kind, later) => later > at && kind !== kinds[at]);
    const more = (next < 0 ? trace.length : next) - at - 1;
    return [more > 0 ? `${line}, and ${more} more` : line];
  });
}
