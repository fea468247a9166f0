// The installation's roots, from the first to the newest: `trust/root.json`, then `trust/N.json`, each proven by the one
// before it. Public, and read by every part for itself; a version that is published while they run is seen at the next look.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { advanceRoot, openRoot, type RootPayload, type SignedRoot, signedRoot } from '../../protocol/root.ts';
import { parseSchema } from '../../protocol/schema.ts';
import { PUBLIC_MODE, parseJson, readIfThere, writeNewPrivateFile } from './files.ts';
import type { Paths } from './paths.ts';

export type Trusted = Readonly<{ root: RootPayload; signed: SignedRoot }>;

export class TrustChain {
  readonly #folder: string;
  /** By version, from the first one on. */
  readonly #known: Trusted[];

  private constructor(folder: string, first: Trusted) {
    this.#folder = folder;
    this.#known = [first];
  }

  /** Throws `CONFIG_INVALID` naming the file that is missing or does not hold. */
  static async open({ trustFolder, trustRoot }: Paths): Promise<TrustChain> {
    const text = readIfThere(trustRoot);
    if (text === null) throw new Failure('CONFIG_INVALID', { file: 'trust/root.json', reason: 'missing' });
    const first = await proven('root.json', text, openRoot);
    const chain = new TrustChain(trustFolder, first);
    await chain.newest();
    return chain;
  }

  /** The newest root, with all that was published since the last look. */
  async newest(): Promise<Trusted> {
    for (;;) {
      const last = this.#last;
      const name = `${last.root.version + 1}.json`;
      const path = join(this.#folder, name);
      const text = existsSync(path) ? readIfThere(path) : null;
      if (text === null) return last;
      const next = await proven(name, text, (document) => advanceRoot(last.root, document));
      // Another look may have come first.
      if (this.#last === last) this.#known.push(next);
    }
  }

  /** What follows a version, in order, `count` at most. A version that is not ours is followed by nothing. */
  async after(version: number, count: number): Promise<readonly Trusted[]> {
    await this.newest();
    const at = this.#known.findIndex(({ root }) => root.version === version);
    return at < 0 ? [] : this.#known.slice(at + 1, at + 1 + count);
  }

  /** All versions above that one, in order; all there are above 0. */
  async since(version: number): Promise<readonly Trusted[]> {
    await this.newest();
    return this.#known.filter(({ root }) => root.version > version);
  }

  /** Proves the next root and puts it in force. Throws as `advanceRoot` does, and changes nothing then. */
  async publish(document: SignedRoot): Promise<RootPayload> {
    const { root: current } = await this.newest();
    const root = await advanceRoot(current, document);
    const path = join(this.#folder, `${root.version}.json`);
    // Two roots of one version would split the fleet: the first one published is the one.
    if (!writeNewPrivateFile(path, `${JSON.stringify(document)}\n`, PUBLIC_MODE)) {
      throw new Failure('ROOT_ROLLBACK', { have: root.version, offered: root.version });
    }
    return root;
  }

  get #last(): Trusted {
    return this.#known.at(-1) as Trusted;
  }
}

async function proven(
  name: string,
  text: string,
  prove: (document: unknown) => Promise<RootPayload>,
): Promise<Trusted> {
  const file = `trust/${name}`;
  const document = parseJson(text, file);
  try {
    return { root: await prove(document), signed: parseSchema(signedRoot, document) };
  } catch (cause) {
    throw new Failure('CONFIG_INVALID', { file, reason: codeOf(cause) ?? 'error' }, cause);
  }
}
