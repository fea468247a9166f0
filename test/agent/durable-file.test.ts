// Small files that are whole or absent, with the owner and mode that they are to have from the first moment on.

import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { replaceFile, writeNewFile } from '../../agent/durable-file.ts';
import { unavailable } from '../requirements.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-durable-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

it('a new file does not replace one that is there, and nothing else is left behind', async () => {
  const path = join(folder, 'file');
  expect(await writeNewFile(path, 'first')).toBe(true);
  expect(await writeNewFile(path, 'second')).toBe(false);
  expect(readFileSync(path, 'utf8')).toBe('first');
  expect(readdirSync(folder)).toEqual(['file']);
});

it('a file that is put in place of another is whole and private, whatever the umask', async () => {
  const path = join(folder, 'file');
  const before = process.umask(0);
  try {
    await replaceFile(path, 'first');
    chmodSync(path, 0o644);
    await replaceFile(path, 'second');
  } finally {
    process.umask(before);
  }
  expect({ content: readFileSync(path, 'utf8'), mode: statSync(path).mode & 0o777 }).toEqual({
    content: 'second',
    mode: 0o600,
  });
});

it('a file made for another user is that user’s', async (context) => {
  if (process.getuid?.() !== 0) return unavailable(context, 'giving files away', 'run the tests as root');
  const path = join(folder, 'file');
  await writeNewFile(path, 'theirs', { owner: { uid: 65_534, gid: 65_533 } });
  const { uid, gid, mode } = statSync(path);
  expect({ uid, gid, mode: mode & 0o777 }).toEqual({ uid: 65_534, gid: 65_533, mode: 0o600 });
});
