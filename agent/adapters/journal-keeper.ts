// What keeping a journal needs of the system: that nobody else can have had a hand in it, that one process writes at a time,
// and that a folder's entry is on the disk. One way for each kind of system, and no way around either.

import { closeSync, constants, openSync, type Stats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Failure } from '../../protocol/failure.ts';
import { syncPath } from './durable.ts';
import { errnoOf } from './errno.ts';
import { lockWriter } from './journal-lock.ts';

export type JournalKeeper = Readonly<{
  demandPrivateFolder(path: string, stats: Stats): Promise<void>;
  demandPrivateFile(stats: Stats): void;
  /** Takes the lock or throws `BUSY`. The result lets it go, as the death of the process does. */
  lock(folder: string): () => void;
  syncFolder(path: string): Promise<void>;
  /** With what access a reader opens the file: as much as it takes to sync it. */
  readAccess: number;
}>;

const GROUP_AND_OTHERS = 0o077;
const GROUP_AND_OTHERS_WRITE = 0o022;

/** By owners and modes. */
export function keeperByOwner(owner = 0): JournalKeeper {
  const demandPrivate = (stats: Stats): void => {
    if (stats.uid !== owner) throw unsafe('owner');
    if (stats.mode & GROUP_AND_OTHERS) throw unsafe('mode');
  };
  return {
    async demandPrivateFolder(path, stats) {
      demandPrivate(stats);
      // Who may write into the parent may put another folder in this one's place.
      if ((await lstat(dirname(path))).mode & GROUP_AND_OTHERS_WRITE) throw unsafe('parent_writable');
    },
    demandPrivateFile: demandPrivate,
    lock: (folder) => lockWriter({ folder }),
    syncFolder: syncPath,
    readAccess: constants.O_RDONLY,
  };
}

/** Windows keeps no file from others that is opened so, and gives it free when its process ends (libuv, fs.c: share mode 0). */
const EXCLUSIVELY = 0x1000_0000;

export type KeeperByAccessListOptions = Readonly<{
  /** Throws where others can reach the folder; what lies in it has the folder's own access list. */
  demandPrivate(folder: string): Promise<void>;
  /** Opens a file that nobody else can open meanwhile; its errno otherwise is EBUSY. For tests on systems without that. */
  openAlone?: (path: string) => number;
}>;

/**
 * By the folder's access list, on Windows: files there have no owner and no mode that Node could read. Folders cannot be
 * synced; NTFS keeps changes of them in a log of its own, in their order, which goes to the disk before a file that is
 * synced after them.
 */
export function keeperByAccessList(options: KeeperByAccessListOptions): JournalKeeper {
  const openAlone =
    options.openAlone ?? ((path) => openSync(path, constants.O_RDWR | constants.O_CREAT | EXCLUSIVELY, 0o600));
  return {
    demandPrivateFolder: (path) => options.demandPrivate(path),
    demandPrivateFile() {},
    lock(folder) {
      try {
        const held = openAlone(join(folder, 'writer.lock'));
        return () => closeSync(held);
      } catch (error) {
        if (errnoOf(error) === 'EBUSY') throw new Failure('BUSY');
        throw error;
      }
    },
    async syncFolder() {},
    // FlushFileBuffers wants a handle that could write.
    readAccess: constants.O_RDWR,
  };
}

function unsafe(reason: string): Failure {
  return new Failure('JOURNAL_UNSAFE', { reason });
}
