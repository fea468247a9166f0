// `latchkey backup`: a folder that holds all that a control plane needs, taken while it runs. It is a data folder itself:
// `latchkey serve --data` on a copy of it is the restore. It holds the keys, so it is as secret as the original.

import { chownSync, constants, copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Failure } from '../../../protocol/failure.ts';
import { makePrivateFolder } from '../../config/files.ts';
import { pathsIn } from '../../config/paths.ts';
import { dataFolder } from '../connection.ts';
import { writeJson, writeLine } from '../view/text.ts';

export type BackupOptions = Readonly<{ data?: string; json?: boolean }>;

/** What belongs to a program that runs, and what a database keeps beside itself. */
const LIVING = /(^|\/)(lock|log|address|[^/]+\.db-(wal|shm|journal)|lock-journal)$/;

/** Throws `ALREADY_EXISTS` where something is there, `CONFIG_INVALID` where there is nothing to back up. */
export async function backUp(target: string, options: BackupOptions): Promise<void> {
  const data = options.data ?? dataFolder();
  if (!existsSync(pathsIn(data).installation)) {
    throw new Failure('CONFIG_INVALID', { field: 'data', reason: 'no_installation' });
  }
  if (existsSync(target)) throw new Failure('ALREADY_EXISTS', { path: target });
  // SQLite makes its files with the process's mask.
  process.umask(0o077);
  try {
    makePrivateFolder(target);
    const databases = copyFolder(data, target);
    if (options.json) writeJson({ event: 'backed_up', folder: target, databases });
    else
      writeLine(`Wrote ${target} (${databases.join(', ')}). It holds the keys: keep it as you keep the data folder.`);
  } catch (error) {
    rmSync(target, { recursive: true, force: true });
    throw error;
  }
}

/**
 * The databases that were in it. The signer's comes last: what it knows and the other does not yet is asked for again, but
 * what it had forgotten could be spent twice.
 */
function copyFolder(data: string, target: string): string[] {
  const entries = readdirSync(data, { recursive: true, withFileTypes: true });
  const within = ({ parentPath, name }: (typeof entries)[number]) => relative(data, join(parentPath, name));
  for (const folder of entries.filter((entry) => entry.isDirectory())) {
    mkdirSync(join(target, within(folder)), { recursive: true, mode: 0o700 });
  }
  const names = entries
    .filter((entry) => entry.isFile())
    .map(within)
    .filter((name) => !LIVING.test(name));
  const isDatabase = (name: string) => name.endsWith('.db');
  for (const name of names.filter((other) => !isDatabase(other))) copyOwn(join(data, name), join(target, name));
  const isSigners = (name: string) => name.startsWith('signer');
  const databases = names.filter(isDatabase).sort((one, other) => Number(isSigners(one)) - Number(isSigners(other)));
  for (const name of databases) snapshot(join(data, name), join(target, name));
  return databases;
}

/** Whoever takes a backup has it alone; `serve` gives its parts to its users again. */
function copyOwn(from: string, to: string): void {
  copyFileSync(from, to, constants.COPYFILE_EXCL);
  chownSync(to, process.geteuid?.() ?? 0, process.getegid?.() ?? 0);
}

/** As it is at one moment, however busy it is. */
function snapshot(from: string, to: string): void {
  try {
    const db = new DatabaseSync(from);
    try {
      db.exec('PRAGMA busy_timeout=5000');
      db.prepare('VACUUM INTO ?').run(to);
    } finally {
      db.close();
    }
  } catch (cause) {
    const { errcode } = cause as { errcode?: number };
    throw new Failure('DATABASE_UNUSABLE', { file: from, reason: `sqlite_${errcode ?? 'error'}` }, cause);
  }
}
