// Kysely over `node:sqlite`. There is one connection; Kysely itself hands it to one holder at a time, because its SQLite
// adapter says that there cannot be several (a test holds it to that: a statement of somebody else inside a transaction
// would be rolled back with it).

import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { CompiledQuery, type DatabaseConnection, type Dialect } from 'kysely';
import { BaseSqliteDialect, buildQueryFn, GenericSqliteDriver } from 'kysely-generic-sqlite';
import { Failure } from '../../protocol/failure.ts';
import type { Heard } from './bell.ts';
import type { Engine, Migration } from './engine.ts';
import { demandKnown } from './migrations.ts';

/** Throws `DATABASE_NEWER`, before anything is written, or `DATABASE_UNUSABLE`. */
export function openSqlite(file: string): Engine {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(file);
    demandKnown(versionOf(db));
    // `secure_delete`: ciphertext that was collected is overwritten, not only forgotten.
    db.exec(
      'PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA busy_timeout=5000; PRAGMA secure_delete=ON',
    );
    db.function('clock_ms', () => Date.now());
    return engineOf(db, file);
  } catch (cause) {
    db?.close();
    throw unusable(cause, file);
  }
}

function engineOf(db: DatabaseSync, file: string): Engine {
  // One program: whoever rings is heard in it alone.
  let heard: Heard = () => undefined;
  return {
    dialect: sqliteDialect(db),
    version: async () => versionOf(db),
    apply: async (step) => named(file, () => inTransaction(db, 'COMMIT', () => applyStep(db, step))),
    rehearse: async (steps) =>
      named(file, () =>
        inTransaction(db, 'ROLLBACK', () => {
          for (const step of steps) applyStep(db, step);
        }),
      ),
    clockMs: async () => Date.now(),
    check: async () =>
      named(file, () => {
        const found = Object.values(db.prepare('PRAGMA quick_check(1)').get() ?? {})[0];
        if (found !== 'ok') throw new Failure('DATABASE_UNUSABLE', { file, reason: 'quick_check' });
      }),
    isShared: false,
    isTransient: () => false,
    listen(listener) {
      heard = listener;
      return async () => undefined;
    },
    tell: async (vm) => heard(vm),
    close: async () => db.close(),
  };
}

function named(file: string, work: () => void): void {
  try {
    work();
  } catch (cause) {
    throw unusable(cause, file);
  }
}

function unusable(cause: unknown, file: string): Failure {
  if (cause instanceof Failure) return cause;
  const { errcode } = cause as { errcode?: number };
  return new Failure('DATABASE_UNUSABLE', { file, reason: `sqlite_${errcode ?? 'error'}` }, cause);
}

function versionOf(db: DatabaseSync): number {
  return Number(db.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
}

function applyStep(db: DatabaseSync, { version, sql, sqlite = '' }: Migration): void {
  if (versionOf(db) < version) db.exec(`${sql}; ${sqlite}; PRAGMA user_version = ${version}`);
}

function inTransaction(db: DatabaseSync, end: 'COMMIT' | 'ROLLBACK', work: () => void): void {
  db.exec('BEGIN IMMEDIATE');
  try {
    work();
    db.exec(end);
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}

function sqliteDialect(db: DatabaseSync): Dialect {
  return new BaseSqliteDialect(() => new SqliteDriver(db));
}

/** SQLITE_BUSY, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, NOTADB (sqlite.org/rescode.html): nothing that a statement did. */
const ENVIRONMENT = new Set([5, 8, 10, 11, 13, 14, 26]);

class SqliteDriver extends GenericSqliteDriver {
  readonly #db: DatabaseSync;

  constructor(db: DatabaseSync) {
    // Whoever opened the database closes it: Kysely would not, had nobody asked it anything.
    super(() => ({ db, close: () => undefined, query: buildQueryFn(executorOf(db)) }));
    this.#db = db;
  }

  /** Takes the write lock at once: a transaction never fails half-way for want of it. */
  override async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin immediate'));
  }

  /** On a full disk SQLite rolls back by itself; doing it again would only hide why. */
  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    if (this.#db.isTransaction) await super.rollbackTransaction(connection);
  }
}

function executorOf(db: DatabaseSync) {
  const values = (parameters?: readonly unknown[]) => (parameters ?? []) as SQLInputValue[];
  return {
    all: (sql: string, parameters?: readonly unknown[]) => atTheEdge(() => db.prepare(sql).all(...values(parameters))),
    run: (sql: string, parameters?: readonly unknown[]) =>
      atTheEdge(() => {
        const { changes, lastInsertRowid } = db.prepare(sql).run(...values(parameters));
        return { numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
      }),
  };
}

/** What the disk or another program did is `DATABASE_UNUSABLE`; a statement of ours that is wrong stays a defect. */
function atTheEdge<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    const errcode = (cause as { errcode?: number }).errcode ?? 0;
    // Extended codes carry the kind in their low byte.
    if (!ENVIRONMENT.has(errcode & 0xff)) throw cause;
    throw new Failure('DATABASE_UNUSABLE', { reason: `sqlite_${errcode}` }, cause);
  }
}
