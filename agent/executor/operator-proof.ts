// The operator's proof, checked in the machine itself: with the keys that the root names for the operator of the intent, over
// the very bytes that the command carries. Where policy asks for it, the command key alone resets nothing.

import { createPublicKey, verify } from 'node:crypto';
import { readAssertion } from '../../protocol/assertion.ts';
import type { KeyProof, PasskeyProof } from '../../protocol/command.ts';
import { Failure } from '../../protocol/failure.ts';
import type { WorkIntent } from '../../protocol/intent.ts';
import { fromBase64url, passkeyThumbprint, sha256, thumbprint, toBase64url } from '../../protocol/keys.ts';
import { type OperatorKeys, operatorKeysOf, type RootPayload } from '../../protocol/root.ts';
import type { Order } from '../core/authorise.ts';

/** Throws `AUTHZ_INVALID` with a word of reason. Proofs that no machine can check (a code) are none here. */
export async function demandOperatorProof(
  root: RootPayload,
  { command: { authz }, intent: { operator }, bytes }: Order<WorkIntent>,
): Promise<void> {
  if (!root.policy.require_operator_proof) return;
  const { method, proof } = authz;
  if (!proof) throw refusal('operator_proof_required');
  const known = operatorKeysOf(root, operator);
  if (!known) throw refusal('operator_unknown');
  const intentHash = await sha256(fromBase64url(bytes));
  // The proof's own form decides how it is checked, and has to be what the command says it is.
  const isPasskey = 'auth_data' in proof;
  if (method !== (isPasskey ? 'passkey' : 'key')) throw refusal('method');
  const holds = isPasskey ? await passkeySigned(known, proof, intentHash) : await keySigned(known, proof, intentHash);
  if (!holds) throw refusal('signature');
}

async function keySigned({ keys }: OperatorKeys, { kid, sig }: KeyProof, intentHash: Uint8Array): Promise<boolean> {
  for (const jwk of keys) {
    if ((await thumbprint(jwk)) === kid) return signatureHolds(null, intentHash, jwk, sig);
  }
  throw refusal('key_unknown');
}

async function passkeySigned(
  { passkeys }: OperatorKeys,
  proof: PasskeyProof,
  intentHash: Uint8Array,
): Promise<boolean> {
  for (const { x, y, rp_id: rpId, origin } of passkeys) {
    if ((await passkeyThumbprint({ x, y })) !== proof.kid) continue;
    const signed = await readAssertion(proof, { challenge: toBase64url(intentHash), rpId, origin });
    return signatureHolds('sha256', signed, { kty: 'EC', crv: 'P-256', x, y }, proof.sig);
  }
  throw refusal('key_unknown');
}

/** A key or a signature that the platform cannot read made no signature. */
function signatureHolds(hash: string | null, signed: Uint8Array, jwk: object, sig: string): boolean {
  try {
    return verify(hash, signed, createPublicKey({ key: jwk as never, format: 'jwk' }), fromBase64url(sig));
  } catch {
    return false;
  }
}

function refusal(reason: string): Failure {
  return new Failure('AUTHZ_INVALID', { reason });
}
