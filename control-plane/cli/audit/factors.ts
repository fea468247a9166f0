// Operators' keys and passkeys as the rows of an audit bring and take them, and the proofs that can be checked with them. Codes
// cannot be checked by anybody afterwards: those are the signer's word.

import { createPublicKey, verify } from 'node:crypto';
import * as z from 'zod/mini';
import { readAssertion } from '../../../protocol/assertion.ts';
import type { AuditRow } from '../../../protocol/audit.ts';
import { factorMethods, keyProof, type OperatorProof, passkeyProof } from '../../../protocol/command.ts';
import { fromBase64url, passkeyThumbprint, thumbprint } from '../../../protocol/keys.ts';
import { passkey } from '../../../protocol/root.ts';
import { bytes32, ed25519Jwk, parseSchema } from '../../../protocol/schema.ts';
import { demand } from './broken.ts';

const factorAdded = z.object({
  kind: z.enum(factorMethods),
  key: z.optional(ed25519Jwk),
  passkey: z.optional(passkey),
  kid: z.optional(z.string()),
});
const factorRemoved = z.object({ kind: z.enum(factorMethods), kid: z.nullable(z.string()) });
export const provenData = z.object({
  hash: bytes32,
  method: z.enum(factorMethods),
  proof: z.optional(z.union([keyProof, passkeyProof])),
});
export type Proven = z.infer<typeof provenData>;

type Known = Readonly<{ kind: 'key'; x: string } | ({ kind: 'passkey' } & z.infer<typeof passkey>)>;

export class Factors {
  readonly #byOperator = new Map<string, Map<string, Known>>();
  /** Proofs that were checked here, and those that nobody can check again. */
  checked = 0;
  unchecked = 0;

  async added({ operator }: AuditRow, data: unknown): Promise<void> {
    const { kind, kid = '', key, passkey: point } = parseSchema(factorAdded, data);
    if (kind === 'key') {
      demand(key !== undefined && (await thumbprint(key)) === kid, 'factor');
      this.#of(operator).set(kid, { kind, x: key.x });
    } else if (kind === 'passkey') {
      demand(point !== undefined && (await passkeyThumbprint(point)) === kid, 'factor');
      this.#of(operator).set(kid, { kind, ...point });
    }
  }

  removed({ operator }: AuditRow, data: unknown): void {
    const { kind, kid } = parseSchema(factorRemoved, data);
    const known = this.#of(operator);
    for (const [id, factor] of known) if (factor.kind === kind && (kid === null || kid === id)) known.delete(id);
  }

  recovered({ operator }: AuditRow): void {
    this.#of(operator).clear();
  }

  /** Whether that operator proved exactly this intent, as far as it can be told. `earlier`: factors may be from before. */
  async demandProof(operator: string | null, { hash, method, proof }: Proven, earlier: boolean): Promise<void> {
    if (method !== 'key' && method !== 'passkey') {
      this.unchecked += 1;
      return;
    }
    demand(proof !== undefined && ('auth_data' in proof ? 'passkey' : 'key') === method, 'proof');
    const factor = this.#of(operator).get(proof.kid);
    if (!factor && earlier) {
      this.unchecked += 1;
      return;
    }
    demand(factor?.kind === method && (await holds(factor, proof, hash)), 'proof');
    this.checked += 1;
  }

  #of(operator: string | null): Map<string, Known> {
    const name = operator ?? '';
    const known = this.#byOperator.get(name) ?? new Map<string, Known>();
    this.#byOperator.set(name, known);
    return known;
  }
}

async function holds(factor: Known, proof: OperatorProof, hash: string): Promise<boolean> {
  if (factor.kind === 'key')
    return signatureHolds(null, fromBase64url(hash), { kty: 'OKP', crv: 'Ed25519', x: factor.x }, proof);
  if (!('auth_data' in proof)) return false;
  const { x, y, rp_id: rpId, origin } = factor;
  const signed = await readAssertion(proof, { challenge: hash, rpId, origin });
  return signatureHolds('sha256', signed, { kty: 'EC', crv: 'P-256', x, y }, proof);
}

/** A key or a signature that the platform cannot read made no signature. */
function signatureHolds(digest: string | null, signed: Uint8Array, jwk: object, { sig }: OperatorProof): boolean {
  try {
    return verify(digest, signed, createPublicKey({ key: jwk as never, format: 'jwk' }), fromBase64url(sig));
  } catch {
    return false;
  }
}
