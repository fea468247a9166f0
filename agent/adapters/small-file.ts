// Reads a small file that anyone may have put there: never opens what is not a regular file, for to open a pipe, a device
// or a watchdog is to act on it; never reads on without end; and never trusts what it read. Never writes.

import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { errnoOf } from './errno.ts';

const BYTES_MAX = 65_536;
/** open(2): a handle on a path, which has no effect on what lies there. Node has no name for it. */
const O_PATH = 0x20_0000;

/** A small regular file; `undefined` where there is none. */
export function readSmall(path: string): Buffer | undefined {
  const fd = openRegular(path, 0, (stats) => {
    if (stats.size > BYTES_MAX) throw new Error('not a small file');
  });
  if (fd === undefined) return undefined;
  try {
    return readAtMost(fd, BYTES_MAX);
  } finally {
    closeSync(fd);
  }
}

/** Opens for reading what `check` does not throw at; `undefined` where there is nothing. */
export function openRegular(path: string, flags: number, check: (stats: Stats) => void): number | undefined {
  let handle: number;
  try {
    handle = openSync(path, O_PATH | flags);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return undefined;
    throw error;
  }
  try {
    const stats = fstatSync(handle);
    check(stats);
    if (!stats.isFile()) throw new Error('not a regular file');
    return openSync(`/proc/self/fd/${handle}`, constants.O_RDONLY);
  } finally {
    closeSync(handle);
  }
}

/** The whole content. Its size says nothing: a file may grow, and those of the kernel have none. */
export function readAtMost(fd: number, bytesMax: number): Buffer {
  const buffer = Buffer.alloc(bytesMax + 1);
  let length = 0;
  for (let read = -1; read !== 0 && length <= bytesMax; length += read) {
    read = readSync(fd, buffer, length, buffer.length - length, null);
  }
  if (length > bytesMax) throw new Error('not a small file');
  return buffer.subarray(0, length);
}
