// Reads a small configuration file that may lie in a user's folder, without waiting on what it turns out to be. Never
// writes, and never trusts what it read.

import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { errnoOf } from './errno.ts';

const BYTES_MAX = 65_536;

/** A small regular file that anyone may have put there; `undefined` where there is none. */
export function readSmall(path: string): Buffer | undefined {
  let fd: number;
  try {
    // Non-blocking: a pipe in its place must not hold the program up.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return undefined;
    throw error;
  }
  try {
    const { size } = fstatSync(fd);
    if (!fstatSync(fd).isFile() || size > BYTES_MAX) throw new Error('not a small regular file');
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}
