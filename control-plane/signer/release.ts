// The intent to let a held identity in again. It is proven like any other, by a second person where the policy wants one, and
// signed for nobody: no machine obeys it, and no command can be made of it.

import { canonicalBytes, parseCanonical } from '../../protocol/canonical.ts';
import { encodeIntent, intentHash } from '../../protocol/intent.ts';
import { fromBase64url, toBase64url } from '../../protocol/keys.ts';
import { INTENT_TTL_S } from '../../protocol/limits.ts';
import { newId } from '../../protocol/schema.ts';
import { policyOf } from './factor-records.ts';
import { methodsFor, TRIES_MAX } from './intents.ts';
import type { SignerLedger, StoredIntent } from './ledger.ts';
import { spend } from './limits.ts';
import type { SignerParts } from './parts.ts';
import type { Params, Result, SignerMethods } from './requests.ts';

export async function buildRelease(
  { ledger, randomBytes, nowS, authority }: SignerParts,
  { project, agent, operator }: Params<SignerMethods, 'release.build'>,
): Promise<Result<SignerMethods, 'release.build'>> {
  const { root } = await authority.current();
  // A code by mail comes with a letter about a reset.
  const methods = (as: 'first' | 'second') =>
    methodsFor(ledger, root, operator, as).filter((method) => method !== 'email');
  const pending = awaitingSecond(ledger, agent, operator, nowS());
  if (pending) {
    const { op, bytes: intent, hash: intent_hash, not_after } = pending;
    return { op, intent, intent_hash, not_after, awaits: 'second', methods: methods('second') };
  }
  const op = newId('op', randomBytes);
  const not_after = nowS() + INTENT_TTL_S;
  const nonce = toBase64url(randomBytes(32));
  const bytes = canonicalBytes({ v: 1, op, project, agent, operator, nonce, not_after, act: 'release' });
  const [intent, hash] = [encodeIntent(bytes), await intentHash(bytes)];
  ledger.transaction(() => {
    spend(ledger, 'proposal', operator, nowS());
    const two_people = policyOf(ledger).second_person ? 1 : 0;
    ledger.putIntent({ op, bytes: intent, hash, agent, project, operator, not_after, two_people });
    ledger.audit({ at: nowS(), kind: 'release.built', op, operator, data: { hash, agent, intent, two_people } });
  });
  return { op, intent, intent_hash: hash, not_after, awaits: 'first', methods: methods('first') };
}

/** What somebody else has asked for and proven, and this operator may prove as the second person. */
function awaitingSecond(ledger: SignerLedger, agent: string, operator: string, nowS: number): StoredIntent | undefined {
  const sql = `SELECT * FROM intents WHERE agent = ? AND operator <> ? AND proven_at IS NOT NULL AND two_people = 1
    AND second_at IS NULL AND void IS NULL AND tries < ? AND not_after >= ? ORDER BY proven_at DESC`;
  const found = ledger.rows<StoredIntent>(sql, agent, operator, TRIES_MAX, nowS);
  return found.find(({ bytes }) => actOf(bytes) === 'release');
}

/** The act that an intent's bytes name, whichever kind they are. */
export function actOf(bytes: string): unknown {
  return (parseCanonical(fromBase64url(bytes)) as { act?: unknown }).act;
}
