// Small files that are whole or absent, and on the disk before anyone is told of them: written beside their place, synced,
// then put into it, and the folder synced.
//
// Windows lets nobody sync a folder. There the file is synced once more under its name: NTFS writes its log of folders, in
// order, before that is done. Not yet proven on a real Windows.

import { randomUUID } from 'node:crypto';
import { chown, link, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Makes a folder that is its owner's alone and is still there after a power loss; one that exists stays as it is. */
export async function makeFolder(path: string, owner?: Options['owner']): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return;
    throw cause;
  }
  if (owner) await chown(path, owner.uid, owner.gid);
  if (!isWindows()) await sync(dirname(path), 'r');
}

type Options = Readonly<{ mode?: number; owner?: Readonly<{ uid: number; gid: number }> | null }>;

/** Writes a file that must not exist yet; one that does exist stays as it is. Returns whether it was written. */
export async function writeNewFile(path: string, content: string, options: Options = {}): Promise<boolean> {
  const temporary = await writeBeside(path, content, options);
  try {
    await link(temporary, path);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw cause;
  } finally {
    await rm(temporary, { force: true });
    await syncEntry(path);
  }
}

/** Writes a file in place of what was there. */
export async function replaceFile(path: string, content: string, options: Options = {}): Promise<void> {
  const temporary = await writeBeside(path, content, options);
  await rename(temporary, path);
  await syncEntry(path);
}

async function writeBeside(path: string, content: string, { mode = 0o600, owner }: Options): Promise<string> {
  // A name, not a secret: it only has to be free.
  const temporary = `${path}.${randomUUID()}`;
  const handle = await open(temporary, 'wx', mode);
  try {
    await handle.writeFile(content);
    await handle.chmod(mode);
    // Through the handle: the folder may be the new owner's, who could put a link to another file in the name's place.
    if (owner) await handle.chown(owner.uid, owner.gid);
    await handle.sync();
  } finally {
    await handle.close();
  }
  return temporary;
}

const isWindows = () => process.platform === 'win32';

/** That a file has this name. */
function syncEntry(path: string): Promise<void> {
  return isWindows() ? sync(path, 'r+') : sync(dirname(path), 'r');
}

async function sync(path: string, flags: string): Promise<void> {
  const handle = await open(path, flags);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
