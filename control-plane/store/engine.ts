// What the store asks of a database engine. There are two, and a contract of tests holds both to the same behaviour: a
// transaction is the only writer while it lasts, also among processes, and is durable once it is committed.

import type { Dialect } from 'kysely';
import type { Heard } from './bell.ts';

export type Migration = Readonly<{
  version: number;
  sql: string;
  /** What one engine needs beside it. */
  sqlite?: string;
  postgres?: string;
}>;

export type Engine = Readonly<{
  /** Whether several programs may use the database at a time. */
  isShared: boolean;
  dialect: Dialect;
  /** The schema's version; 0 where there is none yet. */
  version(): Promise<number>;
  /** Applies one step whole or not at all; nothing where another process did it meanwhile. */
  apply(step: Migration): Promise<void>;
  /** Does all that these steps do, and undoes it. */
  rehearse(steps: readonly Migration[]): Promise<void>;
  /** The database's own clock. */
  clockMs(): Promise<number>;
  /** Throws `DATABASE_UNUSABLE` where it is damaged, or takes nothing. */
  check(): Promise<void>;
  /** Whether the same transaction may well succeed when it is tried again. */
  isTransient(error: unknown): boolean;
  /** Calls back at every ring, of this program and of others, until the returned function is called. */
  listen(heard: Heard): () => Promise<void>;
  /** Rings, without anything having been written. */
  tell(vm: string): Promise<void>;
  close(): Promise<void>;
}>;

export type PostgresPlace = Readonly<{
  /** A name, an address, or the folder of its socket. */
  host: string;
  port: number;
  user: string;
  database: string;
  password: string | null;
  /** Demanded, with this authority in PEM or those of the system; `null` on this machine alone. */
  tls: Readonly<{ ca: string | null }> | null;
}>;

/** Where the database is. */
export type Place = Readonly<{ file: string }> | PostgresPlace;
