// The executor as its composition root makes it on Windows: real files in a folder of this machine, and a machine of written
// exchanges behind the one port that runs programs. For a test that made `process.platform` say so before it loaded this.

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { replaceFile } from '../../../agent/durable-file.ts';
import { fingerprintOf, makeKeys, writeIdentity } from '../../../agent/executor/identity.ts';
import { assemble } from '../../../agent/executor/main.ts';
import type { ExecutorParts } from '../../../agent/executor/parts.ts';
import { paths } from '../../../agent/paths.ts';
import { hereOnWindows, machineOnWindows, type Windows, windowsIn } from '../../../agent/windows/main.ts';
import { signRoot } from '../../../protocol/root.ts';
import { AGENT, bytes32Text, countingBytes, keys, sampleRoot } from '../../protocol/samples.ts';
import { WholeWindows } from './whole-windows.ts';

const MARKER = bytes32Text(0x77);

export type Composed = Readonly<{
  whole: WholeWindows;
  seams: Windows;
  /** What the next executor process is made of, from its files on. */
  executor(): Promise<ExecutorParts>;
}>;

/** A machine on which the agent is installed and enrolled. */
export async function composeWindows(): Promise<Composed> {
  const whole = new WholeWindows();
  const environment = { SystemRoot: 'C:\\Windows', ProgramData: 'C:\\ProgramData', ProgramFiles: 'C:\\Program Files' };
  const windows = { ...windowsIn(environment), scratch: 'C:\\ProgramData\\latchkey-agent\\scratch' };
  const seams: Windows = { processes: whole.processes, windows };
  for (const folder of [paths.state, paths.executor]) mkdirSync(folder, { recursive: true });
  const root = await signRoot(sampleRoot(), [keys.rootA, keys.rootB]);
  writeFileSync(paths.trust, JSON.stringify({ v: 1, url: ['wss://control.example/agent/v1'], ca_pem: 'PEM', root }));
  // The executor's key of all samples, so that their receipts can be read.
  const { macKey } = await makeKeys(paths.executor, { bytes: () => countingBytes(0x21) });
  const machine = fingerprintOf(macKey, await hereOnWindows(seams).host.machine());
  await writeIdentity(paths.executor, { v: 1, agent: AGENT, project: 'default', marker: MARKER, machine });
  await replaceFile(paths.marker, MARKER);
  // What Node tells of modes there says nothing.
  for (const name of ['keys.json', 'identity.json']) chmodSync(join(paths.executor, name), 0o666);
  const system = { ...hereOnWindows(seams), machineOf: (facts: Facts) => machineOnWindows(facts, seams) };
  return {
    whole,
    seams,
    executor: () => assemble({ rebootPatienceMs: 1_000 }, pino({ level: 'silent' }), system),
  };
}

type Facts = Parameters<typeof machineOnWindows>[0];
