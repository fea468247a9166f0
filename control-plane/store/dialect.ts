// Kysely over `node:sqlite`. There is one connection; Kysely itself hands it to one holder at a time, because its SQLite
// adapter says that there cannot be several (a test holds it to that: a statement of somebody else inside a transaction
// would be rolled back with it).

import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { CompiledQuery, type DatabaseConnection, type Dialect } from 'kysely';
import { BaseSqliteDialect, buildQueryFn, GenericSqliteDriver } from 'kysely-generic-sqlite';

export function sqliteDialect(db: DatabaseSync): Dialect {
  return new BaseSqliteDialect(() => new SqliteDriver(db));
}

class SqliteDriver extends GenericSqliteDriver {
  constructor(db: DatabaseSync) {
    // Whoever opened the database closes it: Kysely would not, had nobody asked it anything.
    super(() => ({ db, close: () => undefined, query: buildQueryFn(executorOf(db)) }));
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
