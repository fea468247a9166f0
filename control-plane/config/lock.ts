// One `serve` a data folder. The lock is SQLite's lock on a file, which the kernel drops with the process however it ends;
// a file that merely exists would outlive a crash.

import { DatabaseSync } from 'node:sqlite';
import { Failure } from '../../protocol/failure.ts';

/** SQLITE_BUSY (sqlite.org/rescode.html). */
const SQLITE_BUSY = 5;

export type DataLock = Readonly<{ release(): void }>;

/** Throws `DATA_IN_USE` where another process holds it, and `PATH_UNWRITABLE`. */
export function lockData(path: string): DataLock {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path);
    db.exec('PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (cause) {
    db?.close();
    const { errcode } = cause as { errcode?: number };
    if (errcode === SQLITE_BUSY) throw new Failure('DATA_IN_USE', {}, cause);
    throw new Failure('PATH_UNWRITABLE', { path, reason: `sqlite_${errcode ?? 'error'}` }, cause);
  }
  const held = db;
  return { release: () => held.close() };
}
