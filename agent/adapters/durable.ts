// Puts what was written on the disk. Owns no file and never writes into one.

import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

/** fsync(2) of a file or folder by path; a symbolic link is not followed. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
