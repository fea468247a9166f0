// Where the time of an operation goes, for the log at debug level and so for benchmarks. Names and times only.

import type { ExecutorParts } from './parts.ts';

export type MarkName = 'command_received' | 'verified' | 'accepted' | 'begun' | 'in_force' | 'proven';

/** Notes a moment in milliseconds of the monotonic clock. */
export function mark({ log, clock }: ExecutorParts, op: string, name: MarkName): void {
  log.debug({ op, mark: name, mono: clock.monotonicMs() }, 'mark');
}
