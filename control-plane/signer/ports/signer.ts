// Port: what holds the command key, and the only thing that can sign with it. A file is one; a KMS or an HSM takes its place
// here and nowhere else. The signer's process decides what is signed; whatever is behind this port decides nothing.
//
// Contract, which test/control-plane/signer/contracts/signer.ts asks of every adapter:
// - A key is Ed25519 (RFC 8032) and known by its RFC 7638 thumbprint. `keys` answers the public halves of all that can sign now,
//   each once; it is asked before anything is signed, and again whenever another root comes into force, so a key may be added.
// - `sign` returns what it signed: rows of the audit are sealed within the transaction that they record. What has to go over a
//   network to sign is therefore a program of its own (adapters/signer-program.ts). It signs exactly the bytes it is given, not a hash of them,
//   and its answer verifies under the key of that id.
// - The purpose is the type of the token that the bytes begin with, so that whatever signs can keep keys to purposes.
// - A key that it has not is `KID_UNKNOWN`. Where it cannot sign, or not within two seconds, it is `KEY_UNAVAILABLE`; it
//   never answers with another key's signature, nor one of other bytes. Both leave it as it was: the next call may succeed.
// - The private half never leaves it, and nothing of it is logged.

import type { Ed25519Jwk } from '../../../protocol/schema.ts';

export type Purpose = 'lk-command+jws' | 'lk-audit+jws';
export type HeldKey = Readonly<{ kid: string; jwk: Ed25519Jwk }>;

export interface Signer {
  keys(): Promise<readonly HeldKey[]>;
  sign(kid: string, purpose: Purpose, bytes: Uint8Array): Uint8Array;
}
