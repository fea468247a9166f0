// Runs targets on spoilt inputs and judges what comes of each: a refusal with a code is right, anything else is a finding. Memory
// is looked at with garbage collected, so that growth is growth.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { codeOf } from '../../protocol/failure.ts';
import { Chance } from '../simulation/chance.ts';
import { spoil } from './spoil.ts';
import { Taken, type Target } from './targets.ts';

export type Finding = Readonly<{ target: string; seed: number; input: string; what: string }>;
export type Tally = { inputs: number; codes: Map<string, number>; findings: Finding[] };

/** What a target made of one input: the code of its refusal, `taken`, or a finding. */
export async function tryInput(target: Target, input: Uint8Array): Promise<{ code: string } | { finding: string }> {
  try {
    const running = target.run(input);
    if (running instanceof Promise) await running;
    return Object.keys(Object.prototype).length === 0 ? { code: 'taken' } : { finding: 'Object.prototype was changed' };
  } catch (error) {
    if (error instanceof Taken) return { finding: `taken: ${error.message}` };
    const code = codeOf(error);
    return code && code !== 'INTERNAL' ? { code } : { finding: String(error) };
  }
}

/** `count` spoilt inputs of one target, all of them from one seed. */
export async function fuzz(target: Target, seed: number, count: number, tally: Tally): Promise<void> {
  const chance = new Chance(seed);
  const [first = new Uint8Array()] = target.corpus;
  for (let n = 0; n < count; n += 1) {
    const real = target.corpus[chance.int(target.corpus.length)] ?? first;
    const other = target.corpus[chance.int(target.corpus.length)] ?? first;
    const input = spoil(real, other, chance);
    const judged = await tryInput(target, input);
    tally.inputs += 1;
    if ('code' in judged) tally.codes.set(judged.code, (tally.codes.get(judged.code) ?? 0) + 1);
    else tally.findings.push({ target: target.name, seed, input: toText(input), what: judged.finding });
  }
}

const toText = (input: Uint8Array) => Buffer.from(input).toString('base64');

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Bytes of live objects and of buffers, after everything else was thrown away. */
export function liveBytes(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
