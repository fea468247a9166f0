// Small files of this user's alone: written whole or not at all, mode 0600 in folders of mode 0700.

import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Failure } from '../../../protocol/failure.ts';

/** Writes temporary file, sync, rename. Throws `PATH_UNWRITABLE`. */
export async function writePrivate(path: string, text: string): Promise<void> {
  const temporary = join(dirname(path), `.${randomBytes(9).toString('base64url')}.tmp`);
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new Failure('PATH_UNWRITABLE', { path, ...systemReason(cause) }, cause);
  }
}

/** The file's text, or `undefined` where there is none. Throws `CONFIG_INVALID` where it cannot be read. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Failure('CONFIG_INVALID', { path, ...systemReason(cause) }, cause);
  }
}

/** The file's text. Throws `CONFIG_INVALID` also where there is none. */
export async function readConfigured(path: string, field: string): Promise<string> {
  const text = await readIfThere(path);
  if (text === undefined) throw new Failure('CONFIG_INVALID', { field, path, reason: 'no such file' });
  return text;
}

export async function removeFile(path: string): Promise<void> {
  await rm(path, { force: true });
}

/** Names in a folder; none where it does not exist. */
export async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch {
    return [];
  }
}

function systemReason(cause: unknown): { reason: string } {
  return { reason: (cause as NodeJS.ErrnoException | null)?.code ?? 'unknown' };
}
