// The intent to let a held identity in again. It is proven like any other and signed for nobody: no machine obeys it, and no
// command can be made of it.

import { canonicalBytes, parseCanonical } from '../../protocol/canonical.ts';
import { encodeIntent, intentHash } from '../../protocol/intent.ts';
import { fromBase64url, toBase64url } from '../../protocol/keys.ts';
import { INTENT_TTL_S } from '../../protocol/limits.ts';
import { newId } from '../../protocol/schema.ts';
import { methodsFor } from './intents.ts';
import type { SignerParts } from './parts.ts';
import type { Params, Result, SignerMethods } from './requests.ts';

export async function buildRelease(
  { ledger, randomBytes, nowS, authority }: SignerParts,
  { project, agent, operator }: Params<SignerMethods, 'release.build'>,
): Promise<Result<SignerMethods, 'release.build'>> {
  const op = newId('op', randomBytes);
  const not_after = nowS() + INTENT_TTL_S;
  const nonce = toBase64url(randomBytes(32));
  const bytes = canonicalBytes({ v: 1, op, project, agent, operator, nonce, not_after, act: 'release' });
  const [intent, hash] = [encodeIntent(bytes), await intentHash(bytes)];
  const { root } = await authority.current();
  // A code by mail comes with a letter about a reset.
  const methods = methodsFor(ledger, root, operator, 'first').filter((method) => method !== 'email');
  ledger.transaction(() => {
    ledger.putIntent({ op, bytes: intent, hash, agent, project, operator, not_after, two_people: 0 });
    ledger.audit({ at: nowS(), kind: 'release.built', op, operator, data: { hash, agent } });
  });
  return { op, intent, intent_hash: hash, not_after, methods };
}

/** The act that an intent's bytes name, whichever kind they are. */
export function actOf(bytes: string): unknown {
  return (parseCanonical(fromBase64url(bytes)) as { act?: unknown }).act;
}
