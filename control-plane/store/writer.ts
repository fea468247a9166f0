// Group commit. Durability is what a transaction costs, so whatever waits while one is committed goes into the next one
// together, each in a savepoint of its own: one that fails takes nobody else with it, and none is answered before it is
// durable. A thousand machines that come back at once hold up an operator's command for a few commits, not for a thousand.

import { AsyncResource } from 'node:async_hooks';
import type { ControlledTransaction, Kysely, Transaction } from 'kysely';
import type { Engine } from './engine.ts';
import type { Tables } from './tables.ts';

type Work<T> = (trx: Transaction<Tables>) => Promise<T>;
type Job = Readonly<{ work: Work<unknown>; resolve(value: unknown): void; reject(error: unknown): void }>;
type Outcome = Readonly<{ ok: true; value: unknown }> | Readonly<{ ok: false; error: unknown }>;

/** Works in one commit; more would let the first of them wait for the last. */
const WORKS_MAX = 128;
const TRIES_MAX = 5;

export class Writer {
  readonly #db: Kysely<Tables>;
  readonly #isTransient: Engine['isTransient'];
  readonly #onCommit: () => void;
  #waiting: Job[] = [];
  #running: Promise<void> | undefined;

  constructor(db: Kysely<Tables>, isTransient: Engine['isTransient'], onCommit: () => void) {
    this.#db = db;
    this.#isTransient = isTransient;
    this.#onCommit = onCommit;
  }

  write<T>(work: Work<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      // It runs in somebody's turn, and belongs to whoever asked.
      this.#waiting.push({ work: AsyncResource.bind(work), resolve: resolve as Job['resolve'], reject });
      this.#running ??= this.#run();
    });
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Once nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async #run(): Promise<void> {
    // All that this turn of the event loop brings goes together.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) await this.#together(this.#waiting.splice(0, WORKS_MAX));
    this.#running = undefined;
  }

  async #together(jobs: readonly Job[]): Promise<void> {
    try {
      const outcomes = jobs.length > 1 ? await this.#commit(jobs) : null;
      if (outcomes) return settle(jobs, outcomes);
    } catch (error) {
      // Whether it was committed nobody can say, so nothing is tried again.
      for (const job of jobs) job.reject(error);
      return;
    }
    for (const job of jobs) await this.#alone(job);
  }

  /** What came of each; `null` where the transaction was lost before its commit. Throws where the commit fails. */
  async #commit(jobs: readonly Job[]): Promise<readonly Outcome[] | null> {
    const trx = await this.#db
      .startTransaction()
      .execute()
      .catch(() => null);
    if (!trx) return null;
    const outcomes: Outcome[] = [];
    try {
      for (const { work } of jobs) outcomes.push(await this.#savepoint(trx, work));
    } catch {
      await trx
        .rollback()
        .execute()
        .catch(() => undefined);
      return null;
    }
    await trx.commit().execute();
    this.#onCommit();
    return outcomes;
  }

  /** Throws where the transaction is lost, or better begun again. */
  async #savepoint(trx: ControlledTransaction<Tables>, work: Work<unknown>): Promise<Outcome> {
    const inner = await trx.savepoint('work').execute();
    try {
      const value = await work(inner);
      await inner.releaseSavepoint('work').execute();
      return { ok: true, value };
    } catch (error) {
      if (this.#isTransient(error)) throw error;
      await inner.rollbackToSavepoint('work').execute();
      return { ok: false, error };
    }
  }

  async #alone({ work, resolve, reject }: Job): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        const value = await this.#db.transaction().execute(work);
        this.#onCommit();
        return resolve(value);
      } catch (error) {
        if (tries >= TRIES_MAX || !this.#isTransient(error)) return reject(error);
      }
    }
  }
}

function settle(jobs: readonly Job[], outcomes: readonly Outcome[]): void {
  for (const [index, { resolve, reject }] of jobs.entries()) {
    const outcome = outcomes[index];
    if (outcome?.ok) resolve(outcome.value);
    else reject(outcome?.error);
  }
}
