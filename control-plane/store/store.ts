// The database of the control plane: opened, migrated, and written in transactions of which each is durable when it
// returns. Whoever waits for events is woken after a commit, never before.

import { Kysely, type Transaction } from 'kysely';
import { Bell } from './bell.ts';
import type { Engine, Place } from './engine.ts';
import { demandUpToDate, migrate, openEngine } from './schema.ts';
import type { Tables } from './tables.ts';
import { Writer } from './writer.ts';

/** A query runner: the database itself, or the transaction that is under way. */
export type Db = Kysely<Tables>;
export type Write = Transaction<Tables>;

export class Store {
  readonly db: Db;
  readonly bell = new Bell();

  readonly #engine: Engine;
  readonly #writer: Writer;
  readonly #deafen: () => Promise<void>;

  private constructor(engine: Engine) {
    this.#engine = engine;
    this.db = new Kysely<Tables>({ dialect: engine.dialect });
    this.#writer = new Writer(this.db, engine.isTransient, () => this.bell.ring());
    this.#deafen = engine.listen((vm) => this.bell.tell(vm));
  }

  /**
   * Brings it up to date, or demands that it is: programs that share a database must not surprise each other. Throws
   * `DATABASE_NEWER`, `DATABASE_OLDER` or `DATABASE_UNUSABLE`.
   */
  static async open(place: Place, { upToDate = false }: Readonly<{ upToDate?: boolean }> = {}): Promise<Store> {
    const engine = await openEngine(place);
    try {
      if (upToDate) await demandUpToDate(engine);
      else await migrate(engine);
      return new Store(engine);
    } catch (error) {
      await engine.close();
      throw error;
    }
  }

  /** Whether other programs may use it at the same time. */
  get isShared(): boolean {
    return this.#engine.isShared;
  }

  /**
   * All or nothing, and durable. The work must use the transaction it is given and nothing else of the store, and it may be
   * called again where it was undone.
   */
  write<T>(work: (trx: Write) => Promise<T>): Promise<T> {
    return this.#writer.write(work);
  }

  /** Whoever looks after that machine looks at once, in whichever program; else it would a little later. */
  async tell(vm: string): Promise<void> {
    await this.#engine.tell(vm).catch(() => undefined);
  }

  /** What the database has now; another process may have brought it on. */
  schemaVersion(): Promise<number> {
    return this.#engine.version();
  }

  /** Transactions that wait for a commit. */
  get writesWaiting(): number {
    return this.#writer.waiting;
  }

  async close(): Promise<void> {
    await this.#writer.idle();
    await this.#deafen();
    await this.db.destroy();
    await this.#engine.close();
  }
}
