// What another machine's disk brought along: its keys, journal and roots are kept out of the way while this machine gets an
// identity of its own, and used by nobody. Without an identity they come back, in case it was this machine after all.

import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '../durable-file.ts';

type Places = Readonly<{ executor: string; link: string; marker: string }>;

const ASIDE = '.other-machine';

/** The executor's at once and last: until then a start that finds its identity does all of this again. */
export async function setAside({ executor, link, marker }: Places): Promise<void> {
  await moveContent(link, `${link}${ASIDE}`);
  await rm(`${executor}${ASIDE}`, { recursive: true, force: true });
  await rename(executor, `${executor}${ASIDE}`);
  await rm(marker, { force: true });
}

/** Undoes it, and forgets the keys that were made meanwhile. */
export async function bringBack(
  { executor, link, marker }: Places,
  identity: Readonly<{ marker: string }>,
): Promise<void> {
  await moveContent(`${link}${ASIDE}`, link);
  await rm(executor, { recursive: true, force: true });
  await rename(`${executor}${ASIDE}`, executor);
  await replaceFile(marker, identity.marker);
}

/**
 * The link's folder itself stays: a link that is running, and waits for an identity, was given this very folder by its service
 * manager and may write to no other.
 */
async function moveContent(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o700 });
  for (const name of await namesIn(from)) {
    const place = join(to, name);
    await rename(join(from, name), place).catch(async () => {
      // A folder of an earlier time stands in its place.
      await rm(place, { recursive: true, force: true });
      await rename(join(from, name), place);
    });
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw cause;
  }
}
