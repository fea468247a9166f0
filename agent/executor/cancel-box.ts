// Where a cancel lies for the executor at work: one file in root's folder that holds the signed token. It is checked again
// by whoever takes it, so a file that is left over from another operation is nothing.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '../durable-file.ts';
import type { CancelBox } from './parts.ts';

export function cancelBoxAt(folder: string): CancelBox {
  const path = join(folder, 'cancel');
  return {
    put: (token) => replaceFile(path, token),
    take: async () => {
      try {
        return await readFile(path, 'ascii');
      } catch {
        return null;
      }
    },
  };
}
