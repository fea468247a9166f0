// Randomness that repeats: the same seed gives the same bytes, so that a failing run can be run again.

import { createHash } from 'node:crypto';
import type { Random } from '../../../agent/ports/random.ts';

export function randomFake(seed: string): Random {
  let block = 0;
  return {
    bytes(count) {
      const bytes = new Uint8Array(count);
      for (let filled = 0; filled < count; ) {
        const next = createHash('sha256')
          .update(`${seed}:${block}`)
          .digest()
          .subarray(0, count - filled);
        bytes.set(next, filled);
        filled += next.length;
        block += 1;
      }
      return bytes;
    },
  };
}
