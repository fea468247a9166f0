// Randomness read from the kernel. Never caches a byte and never keeps the device open: a process that is resumed from
// a snapshot of the machine must not hand out what it held before.

import { closeSync, openSync, readSync } from 'node:fs';
import type { Random } from '../ports/random.ts';

/** Most bytes in one request: a caller that wants more has made a mistake. */
const REQUEST_BYTES_MAX = 65_536;

export function randomKernel(device = '/dev/urandom'): Random {
  return {
    bytes(count) {
      if (!Number.isInteger(count) || count < 0 || count > REQUEST_BYTES_MAX) throw new RangeError('count');
      const bytes = new Uint8Array(count);
      const fd = openSync(device, 'r');
      try {
        // A read of the device may be cut short by a signal (random(4)).
        for (let filled = 0; filled < count; ) {
          const read = readSync(fd, bytes, filled, count - filled, null);
          if (read === 0) throw new Error(`${device} ended`);
          filled += read;
        }
      } finally {
        closeSync(fd);
      }
      return bytes;
    },
  };
}
