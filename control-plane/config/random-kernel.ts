// Randomness read from the kernel at the time of use. Keys, tokens and nonces come from here alone: it must never keep a
// byte, so a machine resumed from a snapshot does not hand out what it held before.

import { closeSync, openSync, readSync } from 'node:fs';

/** Most bytes in one request: a caller that wants more has made a mistake. */
const REQUEST_BYTES_MAX = 4_096;

export type RandomBytes = (count: number) => Uint8Array;

export function randomKernel(device = '/dev/urandom'): RandomBytes {
  return (count) => {
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
  };
}
