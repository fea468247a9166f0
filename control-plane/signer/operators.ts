// Registering and removing factors: asked on the host, over the admin socket, and nowhere else.

import { Failure } from '../../protocol/failure.ts';
import { publicKey, thumbprint } from '../../protocol/keys.ts';
import { newTotp } from './factors.ts';
import type { IntentParts } from './intents.ts';
import type { AdminMethods, Params, Result } from './requests.ts';

export async function addOperator(
  { ledger, randomBytes, nowS }: IntentParts,
  { name, key }: Params<AdminMethods, 'operator.add'>,
): Promise<Result<AdminMethods, 'operator.add'>> {
  const at = nowS();
  const kind = key ? 'key' : 'totp';
  const totp = key ? null : newTotp(name, randomBytes);
  const kid = key ? await thumbprint(key) : '';
  if (key) await publicKey(key);
  const material = key ? JSON.stringify({ kty: key.kty, crv: key.crv, x: key.x }) : (totp?.material ?? '');
  ledger.transaction(() => {
    if (ledger.factors().some((factor) => factor.kind === kind && sameFactor(factor, name, kid))) {
      throw new Failure('ALREADY_EXISTS', { operator: name, factor: kind });
    }
    ledger.addFactor({ operator: name, kind, kid, material, added_at: at });
    ledger.audit({ at, kind: 'factor.added', operator: name, data: { kind, kid } });
  });
  return { name, totp_uri: totp?.uri ?? null, kid: key ? kid : null };
}

/** One authenticator an operator; one key serves one operator. */
function sameFactor(factor: { operator: string; kind: string; kid: string }, name: string, kid: string): boolean {
  return factor.kind === 'totp' ? factor.operator === name : factor.kid === kid;
}

export function listOperators({ ledger }: IntentParts): Result<AdminMethods, 'operator.list'> {
  const byName = Map.groupBy(ledger.factors(), ({ operator }) => operator);
  const operators = [...byName].map(([name, factors]) => ({
    name,
    factors: factors.map(({ kind, kid, added_at }) => ({ kind, kid: kid === '' ? null : kid, added_at })),
  }));
  return { operators };
}

export function removeFactor(
  { ledger, nowS }: IntentParts,
  { name, kind, kid }: Params<AdminMethods, 'factor.remove'>,
): Result<AdminMethods, 'factor.remove'> {
  ledger.transaction(() => {
    if (!ledger.removeFactor(name, kind, kid ?? null)) throw new Failure('FACTOR_UNKNOWN', { operator: name });
    ledger.audit({ at: nowS(), kind: 'factor.removed', operator: name, data: { kind, kid: kid ?? null } });
  });
  return {};
}
