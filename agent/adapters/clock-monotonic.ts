// CLOCK_MONOTONIC and sleeping by it. Never reads the wall clock, which the guest's owner can set.

import type { Clock } from '../ports/clock.ts';

export function clockMonotonic(): Clock {
  return {
    monotonicMs: () => Number(process.hrtime.bigint() / 1_000_000n),
    sleep(ms, signal) {
      return new Promise((resolve) => {
        if (signal?.aborted) return resolve();
        const wake = (): void => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', wake);
          resolve();
        };
        const timer = setTimeout(wake, ms);
        signal?.addEventListener('abort', wake, { once: true });
      });
    },
  };
}
