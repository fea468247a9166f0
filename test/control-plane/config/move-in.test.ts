// An installation of the older layout, whose database lay beside the folders: moved without loss, also where a move was cut off.

import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { moveIn } from '../../../control-plane/config/installation.ts';
import { type Paths, pathsIn } from '../../../control-plane/config/paths.ts';

let paths: Paths;
beforeEach(() => {
  paths = pathsIn(mkdtempSync(join(tmpdir(), 'latchkey-move-')));
  mkdirSync(paths.gatewayFolder);
});
afterEach(() => rmSync(paths.data, { recursive: true }));

/** As a control plane that was killed leaves it: what was committed last is in the log beside it alone. */
function older(): void {
  const live = join(paths.data, 'live.db');
  const db = new DatabaseSync(live);
  db.exec('PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE kept (n); INSERT INTO kept VALUES (7)');
  for (const part of ['', '-wal', '-shm']) cpSync(live + part, paths.databaseBefore + part);
  db.close();
  rmSync(live);
}

function kept(): unknown {
  const db = new DatabaseSync(paths.database);
  try {
    return db.prepare('SELECT n FROM kept').get();
  } finally {
    db.close();
  }
}

const left = () => readdirSync(paths.data).filter((name) => name.startsWith('latchkey.db'));

test('with everything that was committed, and nothing is left behind', () => {
  older();
  moveIn(paths);
  expect([kept(), left()]).toEqual([{ n: 7 }, []]);
});

test.each([[['-wal']], [['-wal', '-shm']]])('by the next start where %j had been moved', (moved) => {
  older();
  for (const part of moved) renameSync(paths.databaseBefore + part, paths.database + part);
  moveIn(paths);
  expect([kept(), left()]).toEqual([{ n: 7 }, []]);
});

test('never over a database that is there, and nothing where there was none', () => {
  moveIn(paths);
  expect(existsSync(paths.database)).toBe(false);
  older();
  writeFileSync(paths.database, 'newer');
  moveIn(paths);
  expect(left()).toHaveLength(3);
});
