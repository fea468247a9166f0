// What a starting link does before it loads anything else: an executor is a process, too, and its answer takes longest.

import { connect, type Socket } from 'node:net';
import type { ExecutorRequest } from './executor-client.ts';

/** A fresh executor that was asked for its report. Nothing of its answer is lost while nobody listens. */
export function askFirst(path: string): Socket {
  const request: ExecutorRequest = { t: 'receipts' };
  const executor = connect(path);
  executor.on('error', () => executor.destroy());
  executor.end(`${JSON.stringify(request)}\n`);
  return executor;
}
