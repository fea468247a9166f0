// One `serve` a data folder. The lock is SQLite's lock on a file, which the kernel drops with the process however it ends;
// a file that merely exists would outlive a crash.

import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, Failure } from '../../protocol/failure.ts';

/** SQLITE_BUSY (sqlite.org/rescode.html). */
const SQLITE_BUSY = 5;
const LOOK_AGAIN_MS = 50;

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

/** Waits for a holder that is about to end; throws `DATA_IN_USE` where it does not. */
export async function lockDataWithin(path: string, withinMs: number): Promise<DataLock> {
  for (const until = performance.now() + withinMs; ; ) {
    try {
      return lockData(path);
    } catch (error) {
      if (codeOf(error) !== 'DATA_IN_USE' || performance.now() > until) throw error;
    }
    await sleep(LOOK_AGAIN_MS);
  }
}
