// How long an operation was in each state: whose clock saw both ends, and that nothing is made up where none did.

import { describe, expect, test } from 'vitest';
import { enteredAt, type StateTime, timeBetween, withTime } from '../../../control-plane/core/times.ts';
import { T0 } from './samples.ts';

const A = '00000000-0000-4000-8000-00000000000a';
const B = '00000000-0000-4000-8000-00000000000b';
const said = (at: number, boot: string, mono: number, late = false) => ({ at, machine: { boot, mono }, late });

describe('the time between two moments', () => {
  test('is by the machine’s clock within a boot, however late both were heard of', () => {
    const from = said(T0, A, 1_000, true);
    expect(timeBetween(from, said(T0 + 9_000, A, 1_250))).toEqual({ ms: 250, measuredBy: 'machine' });
    expect(timeBetween(from, said(T0, A, 1_250, true))).toEqual({ ms: 250, measuredBy: 'machine' });
  });

  test('is by the control plane’s clock across boots, and before the machine holds it', () => {
    expect(timeBetween(said(T0, A, 1_000), said(T0 + 14_000, B, 900))).toEqual({
      ms: 14_000,
      measuredBy: 'control_plane',
    });
    expect(timeBetween(enteredAt(T0), said(T0 + 70, A, 5))).toEqual({ ms: 70, measuredBy: 'control_plane' });
    expect(timeBetween(said(T0, A, 5), enteredAt(T0 + 70))).toEqual({ ms: 70, measuredBy: 'control_plane' });
  });

  test('is not known across boots where the first was heard of late', () => {
    expect(timeBetween(said(T0, A, 1_000, true), said(T0 + 1, B, 900, true))).toEqual({ ms: null, measuredBy: null });
  });

  test('is never negative: a clock that went back is not believed', () => {
    expect(timeBetween(said(T0, A, 1_000), said(T0 + 50, A, 1))).toEqual({ ms: 50, measuredBy: 'control_plane' });
    expect(timeBetween(enteredAt(T0), enteredAt(T0 - 1))).toEqual({ ms: 0, measuredBy: 'control_plane' });
  });
});

describe('the list of states', () => {
  const time = (state: 'QUEUED' | 'PREPARED' | 'REBOOTING', ms: number | null, n: number | null): StateTime => ({
    state,
    ms,
    measuredBy: 'control_plane',
    to: 'SENT',
    n,
  });

  test('holds a state before the machine held it once, with its times together', () => {
    const times = [time('QUEUED', 5, null), time('PREPARED', 7, null), time('QUEUED', 3, null)];
    expect(times.reduce<readonly StateTime[]>(withTime, [])).toMatchObject([
      { state: 'PREPARED', ms: 7 },
      { state: 'QUEUED', ms: 8 },
    ]);
  });

  test('holds a state that the machine told twice, twice', () => {
    const times = [time('REBOOTING', 120_000, 6), time('REBOOTING', 9_000, 7)];
    expect(times.reduce<readonly StateTime[]>(withTime, [])).toEqual(times);
  });
});
