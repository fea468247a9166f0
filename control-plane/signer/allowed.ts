// Which factors may prove an intent: those that the policy names and, where machines check proofs themselves, those that the
// root in force names. The signer decides this for itself; no client can ask for less.

import { operatorKeysOf, type RootPayload } from '../../protocol/root.ts';
import type { Factor, FactorPolicy } from './factor-records.ts';
import { readMaterial } from './passkeys.ts';

/** `second`: a second person's proof goes no further than here, so machines need not know it. */
export function allowedFactors(
  { methods }: FactorPolicy,
  root: RootPayload,
  factors: readonly Factor[],
  as: 'first' | 'second',
): Factor[] {
  const allowed = factors.filter(({ kind }) => methods.includes(kind));
  return root.policy.require_operator_proof && as === 'first'
    ? allowed.filter((factor) => isKnownToMachines(root, factor))
    : allowed;
}

/** Anything else would be signed here and refused there. */
function isKnownToMachines(root: RootPayload, factor: Factor): boolean {
  const known = operatorKeysOf(root, factor.operator);
  if (!known) return false;
  if (factor.kind === 'key') {
    const { x } = JSON.parse(factor.material) as { x: string };
    return known.keys.some((key) => key.x === x);
  }
  if (factor.kind !== 'passkey') return false;
  const { x, y, rp_id, origin } = readMaterial(factor);
  return known.passkeys.some(
    (listed) => listed.x === x && listed.y === y && listed.rp_id === rp_id && listed.origin === origin,
  );
}
