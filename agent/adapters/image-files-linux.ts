// The files of an image by path, through a walk of its own over every link: an absolute one begins at the image's root, and
// `..` ends there, as in the image itself. Removes one name at a time and never a folder with something in it.

import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmdirSync,
  type Stats,
  statSync,
  unlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../../protocol/failure.ts';
import type { ImageFile, ImageFiles } from '../ports/image-files.ts';
import { errnoOf, storageFailure } from './errno.ts';
import { readAtMost } from './small-file.ts';

/** path_resolution(7). */
const LINKS_MAX = 40;
/** More than any log folder that a person would keep in an image. */
const ENTRIES_MAX = 100_000;

/** Throws `IMAGE_INVALID` where no image is: an empty folder, to which nothing was mounted, must not look sealed. */
export function imageFilesAt(folder: string): ImageFiles {
  const root = looking(folder, () => realpathSync(folder));
  const place = (path: string, follow: boolean) => looking(path, () => resolveIn(root, path, follow));

  function describe(path: string, follow: boolean): ImageFile | undefined {
    const found = place(path, follow);
    return found === undefined ? undefined : looking(path, () => entry(path, lstatSync(found)));
  }

  function below(path: string): readonly ImageFile[] {
    const found: ImageFile[] = [];
    const pending = [path];
    for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
      const inside = list(at);
      found.push(...inside);
      if (found.length > ENTRIES_MAX) throw new Failure('IMAGE_INVALID', { path, reason: 'too_many' });
      pending.push(...inside.filter(({ kind }) => kind === 'folder').map((each) => each.path));
    }
    return found;
  }

  function list(path: string): readonly ImageFile[] {
    const found = place(path, true);
    if (found === undefined || !lstatSync(found).isDirectory()) return [];
    const names = looking(path, () => readdirSync(found).sort());
    return names.map((name) => looking(join(path, name), () => entry(join(path, name), lstatSync(join(found, name)))));
  }

  const files: ImageFiles = {
    look: (path) => describe(path, false),
    find: (path) => describe(path, true),
    list,
    below,
    read(path, bytesMax) {
      const found = place(path, true);
      if (found === undefined || !lstatSync(found).isFile()) return undefined;
      return looking(path, () => readWhole(found, bytesMax));
    },
    remove(path) {
      const found = place(path, false);
      if (found === undefined) return;
      removing(path, () => (lstatSync(found).isDirectory() ? rmdirSync(found) : unlinkSync(found)));
    },
    sync(path) {
      const found = place(path, true);
      if (found !== undefined) removing(path, () => syncFolder(found));
    },
  };
  if (files.find('/etc')?.kind !== 'folder') throw new Failure('IMAGE_INVALID', { path: folder, reason: 'no_etc' });
  return files;
}

/** Whether the folder is this machine's own root, whatever it is called. */
export function isOwnRoot(folder: string): boolean {
  const [one, own] = [looking(folder, () => statSync(folder)), statSync('/')];
  return one.dev === own.dev && one.ino === own.ino;
}

/** Where the path leads below `root`; `undefined` where nothing is. */
function resolveIn(root: string, path: string, follow: boolean): string | undefined {
  let reached: string[] = [];
  let pending = namesOf(path);
  let links = 0;
  for (let name = pending.shift(); name !== undefined; name = pending.shift()) {
    if (name === '..') reached.pop();
    if (name === '..' || name === '.') continue;
    const here = join(root, ...reached, name);
    const stats = lstatSync(here, { throwIfNoEntry: false });
    if (stats === undefined) return undefined;
    if (!stats.isSymbolicLink() || (pending.length === 0 && !follow)) {
      reached.push(name);
      continue;
    }
    links += 1;
    if (links > LINKS_MAX) throw new Failure('IMAGE_INVALID', { path, reason: 'ELOOP' });
    const target = readlinkSync(here);
    if (target.startsWith('/')) reached = [];
    pending = [...namesOf(target), ...pending];
  }
  return join(root, ...reached);
}

const namesOf = (path: string): string[] => path.split('/').filter(Boolean);

function entry(path: string, stats: Stats): ImageFile {
  const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'folder' : stats.isSymbolicLink() ? 'link' : 'other';
  return { path, kind, bytes: stats.size };
}

/** Without /proc, which a builder's chroot may lack. */
function readWhole(path: string, bytesMax: number): Buffer | undefined {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stats = fstatSync(fd);
    if (stats.size > bytesMax) throw new Failure('IMAGE_INVALID', { path, reason: 'too_long' });
    return stats.isFile() ? readAtMost(fd, stats.size) : undefined;
  } finally {
    closeSync(fd);
  }
}

function syncFolder(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function looking<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    const reason = errnoOf(error);
    throw reason === undefined ? error : new Failure('IMAGE_INVALID', { path, reason }, error);
  }
}

function removing(path: string, act: () => void): void {
  try {
    act();
  } catch (error) {
    const reason = errnoOf(error);
    if (reason === undefined) throw error;
    throw storageFailure(error) ?? new Failure('SEAL_INCOMPLETE', { path, reason }, error);
  }
}
