// The roots that this machine has learned since its image was made: one file a version, each proven by the one before it.
// The link and the executor keep one shelf each, so that neither has to believe the other.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure } from '../protocol/failure.ts';
import { advanceRoot, type RootPayload, type SignedRoot } from '../protocol/root.ts';
import { makeFolder, writeNewFile } from './durable-file.ts';
import type { Owner } from './ports/host.ts';

export class RootShelf {
  readonly #folder: string;
  readonly #first: RootPayload;

  /** `first` is the image's own root: versions up to its own are not looked at. */
  constructor(folder: string, first: RootPayload) {
    this.#folder = folder;
    this.#first = first;
  }

  /**
   * The newest root. A file that is there and does not follow from the one before it is an error, never a reason to go
   * back to an older root: throws `ROOT_INVALID`, `ROOT_THRESHOLD`, `ROOT_ROLLBACK` or `ISS_MISMATCH`.
   */
  async newest(): Promise<RootPayload> {
    let root = this.#first;
    for (;;) {
      const document = await this.document(root.version + 1);
      if (document === null) return root;
      root = await advanceRoot(root, document);
    }
  }

  /** Proves and keeps the next root; durable when this returns. Throws as `newest` does, and keeps nothing then. */
  async add(document: SignedRoot, owner?: Owner): Promise<RootPayload> {
    const root = await advanceRoot(await this.newest(), document);
    await makeFolder(this.#folder, owner);
    await writeNewFile(this.#path(root.version), JSON.stringify(document), owner ? { owner } : {});
    return root;
  }

  /** The document of one version; `null` where this shelf has none. */
  async document(version: number): Promise<SignedRoot | null> {
    const path = this.#path(version);
    try {
      return JSON.parse(await readFile(path, 'utf8')) as SignedRoot;
    } catch (cause) {
      const { code: reason = 'syntax' } = cause as NodeJS.ErrnoException;
      if (reason === 'ENOENT') return null;
      throw new Failure('ROOT_INVALID', { path, reason }, cause);
    }
  }

  #path(version: number): string {
    return join(this.#folder, `${version}.json`);
  }
}
