// How long an operation was in each state, and by whose clock: by the machine's own monotonic one within one of its boots,
// by the control plane's across boots and before the machine holds the operation. What cannot be told is not made up.

import type { State } from '../../protocol/lifecycle.ts';

/** The moment at which a state was entered. `at` is the control plane's clock. */
export type Entered = Readonly<{
  at: number;
  /** Where the machine's receipt brought it: the boot, and the milliseconds of its monotonic clock. */
  machine: Readonly<{ boot: string; mono: number }> | null;
  /** The receipt had waited in the machine, so that `at` says nothing of when it was. */
  late: boolean;
}>;

/** A state that was left. `ms` is `null` where nobody's clock saw both of its ends. */
export type StateTime = Readonly<{
  state: State;
  ms: number | null;
  measuredBy: 'machine' | 'control_plane' | null;
  to: State;
  /** The receipt that ended it. */
  n: number | null;
}>;

export function enteredAt(at: number): Entered {
  return { at, machine: null, late: false };
}

export function timeBetween(from: Entered, to: Entered): Pick<StateTime, 'ms' | 'measuredBy'> {
  const [before, after] = [from.machine, to.machine];
  if (before && after && before.boot === after.boot && after.mono >= before.mono) {
    return { ms: after.mono - before.mono, measuredBy: 'machine' };
  }
  if (from.late) return { ms: null, measuredBy: null };
  return { ms: Math.max(0, to.at - from.at), measuredBy: 'control_plane' };
}

/** Before the machine holds it an operation may go to and fro for a day: each of those states stands there once. */
export function withTime(times: readonly StateTime[], time: StateTime): readonly StateTime[] {
  if (time.n !== null) return [...times, time];
  const isSame = ({ state, n }: StateTime) => state === time.state && n === null;
  const earlier = times.find(isSame)?.ms ?? 0;
  return [...times.filter((other) => !isSame(other)), { ...time, ms: time.ms === null ? null : earlier + time.ms }];
}
