// Wakes readers of the events table after a commit, and tells whoever looks after machines which one something happened to.
// What happened is in the tables, so a ring that nobody heard loses nothing but time.

/** `null`: any machine, as after rings that may have been missed. */
export type Heard = (vm: string | null) => void;

export class Bell {
  #waiting: (() => void)[] = [];
  #rings = 0;
  readonly #listeners = new Set<Heard>();

  /** Take this before reading; `next` then returns at once if it rang in between. */
  get rings(): number {
    return this.#rings;
  }

  ring(): void {
    this.#rings += 1;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  /** A ring that says which machine. */
  tell(vm: string | null): void {
    this.ring();
    for (const heard of this.#listeners) heard(vm);
  }

  /** Calls back at each ring that says which machine, until the returned function is called. */
  listen(heard: Heard): () => void {
    this.#listeners.add(heard);
    return () => this.#listeners.delete(heard);
  }

  next(since: number, signal: AbortSignal): Promise<void> {
    if (this.#rings !== since || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', wake);
        this.#waiting = this.#waiting.filter((other) => other !== wake);
        resolve();
      };
      signal.addEventListener('abort', wake, { once: true });
      this.#waiting.push(wake);
    });
  }
}
