// The root and the command key as the signer uses them: each root is in the audit before anything is done under it, and rows are
// sealed by the key that it names. It must never hand out a root that the audit does not have.

import { signTokenWith } from '../../protocol/token.ts';
import type { CommandAuthority, CommandInForce, CommandKey } from './command-authority.ts';
import type { SignerLedger } from './ledger.ts';

type NotaryParts = Readonly<{
  authority: Pick<CommandAuthority, 'current' | 'chain'>;
  ledger: SignerLedger;
  nowS: () => number;
}>;
type Seal = Readonly<{ is: 'row' | 'end'; n: number; hash: string; at: number }>;

export class Notary {
  readonly #parts: NotaryParts;
  #key: CommandKey | undefined;
  #noted: number;

  constructor(parts: NotaryParts) {
    this.#parts = parts;
    const [newest] = parts.ledger.rows<{ data: string }>(
      "SELECT data FROM audit WHERE kind = 'root.published' ORDER BY n DESC LIMIT 1",
    );
    this.#noted = newest ? (JSON.parse(newest.data) as { version: number }).version : 0;
  }

  async current(): Promise<CommandInForce> {
    const { authority, ledger, nowS } = this.#parts;
    for (;;) {
      const inForce = await authority.current();
      const fresh = await authority.chain.since(this.#noted);
      const newest = fresh.at(-1);
      // Published between these two looks: once more, for the key that it names.
      if (newest && newest.root.version > inForce.root.version) continue;
      if (this.#key?.kid !== inForce.key.kid) {
        this.#key = inForce.key;
        ledger.sealWith(({ n, at, hash }) => this.seal({ is: 'row', n, hash, at }));
      }
      if (newest) {
        const data = { version: newest.root.version, documents: fresh.map(({ signed }) => signed) };
        ledger.transaction(() => ledger.audit({ at: nowS(), kind: 'root.published', data }));
        this.#noted = newest.root.version;
      }
      return inForce;
    }
  }

  /** An `lk-audit+jws`, made without waiting: rows are sealed within a transaction. */
  seal({ is, n, hash, at }: Seal): string {
    if (!this.#key) throw new Error('no key is in force');
    return signTokenWith('lk-audit+jws', { v: 1, is, n, hash, at }, this.#key);
  }
}
