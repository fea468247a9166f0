// Both engines for tests that hold for either: each gives places of new, empty databases.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'vitest';
import type { Place } from '../../../control-plane/store/engine.ts';
import { unavailable } from '../../requirements.ts';
import { POSTGRES_COMMAND, PostgresServer, postgresPrograms } from './postgres-server.ts';

export type Databases = Readonly<{
  /** Of a new, empty database. Ends the running test where the engine is not there. */
  place(context: Pick<TestContext, 'skip'>): Promise<Place>;
  stop(): Promise<void>;
}>;

export const engines: readonly Readonly<{ name: string; start(): Promise<Databases> }>[] = [
  { name: 'SQLite', start: async () => sqliteDatabases() },
  { name: 'PostgreSQL', start: postgresDatabases },
];

function sqliteDatabases(): Databases {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-store-'));
  let count = 0;
  return {
    async place() {
      count += 1;
      return { file: join(folder, `${count}.db`) };
    },
    stop: async () => rmSync(folder, { recursive: true }),
  };
}

async function postgresDatabases(): Promise<Databases> {
  const server = postgresPrograms() === null ? null : await PostgresServer.start();
  return {
    async place(context) {
      if (!server) return unavailable(context, 'PostgreSQL', POSTGRES_COMMAND);
      return server.database();
    },
    stop: async () => server?.stop(),
  };
}
