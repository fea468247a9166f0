// Files of the data folder: private, and whole or absent. A file appears under its name only after its bytes and its
// folder are on the disk. What the system says of a path becomes `PATH_UNWRITABLE`, with the cause kept.

import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { JsonValue } from '../../protocol/canonical.ts';
import { Failure } from '../../protocol/failure.ts';

/** Makes a folder that only its owner may enter, its parents included. */
export function makePrivateFolder(path: string, mode = 0o700): void {
  atTheEdge(path, () => {
    makeFolder(path);
    chmodSync(path, mode);
  });
}

/** By hand: `recursive` never returns where a file system says ENOENT of a name whose parent exists, as /proc does. */
function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    const parent = dirname(path);
    if (code !== 'ENOENT' || parent === path) throw error;
    makeFolder(parent);
    mkdirSync(path, { mode: 0o700 });
  }
}

/** Writes under another name, syncs, renames, and syncs the folder. What root writes is its folder's owner's. */
export function writePrivateFile(path: string, text: string, mode = 0o600): void {
  atTheEdge(path, () => {
    const fresh = `${path}.new`;
    rmSync(fresh, { force: true });
    // A new file and no other: in a folder of somebody else's that name could lead anywhere.
    const fd = openSync(fresh, 'wx', 0o600);
    try {
      const { uid, gid } = statSync(dirname(path));
      if (process.getuid?.() === 0) fchownSync(fd, uid, gid);
      fchmodSync(fd, mode);
      writeSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(fresh, path);
    syncFolder(dirname(path));
  });
}

/** For what every part of the control plane reads, and anybody may. */
export const PUBLIC_MODE = 0o644;

/** As `writePrivateFile`, and never over a file that is there: whether it was written. */
export function writeNewPrivateFile(path: string, text: string, mode = 0o600): boolean {
  const fresh = `${path}.${process.pid}.fresh`;
  writePrivateFile(fresh, text, mode);
  return atTheEdge(path, () => {
    try {
      linkSync(fresh, path);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    } finally {
      rmSync(fresh);
      syncFolder(dirname(path));
    }
  });
}

/** Far more than any of these files holds. */
const TEXT_BYTES_MAX = 1_048_576;

/**
 * The file's text, or `null` where there is none. Root reads in folders of others, too: what is no regular file is not
 * waited for, and what is too large is not read. Throws `CONFIG_INVALID` and `PATH_UNWRITABLE`.
 */
export function readIfThere(path: string): string | null {
  const fd = atTheEdge(path, () => {
    try {
      return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  });
  if (fd === null) return null;
  try {
    const found = fstatSync(fd);
    if (!found.isFile()) throw new Failure('CONFIG_INVALID', { file: path, reason: 'no_regular_file' });
    if (found.size > TEXT_BYTES_MAX) throw new Failure('CONFIG_INVALID', { file: path, reason: 'too_large' });
    return atTheEdge(path, () => readFileSync(fd, 'utf8'));
  } finally {
    closeSync(fd);
  }
}

/** `file` is what a reader of the error is told; throws `CONFIG_INVALID`. */
export function parseJson(text: string, file: string): JsonValue {
  try {
    return JSON.parse(text) as JsonValue;
  } catch (cause) {
    throw new Failure('CONFIG_INVALID', { file, reason: 'json' }, cause);
  }
}

/** What was renamed into it, or out of it, is that way from now on. */
export function syncFolder(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function atTheEdge<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new Failure('PATH_UNWRITABLE', { path, reason: (cause as NodeJS.ErrnoException).code ?? 'error' }, cause);
  }
}
