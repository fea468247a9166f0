// Randomness of a process that was started for it. Windows has no file to read the kernel's randomness from, and Node's own
// generator is seeded once: a process that is resumed from a snapshot of the machine would hand out again what it handed
// out after the snapshot. A fresh process has nothing from before, and takes its seed from the system as it is now.

import { execFileSync } from 'node:child_process';
import type { Random } from '../ports/random.ts';

/** Most bytes in one request: a caller that wants more has made a mistake. */
const REQUEST_BYTES_MAX = 65_536;
const TIMEOUT_MS = 20_000;
const PROGRAM = 'process.stdout.write(require("node:crypto").randomBytes(Number(process.argv[1])))';

export function randomFreshProcess(env: Readonly<Record<string, string>>, node = process.execPath): Random {
  return {
    bytes(count) {
      if (!Number.isInteger(count) || count < 0 || count > REQUEST_BYTES_MAX) throw new RangeError('count');
      const options = { env, timeout: TIMEOUT_MS, maxBuffer: count + 1, windowsHide: true } as const;
      const output = execFileSync(node, ['-e', PROGRAM, String(count)], options);
      if (output.length !== count) throw new Error('no randomness');
      const bytes = Uint8Array.from(output);
      output.fill(0);
      return bytes;
    },
  };
}
