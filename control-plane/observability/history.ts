// The history as counts: each event once, read forward from where the process began, whenever somebody asks. What is in the
// history cannot have happened unseen, so nothing that changes operations or machines has to know that it is counted.

import { EVENTS_PER_PAGE, eventsAfter, lastEventId, type StoredEvent } from '../store/events.ts';
import type { Store } from '../store/store.ts';

export class HistoryReader {
  readonly #store: Pick<Store, 'db'>;
  readonly #take: (event: StoredEvent) => void;
  #id: number;
  #reading: Promise<void> | undefined;

  private constructor(store: Pick<Store, 'db'>, id: number, take: (event: StoredEvent) => void) {
    this.#store = store;
    this.#id = id;
    this.#take = take;
  }

  /** From now on: `take` is given what happens after this. */
  static async open(store: Pick<Store, 'db'>, take: (event: StoredEvent) => void): Promise<HistoryReader> {
    return new HistoryReader(store, await lastEventId(store.db), take);
  }

  /** Takes everything that happened by now. Whoever asks meanwhile waits for the same. */
  catchUp(): Promise<void> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #read(): Promise<void> {
    for (;;) {
      const events = await eventsAfter(this.#store.db, {}, this.#id);
      for (const event of events) {
        this.#take(event);
        this.#id = event.id;
      }
      if (events.length < EVENTS_PER_PAGE) return;
    }
  }
}
