// One small credential file in a user's folder: read by this process through a pinned folder, written by a child with
// the rights of the file's owner. Never writes into a user's folder as root, and never by path.

import { spawn } from 'node:child_process';
import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats } from 'node:fs';
import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Failure } from '../../protocol/failure.ts';
import { errnoOf } from './errno.ts';

/** The largest file of any format; which are too large for the server at hand is said by `password-format.ts`. */
const CONTENT_BYTES_MAX = 4_096;
const WRITE_TIMEOUT_MS = 10_000;
const OTHERS_WRITE = 0o022;

export type Owner = Readonly<{ uid: number; gid: number }>;
/** The program that writes, with its first arguments; the action and the file's name follow. */
export type Writer = readonly [program: string, ...argv: string[]];

export const defaultWriter: Writer = [process.execPath, fileURLToPath(new URL('./write-as-owner.ts', import.meta.url))];

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

/** Opens the file's folder and holds it, so that what is checked is what is used. Throws `VNC_FAILED` with a reason. */
export function openOwnerFile(path: string, owner: Owner, writer: Writer): OwnerFile {
  const name = basename(path);
  const folder = openFolder(dirname(path), owner);
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

function openFolder(path: string, owner: Owner): number {
  // A user may keep the folder elsewhere: the child can do no more there than its user. Root's own must be the real one.
  const follow = owner.uid === 0 ? constants.O_NOFOLLOW : 0;
  const fd = openOr(path, constants.O_RDONLY | constants.O_DIRECTORY | follow);
  if (fd === undefined) throw new Failure('VNC_FAILED', { reason: 'folder_missing' });
  try {
    assertPrivate(fstatSync(fd), owner);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function readFile(path: string, owner: Owner): Buffer | undefined {
  const fd = openOr(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  if (fd === undefined) return undefined;
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile() || stats.size > CONTENT_BYTES_MAX)
      throw new Failure('VNC_FAILED', { reason: 'not_a_password_file' });
    assertPrivate(stats, owner);
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
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
