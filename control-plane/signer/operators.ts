// Registering, replacing and removing factors, and the policy: asked on the host, over the admin socket, and nowhere else.

import type { FactorMethod } from '../../protocol/command.ts';
import { Failure } from '../../protocol/failure.ts';
import { publicKey, thumbprint, toBase64url } from '../../protocol/keys.ts';
import { OPERATOR_KEYS_MAX } from '../../protocol/limits.ts';
import type { OperatorKeys } from '../../protocol/root.ts';
import type { Ed25519Jwk } from '../../protocol/schema.ts';
import { raise, tellOfFactor } from './alarms.ts';
import {
  allFactors,
  deleteAllOf,
  deleteFactors,
  deleteMailCodesOf,
  type Factor,
  factorsOf,
  forgetOld,
  insertFactor,
  policyOf,
  putEnrolment,
  putPolicy,
  setFailures,
} from './factor-records.ts';
import { codeHash, drawRecoveryCode, newTotp } from './factors.ts';
import type { SignerParts } from './parts.ts';
import { readMaterial } from './passkeys.ts';
import type { AdminMethods, Params, Result } from './requests.ts';

const RECOVERY_CODES = 10;
const INVITATION_TTL_S = 900;

type AddParams = Params<AdminMethods, 'operator.add'>;
type Added = Result<AdminMethods, 'operator.add'>;
type NewFactor = Pick<Factor, 'kind' | 'kid' | 'material'>;

export async function addOperator(parts: SignerParts, asked: AddParams): Promise<Added> {
  const { name, key, email, passkey, recovery } = asked;
  const none: Added = { name, totp_uri: null, kid: null, passkey_invitation: null, recovery_codes: [] };
  if (passkey) return { ...none, passkey_invitation: invite(parts, name) };
  if (recovery) return { ...none, recovery_codes: replaceRecoveryCodes(parts, name) };
  if (key) {
    const kid = await thumbprint(key);
    await publicKey(key);
    add(parts, name, { kind: 'key', kid, material: JSON.stringify({ kty: key.kty, crv: key.crv, x: key.x }) });
    return { ...none, kid };
  }
  if (email !== undefined) {
    add(parts, name, { kind: 'email', kid: '', material: email });
    return none;
  }
  const totp = newTotp(name, parts.randomBytes);
  add(parts, name, { kind: 'totp', kid: '', material: totp.material });
  return { ...none, totp_uri: totp.uri };
}

/** One authenticator and one address an operator; one key serves one operator. */
function add(parts: SignerParts, operator: string, { kind, kid, material }: NewFactor): void {
  const { ledger, nowS } = parts;
  const at = nowS();
  const letter = tellOfFactor(parts, operator, { kind, change: 'registered' });
  ledger.transaction(() => {
    const same = allFactors(ledger).filter((factor) => factor.kind === kind);
    demandOwnMailbox(same, operator, { kind, material });
    if (same.some((factor) => (kind === 'key' ? factor.kid === kid : factor.operator === operator))) {
      throw new Failure('ALREADY_EXISTS', { operator, factor: kind });
    }
    if (same.filter((factor) => factor.operator === operator).length >= OPERATOR_KEYS_MAX) {
      throw new Failure('REQUEST_INVALID', { operator, reason: 'too_many_keys' });
    }
    insertFactor(ledger, { operator, kind, kid, material, added_at: at });
    // Of a key others may know what it is; of everything else, only that it is there.
    const shown = kind === 'key' ? { key: JSON.parse(material) as Ed25519Jwk } : {};
    ledger.audit({ at, kind: 'factor.added', operator, data: { kind, kid, ...shown } });
  });
  letter();
}

/** Whoever reads the mailbox of two operators would be two people. */
function demandOwnMailbox(same: readonly Factor[], operator: string, { kind, material }: Omit<NewFactor, 'kid'>): void {
  const address = material.toLowerCase();
  const taken = same.some((factor) => factor.operator !== operator && factor.material.toLowerCase() === address);
  if (kind === 'email' && taken) throw new Failure('REQUEST_INVALID', { operator, reason: 'mailbox_of_another' });
}

/** A code with which the operator registers one passkey in their browser, soon. */
function invite({ ledger, randomBytes, nowS }: SignerParts, operator: string): string {
  const invitation = toBase64url(randomBytes(32));
  const at = nowS();
  ledger.transaction(() => {
    forgetOld(ledger, at);
    putEnrolment(ledger, {
      sha256: codeHash(invitation),
      operator,
      expires_at: at + INVITATION_TTL_S,
      challenge: null,
    });
    ledger.audit({ at, kind: 'passkey.invited', operator });
  });
  return invitation;
}

