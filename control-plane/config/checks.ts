// What several options are held to: which hosts are this machine, and which files are fit to be read.

import { realpathSync, type Stats, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { dirname } from 'node:path';
import { Failure } from '../../protocol/failure.ts';

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** Throws `CONFIG_INVALID` naming the option; a file with a secret must be its owner's alone. */
export function demandFile(path: string, field: string, isPrivate: boolean): void {
  let mode: number;
  try {
    mode = statSync(path).mode;
  } catch (cause) {
    throw new Failure('CONFIG_INVALID', { field, reason: (cause as NodeJS.ErrnoException).code ?? 'error' }, cause);
  }
  if (isPrivate && (mode & 0o077) !== 0) {
    throw new Failure('CONFIG_INVALID', { field, reason: 'others_may_read_it' });
  }
}

/** Whether anybody but root and us could change what that path leads to, or put something else in its place. */
export function othersMayReplace(path: string): boolean {
  const own = process.geteuid?.();
  const isTheirs = ({ uid, mode }: Stats, sticky: boolean) =>
    (uid !== 0 && uid !== own) || ((mode & 0o022) !== 0 && !(sticky && (mode & 0o1000) !== 0));
  const upwards = (folder: string): string[] =>
    folder === dirname(folder) ? [folder] : [folder, ...upwards(dirname(folder))];
  const folders = [...upwards(dirname(path)), ...upwards(dirname(realpathSync(path)))];
  return isTheirs(statSync(path), false) || folders.some((folder) => isTheirs(statSync(folder), true));
}
