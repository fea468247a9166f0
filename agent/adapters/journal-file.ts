// The journal as one file in a folder that is private to its owner. Never reports a line before it is on the disk, never
// leaves a part of one behind, and never reads or writes where someone else could have had a hand in it.

import { constants } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Failure } from '../../protocol/failure.ts';
import type { Journal, JournalRecord } from '../ports/journal.ts';
import { errnoOf, storageFailure } from './errno.ts';
import { type Chain, formatLine, hashLine, readChain } from './journal-chain.ts';
import { type JournalKeeper, keeperByOwner } from './journal-keeper.ts';

export const JOURNAL_NAME = 'journal.jsonl';
/** Some ten thousand operations. A file beyond it is not trusted to be this program's. */
const JOURNAL_BYTES_MAX = 67_108_864;

export type JournalFileOptions = Readonly<{
  /** Must exist; installation makes it. */
  folder: string;
  /** `read` takes no lock, changes nothing and cannot append. */
  mode: 'read' | 'write';
  owner?: number;
  /** By owners and modes where nothing else is said. */
  keeper?: JournalKeeper;
  bytesMax?: number;
}>;

type Kept = Readonly<{ folder: string; keeper: JournalKeeper; bytesMax: number }>;

export async function openJournalFile(options: JournalFileOptions): Promise<Journal> {
  const { folder, keeper = keeperByOwner(options.owner), bytesMax = JOURNAL_BYTES_MAX } = options;
  await assertFolder(folder, keeper);
  const kept = { folder, keeper, bytesMax };
  return options.mode === 'read' ? readOnly(kept) : writable(kept);
}

async function readOnly({ folder, keeper, bytesMax }: Kept): Promise<Journal> {
  const file = await openFile(folder, 'read', keeper.readAccess).catch(rethrow);
  if (file === undefined) return reader(readChain(new Uint8Array()));
  try {
    const chain = await readFile(file, keeper, bytesMax);
    // A line that a writer has yet to make durable may be gone after the next power cut, and its head was told to others.
    await file.sync();
    return reader(chain);
  } catch (error) {
    throw translate(error);
  } finally {
    await file.close();
  }
}

function reader(chain: Chain): Journal {
  return {
    torn: chain.torn,
    head: () => chain.head,
    records: () => chain.records,
    async append() {
      throw unsafe('read_only');
    },
    async close() {},
  };
}

async function writable(kept: Kept): Promise<Journal> {
  const { folder, keeper, bytesMax } = kept;
  const unlock = lockFolder(kept);
  let file: FileHandle | undefined;
  try {
    file = await openFile(folder, 'write', constants.O_RDWR | constants.O_CREAT);
    if (file === undefined) throw unsafe('missing');
    const chain = await readFile(file, keeper, bytesMax);
    if (chain.torn) await cutTo(file, chain.bytes);
    return writer({ ...kept, chain, file, unlock });
  } catch (error) {
    await file?.close();
    unlock();
    throw translate(error);
  }
}

type Parts = Kept &
  Readonly<{
    chain: Chain;
    file: FileHandle;
    unlock: () => void;
  }>;

function writer({ chain, file, folder, keeper, bytesMax, unlock }: Parts): Journal {
  const records = [...chain.records];
  let { head, bytes } = chain;
  /** Set when it is not known what the file holds: then nothing is added any more. */
  let broken = false;
  let closed = false;
  let last: Promise<void> = Promise.resolve();

  async function appendNow(record: JournalRecord): Promise<void> {
    if (broken || closed) throw unsafe(closed ? 'closed' : 'broken');
    const line = formatLine(head, record);
    if (bytes + line.length > bytesMax) throw new Failure('DISK_FULL', { reason: 'limit' });
    try {
      await writeWhole(file, line, bytes);
      await file.sync();
      await keeper.syncFolder(folder);
    } catch (error) {
      await cutTo(file, bytes).catch(() => {
        broken = true;
      });
      throw translate(error);
    }
    bytes += line.length;
    head = hashLine(line.subarray(0, -1));
    // What is kept is what the disk holds, not what the caller may go on changing.
    records.push(structuredClone(record));
  }

  return {
    torn: chain.torn,
    head: () => head,
    records: () => records,
    append(record) {
      // One after the other, whatever became of the one before.
      const next = last.then(() => appendNow(record));
      last = next.catch(() => {});
      return next;
    },
    async close() {
      await last;
      if (closed) return;
      closed = true;
      await file.close();
      unlock();
    },
  };
}

async function writeWhole(file: FileHandle, line: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < line.length; ) {
    const { bytesWritten } = await file.write(line, written, line.length - written, position + written);
    if (bytesWritten === 0) throw new Failure('DISK_FULL');
    written += bytesWritten;
  }
}

async function cutTo(file: FileHandle, bytes: number): Promise<void> {
  await file.truncate(bytes);
  await file.sync();
}

/** `undefined` where there is none and none is to be made. */
async function openFile(folder: string, mode: 'read' | 'write', access: number): Promise<FileHandle | undefined> {
  try {
    return await open(join(folder, JOURNAL_NAME), access | constants.O_NOFOLLOW | constants.O_NONBLOCK, 0o600);
  } catch (error) {
    if (mode === 'read' && errnoOf(error) === 'ENOENT') return undefined;
    if (errnoOf(error) === 'ELOOP') throw unsafe('symlink');
    throw error;
  }
}

async function readFile(file: FileHandle, keeper: JournalKeeper, bytesMax: number): Promise<Chain> {
  const stats = await file.stat();
  if (!stats.isFile() || stats.nlink !== 1) throw unsafe('not_a_file');
  keeper.demandPrivateFile(stats);
  if (stats.size > bytesMax) throw unsafe('size');
  return readChain(await file.readFile());
}

async function assertFolder(folder: string, keeper: JournalKeeper): Promise<void> {
  const path = resolve(folder);
  const stats = await lstat(path).catch((error) => {
    throw unsafe('folder_missing', error);
  });
  if (!stats.isDirectory()) throw unsafe('symlink');
  await keeper.demandPrivateFolder(path, stats);
}

function lockFolder({ folder, keeper }: Kept): () => void {
  try {
    return keeper.lock(folder);
  } catch (error) {
    throw translate(error);
  }
}

function translate(error: unknown): unknown {
  if (error instanceof Failure) return error;
  const errno = errnoOf(error);
  if (errno === undefined) return error;
  return storageFailure(error) ?? unsafe(errno, error);
}

function rethrow(error: unknown): never {
  throw translate(error);
}

function unsafe(reason: string, cause?: unknown): Failure {
  return new Failure('JOURNAL_UNSAFE', { reason }, cause);
}
