// The log of a process: one JSON object a line on standard error. A line that a request caused names that request, and the
// operation that it is about, so that what one client did can be found in all that was logged, the signer's log included.

import { type Logger, pino } from 'pino';
import { requestScope } from './request-scope.ts';

type Sink = Readonly<{ write(line: string): void }>;

export function openLog(part: string, level: string, sink: Sink = pino.destination(2)): Logger {
  return pino({ level, base: { part }, mixin: () => ({ ...requestScope() }) }, sink);
}
