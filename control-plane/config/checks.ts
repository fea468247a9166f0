// What several options are held to: which hosts are this machine, and which files are fit to be read.

import { statSync } from 'node:fs';
import { isIP } from 'node:net';
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
