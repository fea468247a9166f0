// The database of the control plane: opened, migrated, and written in transactions of which each is durable when it
// returns. Whoever waits for events is woken after a commit, never before.

import { DatabaseSync } from 'node:sqlite';
import { Kysely, type Transaction } from 'kysely';
import { Failure } from '../../protocol/failure.ts';
import { Bell } from './bell.ts';
import { sqliteDialect } from './dialect.ts';
import { demandKnownVersion, migrate } from './migrations.ts';
import type { Tables } from './tables.ts';

/** A query runner: the database itself, or the transaction that is under way. */
export type Db = Kysely<Tables>;
export type Write = Transaction<Tables>;

export class Store {
  readonly db: Db;
  readonly bell = new Bell();

  readonly #file: DatabaseSync;

  private constructor(file: DatabaseSync) {
    this.#file = file;
    this.db = new Kysely<Tables>({ dialect: sqliteDialect(file) });
  }

  /** Throws `DATABASE_NEWER` or `DATABASE_UNUSABLE`. */
  static open(path: string): Store {
    let db: DatabaseSync | undefined;
    try {
      db = new DatabaseSync(path);
      demandKnownVersion(db);
      // `secure_delete`: ciphertext that was collected is overwritten, not only forgotten.
      db.exec(
        'PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=5000; PRAGMA secure_delete=ON',
      );
      migrate(db);
    } catch (cause) {
      db?.close();
      if (cause instanceof Failure) throw cause;
      const { errcode } = cause as { errcode?: number };
      throw new Failure('DATABASE_UNUSABLE', { file: path, reason: `sqlite_${errcode ?? 'error'}` }, cause);
    }
    return new Store(db);
  }

  /** All or nothing, and durable. The work must use the transaction it is given and nothing else of the store. */
  async write<T>(work: (trx: Write) => Promise<T>): Promise<T> {
    const result = await this.db.transaction().execute(work);
    this.bell.ring();
    return result;
  }

  async close(): Promise<void> {
    await this.db.destroy();
    this.#file.close();
  }
}
