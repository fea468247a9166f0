// The resident process's own memory: gives back what its start and each piece of work left behind, and tells when more is
// held than ever should be. It owns no timer: the link looks at it when it beats.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const MIB = 1_048_576;
/** A machine on which it begins with more than that may still double it, or the restarts would never end. */
const GROWTH_MAX = 2;

export type Memory = Readonly<{
  /** Collects garbage and gives free pages back to the system. Costs some tens of milliseconds. */
  collect(): void;
  /** Whether this process should be replaced by a fresh one. */
  outgrown(): boolean;
}>;

/** `maxMb`: what this process may hold, resident. */
export function processMemory(
  maxMb: number,
  residentBytes: () => number = process.memoryUsage.rss,
  collect = collectAll,
): Memory {
  let firstBytes: number | undefined;
  return {
    collect() {
      collect();
      firstBytes ??= residentBytes();
    },
    outgrown: () => residentBytes() > Math.max(maxMb * MIB, GROWTH_MAX * (firstBytes ?? 0)),
  };
}

/**
 * Keeps V8's compilers to machine code out of this process. It never works long enough for them to pay; but a few loops over
 * the bytes of a message are enough to start them, and then 8 MB of their pages stay in memory. Not on the command line, for
 * the reason below.
 */
export function interpretOnly(): void {
  for (const compiler of ['opt', 'maglev', 'sparkplug']) setFlagsFromString(`--no-${compiler}`);
}

/**
 * V8's most thorough collection, which also lets go of code that ran once, and compacts. It is asked for in a context of
 * its own: the same flag on the command line would make Node compile all of its own code anew at each start.
 */
function collectAll(): void {
  setFlagsFromString('--expose-gc');
  runInNewContext("gc({ type: 'major', execution: 'sync', flavor: 'last-resort' })");
  setFlagsFromString('--no-expose-gc');
}

/**
 * Replaces this process by a fresh one with the same arguments, number and output; where the system cannot do that, ends
 * it, and the service manager starts another. Never returns.
 */
export function startAnew(): never {
  if (process.execve)
    process.execve(process.execPath, [process.execPath, ...process.execArgv, ...process.argv.slice(1)]);
  process.exit(1);
}