/** Those handed out before are void. */
function replaceRecoveryCodes(parts: SignerParts, operator: string): string[] {
  const { ledger, randomBytes, nowS } = parts;
  const letter = tellOfFactor(parts, operator, { kind: 'recovery', change: 'registered' });
  const codes = Array.from({ length: RECOVERY_CODES }, () => drawRecoveryCode(randomBytes));
  const at = nowS();
  ledger.transaction(() => {
    deleteFactors(ledger, operator, 'recovery', null);
    for (const code of codes) {
      insertFactor(ledger, { operator, kind: 'recovery', kid: codeHash(code), material: '', added_at: at });
    }
    ledger.audit({ at, kind: 'factor.added', operator, data: { kind: 'recovery', count: codes.length } });
  });
  letter();
  return codes;
}

/**
 * For one who lost their factors, or whose factors somebody else has: all of them go, and whatever they approved and is still
 * waiting is void. A new authenticator and new recovery codes are answered this once. An alarm, in any case.
 */
export function recoverOperator(
  parts: SignerParts,
  { name }: Params<AdminMethods, 'operator.recover'>,
): Result<AdminMethods, 'operator.recover'> {
  const { ledger, randomBytes, nowS } = parts;
  if (factorsOf(ledger, name).length === 0) throw new Failure('FACTOR_UNKNOWN', { operator: name });
  const at = nowS();
  const totp = newTotp(name, randomBytes);
  let letter: (() => void) | undefined;
  ledger.transaction(() => {
    letter = raise(parts, { at, kind: 'operator.recovered', operator: name });
    deleteAllOf(ledger, name);
    ledger.voidAllOf(name, 'AUTHZ_INVALID', at);
    insertFactor(ledger, { operator: name, kind: 'totp', kid: '', material: totp.material, added_at: at });
  });
  letter?.();
  return { name, totp_uri: totp.uri, recovery_codes: replaceRecoveryCodes(parts, name) };
}

export function listOperators({ ledger }: SignerParts): Result<AdminMethods, 'operator.list'> {
  const byName = Map.groupBy(allFactors(ledger), ({ operator }) => operator);
  const operators = [...byName].map(([name, factors]) => ({
    name,
    factors: factors
      .filter(({ kind }) => kind !== 'recovery')
      .map(({ kind, kid, added_at }) => ({ kind, kid: kid === '' ? null : kid, added_at })),
    recovery_codes: factors.filter(({ kind }) => kind === 'recovery').length,
  }));
  return { operators };
}

export function removeFactor(
  parts: SignerParts,
  { name, kind, kid }: Params<AdminMethods, 'factor.remove'>,
): Result<AdminMethods, 'factor.remove'> {
  const { ledger, nowS } = parts;
  const letter = tellOfFactor(parts, name, { kind, change: 'removed' });
  ledger.transaction(() => {
    if (deleteFactors(ledger, name, kind, kid ?? null) === 0) throw new Failure('FACTOR_UNKNOWN', { operator: name });
    // A code in the old mailbox is none of the next address's.
    if (kind === 'email') deleteMailCodesOf(ledger, name);
    setFailures(ledger, name, { consecutive: 0, last_at: 0 });
    ledger.audit({ at: nowS(), kind: 'factor.removed', operator: name, data: { kind, kid: kid ?? null } });
  });
  letter();
  return {};
}

export function getPolicy({ ledger }: SignerParts): Result<AdminMethods, 'policy.get'> {
  return policyOf(ledger);
}

export function setPolicy(
  { ledger, nowS }: SignerParts,
  { methods, second_person }: Params<AdminMethods, 'policy.set'>,
): Result<AdminMethods, 'policy.set'> {
  return ledger.transaction(() => {
    const before = policyOf(ledger);
    const after = {
      methods: methods ? ([...new Set(methods)] as FactorMethod[]) : before.methods,
      second_person: second_person ?? before.second_person,
    };
    putPolicy(ledger, after);
    // Whatever is not proven yet falls under it: intents that were built in advance would get around a second person.
    if (after.second_person) ledger.demandSecond();
    ledger.audit({ at: nowS(), kind: 'policy.set', data: after });
    return after;
  });
}

/** What the next root names for each operator, should machines check proofs themselves. */
export function operatorKeys({ ledger }: SignerParts): Result<AdminMethods, 'operator.keys'> {
  const byName = Map.groupBy(allFactors(ledger), ({ operator }) => operator);
  const named = [...byName].map(([name, factors]): [string, OperatorKeys] => {
    const keys = factors.filter(({ kind }) => kind === 'key').map(({ material }) => JSON.parse(material) as Ed25519Jwk);
    const passkeys = factors.filter(({ kind }) => kind === 'passkey').map(readMaterial);
    return [name, { keys, passkeys: passkeys.map(({ x, y, rp_id, origin }) => ({ x, y, rp_id, origin })) }];
  });
  return { operators: Object.fromEntries(named.filter(([, { keys, passkeys }]) => keys.length + passkeys.length > 0)) };
}
