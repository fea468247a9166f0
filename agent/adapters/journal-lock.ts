// One writer of the journal at a time, released by the writer's death. Never takes a lock from a living process, and
// needs no help after a crash or a power loss.
//
// Locks are numbered files, `writer.N`, each created whole and only if absent (link(2)). The highest one is in force;
// when its holder is dead or has let go, N + 1 may be made, which succeeds for one process only. Only the holder of a
// higher lock removes lower ones, so the highest is never removed and a process that comes late, and makes a number that
// was in use before, finds a higher one and gives up.

import { linkSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../../protocol/failure.ts';
import { errnoOf, storageFailure } from './errno.ts';
import { type Proc, procAt } from './proc.ts';

const LOCK = /^writer\.([0-9]{1,15})$/;

export type LockOptions = Readonly<{ folder: string; proc?: Proc; bootId?: () => string }>;

/** Takes the lock or throws `BUSY`. The result lets it go. */
export function lockWriter(options: LockOptions): () => void {
  const { folder } = options;
  const proc = options.proc ?? procAt();
  const bootId = (options.bootId ?? readBootId)();
  const own = JSON.stringify({ pid: process.pid, start: proc.startTime(process.pid), boot: bootId });

  const highest = listLocks(folder).at(-1) ?? 0;
  if (highest > 0 && isHeld(join(folder, `writer.${highest}`), bootId, proc)) throw new Failure('BUSY');
  const number = highest + 1;
  const path = join(folder, `writer.${number}`);
  if (!createWhole(path, own)) throw new Failure('BUSY');
  const locks = listLocks(folder);
  if (locks.at(-1) !== number) {
    rmSync(path, { force: true });
    throw new Failure('BUSY');
  }
  for (const lower of locks.slice(0, -1)) rmSync(join(folder, `writer.${lower}`), { force: true });
  return () => letGo(path);
}

/** Emptied, not removed: its number must stay taken. On a disk that cannot be written the lock ends with this process. */
function letGo(path: string): void {
  try {
    writeFileSync(path, '', { mode: 0o600 });
  } catch (error) {
    if (!storageFailure(error)) throw error;
  }
}

function listLocks(folder: string): readonly number[] {
  const numbers = readdirSync(folder).flatMap((name) => LOCK.exec(name)?.[1] ?? []);
  return numbers.map(Number).sort((a, b) => a - b);
}

/** Whether the file was created by this call; it is never seen without its content. */
function createWhole(path: string, content: string): boolean {
  const draft = `${path}.draft.${process.pid}`;
  try {
    writeFileSync(draft, content, { mode: 0o600 });
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function isHeld(path: string, bootId: string, proc: Proc): boolean {
  const holder = parseHolder(path);
  if (holder === undefined || holder.boot !== bootId) return false;
  // Another process may have the number by now.
  const start = proc.startTime(holder.pid);
  return start !== undefined && start === holder.start;
}

/** `undefined` for a lock that was let go. */
function parseHolder(path: string): { pid: number; start: string; boot: string } | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof value !== 'object' || value === null) return undefined;
    const { pid, start, boot } = value as Record<string, unknown>;
    if (typeof pid !== 'number' || typeof start !== 'string' || typeof boot !== 'string') return undefined;
    return { pid, start, boot };
  } catch {
    return undefined;
  }
}

function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
