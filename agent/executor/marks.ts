// Where the time of an operation goes: moments kept in memory while it counts, and written to the log, at debug level, once
// it does not. Names and times only.

import type { Logger } from 'pino';

export type MarkName = 'command_received' | 'verified' | 'accepted' | 'begun' | 'in_force' | 'proven';

/** Notes a moment. An executor serves one operation, so a name stands for one moment. */
export function mark(name: MarkName): void {
  performance.mark(name);
}

/** Logs the moments in milliseconds since this process began. */
export function logMarks(log: Logger, op: string): void {
  const moments = performance.getEntriesByType('mark').map(({ name, startTime }) => [name, startTime]);
  log.debug({ op, marks: Object.fromEntries(moments) }, 'marks');
}
