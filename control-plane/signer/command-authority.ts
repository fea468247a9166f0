// The newest root together with whatever holds the command key that it names. A key is replaced by having it somewhere that is
// asked here and publishing a root that names it: whoever asks next has both.

import { Failure } from '../../protocol/failure.ts';
import type { RootPayload } from '../../protocol/root.ts';
import type { TokenSigner } from '../../protocol/token.ts';
import type { TrustChain } from '../config/trust-chain.ts';
import type { HeldKey, Purpose, Signer } from './ports/signer.ts';

export type CommandKey = TokenSigner<Purpose>;
export type CommandInForce = Readonly<{ root: RootPayload; key: CommandKey }>;

export class CommandAuthority {
  readonly chain: TrustChain;
  readonly #signers: readonly Signer[];
  #inForce: CommandInForce | undefined;

  private constructor(chain: TrustChain, signers: readonly Signer[]) {
    this.chain = chain;
    this.#signers = signers;
  }

  /** Throws `CONFIG_INVALID` where none of them has a key that the root names, or the code of why one could not say. */
  static async open(chain: TrustChain, signers: readonly Signer[]): Promise<CommandAuthority> {
    const authority = new CommandAuthority(chain, signers);
    await authority.current();
    return authority;
  }

  async current(): Promise<CommandInForce> {
    const { root } = await this.chain.newest();
    if (this.#inForce?.root !== root) this.#inForce = { root, key: await this.#keyFor(root) };
    return this.#inForce;
  }

  /** All keys that could sign, also those that no root names yet. */
  async held(): Promise<HeldKey[]> {
    return (await Promise.all(this.#signers.map((signer) => signer.keys()))).flat();
  }

  async #keyFor({ roles, version }: RootPayload): Promise<CommandKey> {
    let silent: unknown;
    for (const signer of this.#signers) {
      const keys = await signer.keys().catch((error: unknown) => {
        silent ??= error;
        return [];
      });
      const key = keys.find(({ kid }) => roles.command.kids.includes(kid));
      if (key) return { kid: key.kid, sign: (purpose, bytes) => signer.sign(key.kid, purpose, bytes) };
    }
    throw silent ?? new Failure('CONFIG_INVALID', { role: 'command', reason: 'not_in_the_root', version });
  }
}
