// Time as the executor may know it. The guest's wall clock is not here: nothing decides by it.

export type Clock = {
  /** Milliseconds of CLOCK_MONOTONIC; only differences mean anything, and only within one boot. */
  monotonicMs(): number;
  /** Resolves after at least that long, or earlier when the signal aborts (it then resolves, too). */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
};
