// Kysely over `node:sqlite`. The generic dialect hands its one connection to everybody at once, so statements of others
// would end up inside a transaction and be rolled back with it; here one holder at a time has the connection.

import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { CompiledQuery, type DatabaseConnection, type Dialect } from 'kysely';
import { BaseSqliteDialect, buildQueryFn, GenericSqliteDriver } from 'kysely-generic-sqlite';

export function sqliteDialect(db: DatabaseSync): Dialect {
  return new BaseSqliteDialect(() => new SerialDriver(db));
}

class SerialDriver extends GenericSqliteDriver {
  #held: Promise<void> = Promise.resolve();
  #release: () => void = () => {};

  constructor(db: DatabaseSync) {
    super(() => ({ db, close: () => db.close(), query: buildQueryFn(executorOf(db)) }));
  }

  override async acquireConnection(): Promise<DatabaseConnection> {
    const before = this.#held;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#held = promise;
    await before;
    this.#release = resolve;
    return super.acquireConnection();
  }

  override async releaseConnection(): Promise<void> {
    this.#release();
  }

  /** Takes the write lock at once: a transaction never fails half-way for want of it. */
  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'));
  }
}

function executorOf(db: DatabaseSync) {
  const values = (parameters?: readonly unknown[]) => (parameters ?? []) as SQLInputValue[];
  return {
    all: (sql: string, parameters?: readonly unknown[]) => db.prepare(sql).all(...values(parameters)),
    run: (sql: string, parameters?: readonly unknown[]) => {
      const { changes, lastInsertRowid } = db.prepare(sql).run(...values(parameters));
      return { numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
    },
  };
}
