// The newest root together with the session key that it names, the gateway's own. A key is rotated by putting the new one into
// its folder and publishing a root that names it: whoever asks next has both.

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

export class SessionAuthority {
  readonly chain: TrustChain;
  readonly #folder: string;
  #inForce: InForce | undefined;

  private constructor(chain: TrustChain, folder: string) {
    this.chain = chain;
    this.#folder = folder;
  }

  /** Throws `CONFIG_INVALID` where the root or the key that it names is missing. */
  static async open(paths: Paths): Promise<SessionAuthority> {
    const authority = new SessionAuthority(await TrustChain.open(paths), roleFolder(paths, 'session'));
    await authority.current();
    return authority;
  }

  async current(): Promise<InForce> {
    const { root } = await this.chain.newest();
    if (this.#inForce?.root !== root) this.#inForce = { root, key: await this.#keyFor(root) };
    return this.#inForce;
  }

  async #keyFor(root: RootPayload): Promise<SigningKey> {
    const { kids } = root.roles.session;
    for (const name of keyFiles(this.#folder, 'session')) {
      const key = await readKey(join(this.#folder, name));
      if (kids.includes(key.kid)) return key;
    }
    throw new Failure('CONFIG_INVALID', { role: 'session', reason: 'not_in_the_root', version: root.version });
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
