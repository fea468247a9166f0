// The newest root together with this program's own key in one of its roles. A key is rotated by putting the new one into the
// role's folder and publishing a root that names it: whoever asks next has both.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../../protocol/failure.ts';
import type { SigningKey } from '../../protocol/keys.ts';
import type { RootPayload } from '../../protocol/root.ts';
import { readKey } from './key-file.ts';
import type { Paths } from './paths.ts';
import { TrustChain } from './trust-chain.ts';

export type OnlineRole = 'command' | 'session';
export type InForce = Readonly<{ root: RootPayload; key: SigningKey }>;

export class Authority {
  readonly chain: TrustChain;
  readonly #role: OnlineRole;
  readonly #folder: string;
  #inForce: InForce | undefined;

  private constructor(chain: TrustChain, role: OnlineRole, folder: string) {
    this.chain = chain;
    this.#role = role;
    this.#folder = folder;
  }

  /** Throws `CONFIG_INVALID` where the root or a key that it names for this role is missing. */
  static async open(paths: Paths, role: OnlineRole): Promise<Authority> {
    const authority = new Authority(await TrustChain.open(paths), role, roleFolder(paths, role));
    await authority.current();
    return authority;
  }

  async current(): Promise<InForce> {
    const { root } = await this.chain.newest();
    if (this.#inForce?.root !== root) this.#inForce = { root, key: await this.#keyFor(root) };
    return this.#inForce;
  }

  async #keyFor(root: RootPayload): Promise<SigningKey> {
    const { kids } = root.roles[this.#role];
    for (const name of keyFiles(this.#folder, this.#role)) {
      const key = await readKey(join(this.#folder, name));
      if (kids.includes(key.kid)) return key;
    }
    throw new Failure('CONFIG_INVALID', { role: this.#role, reason: 'not_in_the_root', version: root.version });
  }
}

export function roleFolder({ signerFolder, gatewayFolder }: Paths, role: OnlineRole): string {
  return role === 'command' ? signerFolder : gatewayFolder;
}

/** The first key of a role is in `ROLE.key`, later ones beside it. */
export function laterKeyFile(role: OnlineRole, kid: string): string {
  return `${role}.${kid}.key`;
}

export function keyFiles(folder: string, role: OnlineRole): string[] {
  return readdirSync(folder).filter((name) => name.startsWith(`${role}.`) && name.endsWith('.key'));
}
