// One small credential file in a user's folder: read by this process through a pinned folder, written by a child with
// the rights of the file's owner. Never writes into a user's folder as root, and never by path.

import { spawn } from 'node:child_process';
import { closeSync, constants, fstatSync, openSync, type Stats } from 'node:fs';
import { basename, dirname, extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Failure } from '../../protocol/failure.ts';
import { errnoOf } from './errno.ts';
import { openRegular, readAtMost } from './small-file.ts';

/** The largest file of any format; which are too large for the server at hand is said by `password-format.ts`. */
const CONTENT_BYTES_MAX = 16_384;
const WRITE_TIMEOUT_MS = 10_000;
const OTHERS_WRITE = 0o022;

export type Owner = Readonly<{ uid: number; gid: number }>;
/** The program that writes, with its first arguments; the action and the file's name follow. */
export type Writer = readonly [program: string, ...argv: string[]];

/** Beside this file as a source, and beside the bundle that this file is part of. */
const WRITER = `./write-as-owner${extname(import.meta.filename)}`;
export const defaultWriter: Writer = [process.execPath, fileURLToPath(new URL(WRITER, import.meta.url))];

export type OwnerFile = {
  /** The present content; `undefined` where there is no file. */
  read(): Buffer | undefined;
  replace(content: Uint8Array): Promise<void>;
  remove(): Promise<void>;
  /** Whether both are one file under two paths. */
  isSame(other: OwnerFile): boolean;
  readonly identity: string;
  close(): void;
};

/** Where a file is: `root` is empty for this process's own, or `/proc/PID/root` where a process sees other files than this one. */
export type Place = Readonly<{ root: string; path: string }>;

/** Opens the file's folder and holds it, so that what is checked is what is used. Throws `VNC_FAILED` with a reason. */
export function openOwnerFile(place: Place, owner: Owner, writer: Writer): OwnerFile {
  const name = basename(place.path);
  const folder = openFolder({ ...place, path: dirname(place.path) }, owner);
  const { dev, ino } = fstatSync(folder);
  const write = (action: 'replace' | 'remove', content: Uint8Array): Promise<void> =>
    writeAsOwner({ writer, action, name, folder, owner, content });
  const identity = `${dev}:${ino}/${name}`;
  return {
    identity,
    read: () => readFile(`/proc/self/fd/${folder}/${name}`, owner),
    replace: (content) => write('replace', content),
    remove: () => write('remove', new Uint8Array()),
    isSame: (other) => other.identity === identity,
    close: () => closeSync(folder),
  };
}

function openFolder(place: Place, owner: Owner): number {
  const fd = owner.uid === 0 ? openOfRoot(place) : openOr(`${place.root}${place.path}`, FOLDER);
  if (fd === undefined) throw new Failure('VNC_FAILED', { reason: 'folder_missing' });
  try {
    assertPrivate(fstatSync(fd), owner);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY;

/**
 * A user may lead to the folder as they like: the child can do no more there than its user. To root's own nobody else
 * may lead, by no link and from no folder on the way, or root would write where they wish.
 */
function openOfRoot({ root, path }: Place): number | undefined {
  let fd = openOr(`${root}/`, FOLDER);
  for (const name of path.split('/').filter(Boolean)) {
    if (fd === undefined) return undefined;
    const above = fd;
    try {
      assertLedByRoot(fstatSync(above));
      fd = openOr(`/proc/self/fd/${above}/${name}`, FOLDER | constants.O_NOFOLLOW);
    } finally {
      closeSync(above);
    }
  }
  return fd;
}

function assertLedByRoot({ uid, mode }: Stats): void {
  if (uid !== 0) throw new Failure('VNC_FAILED', { reason: 'wrong_owner' });
  // In a sticky folder, such as /tmp, nobody can move what is root's.
  if (mode & OTHERS_WRITE && !(mode & STICKY)) throw new Failure('VNC_FAILED', { reason: 'writable_by_others' });
}

const STICKY = 0o1000;

function readFile(path: string, owner: Owner): Buffer | undefined {
  let fd: number | undefined;
  try {
    fd = openRegular(path, constants.O_NOFOLLOW, (stats) => assertPasswordFile(stats, owner));
    return fd === undefined ? undefined : readAtMost(fd, CONTENT_BYTES_MAX);
  } catch (error) {
    if (error instanceof Failure) throw error;
    // Grown meanwhile, or one of the kernel's, which have no size.
    throw new Failure('VNC_FAILED', { reason: errnoOf(error) ? 'unreadable' : 'not_a_password_file' }, error);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function assertPasswordFile(stats: Stats, owner: Owner): void {
  if (stats.isSymbolicLink()) throw new Failure('VNC_FAILED', { reason: 'symlink' });
  if (!stats.isFile() || stats.size > CONTENT_BYTES_MAX)
    throw new Failure('VNC_FAILED', { reason: 'not_a_password_file' });
  assertPrivate(stats, owner);
}

function assertPrivate(stats: Stats, owner: Owner): void {
  if (stats.uid !== owner.uid) throw new Failure('VNC_FAILED', { reason: 'wrong_owner' });
  if (stats.mode & OTHERS_WRITE) throw new Failure('VNC_FAILED', { reason: 'writable_by_others' });
}

/** `undefined` where there is nothing. */
function openOr(path: string, flags: number): number | undefined {
  try {
    return openSync(path, flags);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT') return undefined;
    throw new Failure(
      'VNC_FAILED',
      { reason: errno === 'ELOOP' || errno === 'ENOTDIR' ? 'symlink' : 'unreadable' },
      error,
    );
  }
}

type Write = Readonly<{
  writer: Writer;
  action: 'replace' | 'remove';
  name: string;
  folder: number;
  owner: Owner;
  content: Uint8Array;
}>;

/** What the child's exit status means (`write-as-owner.ts`). */
const FAULTS: Readonly<Record<number, string>> = { 3: 'readonly', 4: 'disk_full' };

function writeAsOwner({ writer, action, name, folder, owner, content }: Write): Promise<void> {
  const [program, ...argv] = writer;
  // The runtime may be shipped with a library beside it; nothing else of this environment is the child's business.
  const { LD_LIBRARY_PATH } = process.env;
  return new Promise((resolve, reject) => {
    const refuse = (reason: string, cause?: unknown): void => reject(new Failure('VNC_FAILED', { reason }, cause));
    const child = spawn(program, [...argv, action, name], {
      uid: owner.uid,
      gid: owner.gid,
      cwd: '/',
      env: LD_LIBRARY_PATH === undefined ? {} : { LD_LIBRARY_PATH },
      stdio: ['pipe', 'ignore', 'ignore', folder],
      timeout: WRITE_TIMEOUT_MS,
      killSignal: 'SIGKILL',
    });
    child.once('error', (error) => refuse('writer', error));
    child.once('close', (status) => (status === 0 ? resolve() : refuse(FAULTS[status ?? -1] ?? 'write')));
    child.stdin?.on('error', () => {});
    child.stdin?.end(Buffer.from(content));
  });
}
