// What the system's own errors mean to this program. Pure; never decides what to do about them.

import { Failure } from '../../protocol/failure.ts';

/** The symbolic errno (`ENOENT`) of a system error, or `undefined` for any other value. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || error instanceof Failure) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** `FS_READONLY` or `DISK_FULL` where the error says so, else `undefined`. */
export function storageFailure(error: unknown): Failure | undefined {
  switch (errnoOf(error)) {
    case 'EROFS':
      return new Failure('FS_READONLY', { reason: 'readonly' }, error);
    case 'ENOSPC':
    case 'EDQUOT':
      return new Failure('DISK_FULL', { reason: 'full' }, error);
    default:
      return undefined;
  }
}
