// Randomness and time as the kernel gives them.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { clockMonotonic } from '../../../agent/adapters/clock-monotonic.ts';
import { randomKernel } from '../../../agent/adapters/random-kernel.ts';

describe('randomness', () => {
  it('has the length asked for and does not repeat', () => {
    const random = randomKernel();
    expect([0, 1, 32, 65_536].map((count) => random.bytes(count).length)).toEqual([0, 1, 32, 65_536]);
    expect(random.bytes(32)).not.toEqual(random.bytes(32));
  });
  it('is read at each request, from the device’s beginning', () => {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-random-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const device = join(folder, 'device');
    writeFileSync(device, 'first');
    const random = randomKernel(device);
    expect(Buffer.from(random.bytes(5)).toString()).toBe('first');
    writeFileSync(device, 'other');
    expect(Buffer.from(random.bytes(5)).toString()).toBe('other');
  });
  it('fails rather than give fewer bytes', () => {
    expect(() => randomKernel('/dev/null').bytes(1)).toThrow();
    for (const count of [-1, 1.5, Number.NaN, 65_537]) expect(() => randomKernel().bytes(count)).toThrow(RangeError);
  });
});

describe('time', () => {
  it('does not go back, and a sleep lasts', async () => {
    const clock = clockMonotonic();
    const before = clock.monotonicMs();
    await clock.sleep(20);
    expect(clock.monotonicMs() - before).toBeGreaterThanOrEqual(19);
  });
  it('a sleep ends when it is aborted, before or meanwhile', async () => {
    const clock = clockMonotonic();
    await clock.sleep(600_000, AbortSignal.abort());
    const abort = new AbortController();
    const sleep = clock.sleep(600_000, abort.signal);
    abort.abort();
    await sleep;
  });
});
