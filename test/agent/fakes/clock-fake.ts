// Time that passes only when the test says so, or as soon as everyone sleeps.

import type { Clock } from '../../../agent/ports/clock.ts';

type Sleeper = { untilMs: number; wake: () => void };

export class FakeClock implements Clock {
  #nowMs = 0;
  readonly #sleepers = new Set<Sleeper>();
  readonly #jumps: boolean;

  /** With `jumps`, a sleep moves the time to its end at once; else time stands until `pass`. */
  constructor({ jumps = true }: { jumps?: boolean } = {}) {
    this.#jumps = jumps;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  get sleepers(): number {
    return this.#sleepers.size;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return;
    if (this.#jumps) {
      this.pass(ms);
      return;
    }
    await new Promise<void>((resolve) => {
      const sleeper: Sleeper = {
        untilMs: this.#nowMs + ms,
        wake: () => {
          this.#sleepers.delete(sleeper);
          signal?.removeEventListener('abort', sleeper.wake);
          resolve();
        },
      };
      this.#sleepers.add(sleeper);
      signal?.addEventListener('abort', sleeper.wake, { once: true });
    });
  }

  pass(ms: number): void {
    this.#nowMs += ms;
    for (const sleeper of [...this.#sleepers]) if (sleeper.untilMs <= this.#nowMs) sleeper.wake();
  }
}
