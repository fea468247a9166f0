// The memory of a link in a process of its own: after ten thousand beats and two hundred operations it holds no more than
// before, and one that holds too much makes room for a fresh one.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sampleCommand } from '../../protocol/samples.ts';
import { ackOf } from '../executor/orders.ts';
import { ControlPlane, commandToken, type Visitor } from './control-plane.ts';
import { type Process, receiptToken, ScriptedExecutor } from './executor-script.ts';
import type { Holding } from './resident-program.ts';

const ROUNDS = 10;
const BEATS_A_ROUND = 1_000;
const OPERATIONS_A_ROUND = 20;
/** Rounds in which code that runs for the first time is still being loaded. */
const WARM_UP = 2;
/** Of so many rounds the least counts: what a collection has not let go yet is no leak. */
const COMPARED = 3;
/** At each of them a link could end. */
const BEATS_WAITED = 100;
/** Ten bytes for each beat, or half a kilobyte for each operation, and the test fails. */
const GROWTH_BYTES_MAX = 50_000;

const PROGRAM = join(import.meta.dirname, 'resident-program.ts');
const STATES = ['ACCEPTED', 'SECRET_READY', 'PASSWORD_SET', 'DONE'] as const;

let folder: string;
let plane: ControlPlane;
let executor: ScriptedExecutor;
let link: ChildProcess;
let visitor: Visitor;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'latchkey-leak-'));
  plane = new ControlPlane();
  executor = new ScriptedExecutor();
  const url = await plane.listen();
  link = spawn(process.execPath, [PROGRAM, String(url), await executor.listen(), folder], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  visitor = await plane.visitor();
  await visitor.greet();
  await visitor.next('synced');
});

afterEach(async () => {
  link.kill('SIGKILL');
  await plane.close();
  await executor.close();
  await rm(folder, { recursive: true, force: true });
});

const operation = (number: number) => `op_${String(number).padStart(26, '0')}`;

/** An operation whose command an executor has. */
async function begin(op: string): Promise<Process> {
  visitor.send({ t: 'prepare', op, account: null });
  const process = await executor.process('prepare');
  process.say({ t: 'ready', op, token: 'AAAA.AAAA.AAAA' });
  await visitor.next('ready');
  visitor.send({ t: 'command', op, token: await commandToken({ ...sampleCommand(), op }) });
  expect(await process.next()).toMatchObject({ t: 'prepare' });
  expect(await process.next()).toMatchObject({ t: 'execute' });
  return process;
}

/** The rest of it, to the acknowledgement of its end. */
async function finish(op: string, process: Process): Promise<void> {
  for (const [i, state] of STATES.entries()) {
    process.say({ t: 'receipt', token: await receiptToken(i + 1, { op, state }) });
    await visitor.next('receipt');
    visitor.send({ t: 'ack', token: await ackOf(op, i + 1) });
  }
  process.end();
}

const beats = () => visitor.frames.filter(({ t }) => t === 'heartbeat').length;

async function ask<T>(word: 'measure' | 'grow'): Promise<T> {
  link.send(word);
  const [told] = await once(link, 'message');
  return told as T;
}

test('10,000 heartbeats and 200 operations leave nothing behind', { timeout: 240_000 }, async () => {
  const held: Holding[] = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    for (let i = 1; i <= OPERATIONS_A_ROUND; i += 1) {
      const op = operation(round * 100 + i);
      await finish(op, await begin(op));
    }
    while (beats() < round * BEATS_A_ROUND) await visitor.next('heartbeat');
    held.push(await ask<Holding>('measure'));
  }
  expect(beats()).toBeGreaterThanOrEqual(ROUNDS * BEATS_A_ROUND);
  const least = (rounds: readonly Holding[], what: keyof Holding) => Math.min(...rounds.map((round) => round[what]));
  const [before, after] = [held.slice(WARM_UP, WARM_UP + COMPARED), held.slice(-COMPARED)];
  expect(least(after, 'bytes') - least(before, 'bytes')).toBeLessThan(GROWTH_BYTES_MAX);
  expect(least(after, 'handles')).toBe(least(before, 'handles'));
});

test('a link above its ceiling waits for the end of an operation, and then starts anew as the same process', async () => {
  const op = operation(1);
  const process = await begin(op);
  await ask('grow');
  const grown = beats();
  while (beats() < grown + BEATS_WAITED) await visitor.next('heartbeat');
  await finish(op, process);
  expect(await visitor.closed).toEqual({ code: 1000 });
  const again = await plane.visitor();
  expect((await again.greet()).ctr).toBe(1);
  await again.next('synced');
  expect(link.exitCode).toBeNull();
  expect(link.signalCode).toBeNull();
});
