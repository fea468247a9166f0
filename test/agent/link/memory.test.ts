// The resident process and its memory: it gives back what it no longer needs, and makes room for a fresh one between
// operations, never in one.

import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { processMemory } from '../../../agent/link/memory.ts';
import { HEARTBEAT_INTERVAL_MS } from '../../../protocol/limits.ts';
import { OP, sampleCommand } from '../../protocol/samples.ts';
import { commandToken, type Visitor } from './control-plane.ts';
import { type Process, receiptToken } from './executor-script.ts';
import { makeSite, until } from './site.ts';

const MODULE = join(import.meta.dirname, '../../../agent/link/memory.ts');
const MIB = 1_048_576;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** One beat, and the proof that it came. */
async function beat(visitor: Visitor): Promise<void> {
  vi.advanceTimersByTime(HEARTBEAT_INTERVAL_MS);
  await visitor.next('heartbeat');
}

async function makeGrowing() {
  const memory = { collections: 0, full: false };
  const site = await makeSite({
    parts: {
      memory: {
        collect: () => {
          memory.collections += 1;
        },
        outgrown: () => memory.full,
      },
    },
  });
  return { memory, site, visitor: await site.connected() };
}

type Growing = Awaited<ReturnType<typeof makeGrowing>>;

/** Whether it still runs a moment later. */
const isRunning = (site: Growing['site']): Promise<boolean> =>
  Promise.race([site.running.then(() => false), new Promise<boolean>((resolve) => setTimeout(resolve, 50, true))]);

/** An operation that an executor has prepared. */
async function prepare({ site, visitor }: Growing): Promise<Process> {
  visitor.send({ t: 'prepare', op: OP, account: null });
  const executor = await site.executor.process('prepare');
  executor.say({ t: 'ready', op: OP, token: 'AAAA.AAAA.AAAA' });
  await visitor.next('ready');
  return executor;
}

async function execute({ visitor }: Growing, executor: Process): Promise<void> {
  visitor.send({ t: 'command', op: OP, token: await commandToken(sampleCommand()) });
  expect(await executor.next()).toMatchObject({ t: 'prepare' });
  expect(await executor.next()).toMatchObject({ t: 'execute' });
}

describe('garbage is collected', () => {
  test('at the first beat, and not again while nothing happens', async () => {
    const growing = await makeGrowing();
    for (let beats = 0; beats < 3; beats += 1) await beat(growing.visitor);
    expect(growing.memory.collections).toBe(1);
  });

  test('again after something was done, once that is over', async () => {
    const growing = await makeGrowing();
    await beat(growing.visitor);
    const executor = await prepare(growing);
    await beat(growing.visitor);
    expect(growing.memory.collections).toBe(1);
    executor.end();
    await until(() => growing.site.log.some((line) => line.includes('ended without a command')));
    await beat(growing.visitor);
    await beat(growing.visitor);
    expect(growing.memory.collections).toBe(2);
  });
});

describe('a link that holds too much memory', () => {
  test('closes its connection in good order, says so, and ends', async () => {
    const { memory, site, visitor } = await makeGrowing();
    memory.full = true;
    vi.advanceTimersByTime(HEARTBEAT_INTERVAL_MS);
    expect(await visitor.closed).toEqual({ code: 1000 });
    expect(await site.running).toBe('outgrown');
    expect(site.log.filter((line) => line.includes('too much memory'))).toHaveLength(1);
  });

  test('ends as well while it has no connection', async () => {
    const { memory, site, visitor } = await makeGrowing();
    memory.full = true;
    visitor.terminate();
    expect(await site.running).toBe('outgrown');
  });

  test('stays for an operation that is prepared or carried out, and ends after it', async () => {
    const growing = await makeGrowing();
    const { memory, site, visitor } = growing;
    const executor = await prepare(growing);
    memory.full = true;
    await beat(visitor);
    await execute(growing, executor);
    await beat(visitor);
    executor.say({ t: 'receipt', token: await receiptToken(1, { state: 'DONE' }) });
    await visitor.next('receipt');
    await beat(visitor);
    expect(await isRunning(site)).toBe(true);
    executor.end();
    await new Promise((resolve) => setTimeout(resolve, 20));
    vi.advanceTimersByTime(HEARTBEAT_INTERVAL_MS);
    expect(await site.running).toBe('outgrown');
  });

  test('stays as long as an executor that died has left its operation open', async () => {
    const growing = await makeGrowing();
    const { memory, site, visitor } = growing;
    const executor = await prepare(growing);
    await execute(growing, executor);
    site.executor.open = OP;
    executor.die();
    memory.full = true;
    await new Promise((resolve) => setTimeout(resolve, 20));
    await beat(visitor);
    const resumed = await site.executor.process('resume');
    await beat(visitor);
    expect(await isRunning(site)).toBe(true);
    site.executor.open = null;
    resumed.end();
    await until(() => site.executor.reports === 3);
    await new Promise((resolve) => setTimeout(resolve, 20));
    vi.advanceTimersByTime(HEARTBEAT_INTERVAL_MS);
    expect(await site.running).toBe('outgrown');
  });

  test('also stays when its connection is lost meanwhile', async () => {
    const growing = await makeGrowing();
    const { memory, site } = growing;
    await execute(growing, await prepare(growing));
    memory.full = true;
    growing.visitor.terminate();
    const again = await site.plane.visitor();
    expect((await again.challenge()).ctr).toBe(1);
  });
});

describe('the measure', () => {
  const memoryOf = (...sizes: number[]) =>
    processMemory(
      128,
      () => (sizes.shift() ?? 0) * MIB,
      () => {},
    );

  test.each([
    ['an ordinary size', [60, 100], false],
    ['exactly the most that is allowed', [60, 128], false],
    ['more than that', [60, 128.1], true],
    ['twice of what was much from the beginning', [100, 200], false],
    ['more than twice of that', [100, 200.1], true],
  ])('%s: %j', (_, sizes, outgrown) => {
    const memory = memoryOf(...sizes);
    memory.collect();
    expect(memory.outgrown()).toBe(outgrown);
  });

  test('holds before the first collection, too', () => expect(memoryOf(129).outgrown()).toBe(true));
});

describe('in a process of its own', () => {
  const run = (program: string, ...args: string[]) =>
    execFileSync(process.execPath, ['--input-type=module', '-e', `${program}`, ...args], { encoding: 'utf8' });

  test('a collection gives memory back, and leaves no collector behind', () => {
    const output = run(`
      import { processMemory } from ${JSON.stringify(MODULE)};
      let waste = Array.from({ length: 1e5 }, (_, i) => ({ i, text: 'x' + i }));
      waste = undefined;
      const before = process.memoryUsage().heapTotal;
      processMemory(128).collect();
      console.log(before - process.memoryUsage().heapTotal > 1e6, typeof gc);`);
    expect(output).toBe('true undefined\n');
  });

  test('starting anew keeps the process’s number, its arguments and its output', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'latchkey-anew-'));
    try {
      const program = join(import.meta.dirname, 'start-anew-program.ts');
      const output = execFileSync(process.execPath, [program, join(folder, 'trace')], { encoding: 'utf8' });
      const [first, second, ...more] = output.trim().split('\n');
      expect(second).toBe(first);
      expect(more).toEqual([]);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
