// Whether a file is the machine's own: put there by root, and nobody else can have written it.

import { accessSync, constants, readFileSync, type Stats, statfsSync, statSync } from 'node:fs';
import { errnoOf } from './errno.ts';

const OTHERS_WRITE = 0o022;
/** FUSE_SUPER_MAGIC: what such a file system says of owners is what the user who serves it says. */
const FUSE = 0x6573_5546;
const OVERFLOW_UID = 65_534;
const ALL_USERS = /^\s*0\s+0\s+4294967295\s*$/;

export type FileFacts = Readonly<{
  uid: number;
  mode: number;
  fileSystem: number;
  /** This user namespace has all users of the kernel. */
  allUsersHere: boolean;
  /** The kernel does not let even root write it. */
  closedToRoot: boolean;
}>;

/** Throws where the file cannot be looked at. */
export function isMachines(path: string): boolean {
  const stats: Stats = statSync(path);
  return belongsToMachine({
    uid: stats.uid,
    mode: stats.mode,
    fileSystem: statfsSync(path).type,
    allUsersHere: ALL_USERS.test(readFileSync('/proc/self/uid_map', 'utf8')),
    closedToRoot: isClosed(path),
  });
}

export function belongsToMachine({ uid, mode, fileSystem, allUsersHere, closedToRoot }: FileFacts): boolean {
  if ((mode & OTHERS_WRITE) !== 0 || fileSystem === FUSE) return false;
  if (uid === 0) return true;
  // In a namespace with a part of the users: its owner is none of them, and root outside put it there.
  return !allUsersHere && uid === OVERFLOW_UID && closedToRoot;
}

function isClosed(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return false;
  } catch (error) {
    return errnoOf(error) === 'EACCES';
  }
}
