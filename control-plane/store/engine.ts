// What the store asks of a database engine. There are two, and a contract of tests holds both to the same behaviour: a
// transaction is the only writer while it lasts, also among processes, and is durable once it is committed.

import type { Dialect } from 'kysely';

export type Migration = Readonly<{
  version: number;
  sql: string;
  /** What one engine needs beside it. */
  sqlite?: string;
  postgres?: string;
}>;

export type Engine = Readonly<{
  dialect: Dialect;
  /** The schema's version; 0 where there is none yet. */
  version(): Promise<number>;
  /** Applies one step whole or not at all; nothing where another process did it meanwhile. */
  apply(step: Migration): Promise<void>;
  /** Whether the same transaction may well succeed when it is tried again. */
  isTransient(error: unknown): boolean;
  close(): Promise<void>;
}>;

export type PostgresPlace = Readonly<{
  /** A name, an address, or the folder of its socket. */
  host: string;
  port: number;
  user: string;
  database: string;
  /** Read for each connection: a password that is changed needs no restart. */
  passwordFile: string | null;
  /** Demanded, with this authority in PEM or those of the system; `null` on this machine alone. */
  tls: Readonly<{ ca: string | null }> | null;
}>;

/** Where the database is. */
export type Place = Readonly<{ file: string }> | PostgresPlace;
