// A program of its own: replaces or removes one small file in the folder that it was given as descriptor 3, with the
// rights of the user under whom it was started. Content comes on standard input; nothing secret is in its arguments.
// It knows no path but the file's name, so that nobody can lead it elsewhere.

import { closeSync, constants, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';

const FOLDER_FD = 3;
const folder = `/proc/self/fd/${FOLDER_FD}`;
const CONTENT_BYTES_MAX = 16_384;

/** How it ends; `owner-file.ts` reads these. */
const EXIT = { done: 0, failed: 1, usage: 2, readonly: 3, full: 4 };

function replaceFile(name: string, content: Uint8Array): void {
  const temporary = `${folder}/.${name}.${process.pid}`;
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  const fd = openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    if (writeSync(fd, content) !== content.length) throw Object.assign(new Error('short write'), { code: 'ENOSPC' });
    fsyncSync(fd);
    renameSync(temporary, `${folder}/${name}`);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  } finally {
    closeSync(fd);
    content.fill(0);
  }
}

function main([action, name]: readonly string[]): number {
  if (!name || name.includes('/') || name.startsWith('.')) return EXIT.usage;
  process.umask(0o077);
  try {
    if (action === 'replace') {
      const content = readFileSync(0);
      if (content.length > CONTENT_BYTES_MAX) return EXIT.usage;
      replaceFile(name, content);
    } else if (action === 'remove') rmSync(`${folder}/${name}`, { force: true });
    else return EXIT.usage;
    fsyncSync(FOLDER_FD);
    return EXIT.done;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    return code === 'EROFS' ? EXIT.readonly : code === 'ENOSPC' || code === 'EDQUOT' ? EXIT.full : EXIT.failed;
  }
}

process.exit(main(process.argv.slice(2)));
