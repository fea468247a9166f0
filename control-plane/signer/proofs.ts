// Proofs of intents: whose turn it is, whether the method is allowed, whether the proof holds on exactly these bytes; then it is
// burnt, in one transaction with the outcome. What can be mistyped may be tried five times; what cannot is void at once.

import type { FactorMethod, OperatorProof } from '../../protocol/command.ts';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { raise } from './alarms.ts';
import { allowedFactors } from './allowed.ts';
import {
  deleteFactors,
  deleteMailCode,
  type Factor,
  factorsOf,
  failuresOf,
  mailCodeOf,
  policyOf,
  setFailures,
  setLastStep,
} from './factor-records.ts';
import { codeHash, equalText, keySigned, mailCodeHash, totpStep } from './factors.ts';
import { awaited, demandLiving, FAILURES_MAX, TRIES_MAX } from './intents.ts';
import type { StoredIntent } from './ledger.ts';
import { spend } from './limits.ts';
import type { SignerParts } from './parts.ts';
import { readAssertionOf, readMaterial } from './passkeys.ts';
import type { Params, Proof, Result, SignerMethods } from './requests.ts';

/** After so many wrong codes in a row each further one has to wait, twice as long each time, up to a limit. */
const BACKOFF_AFTER = TRIES_MAX;
const BACKOFF_S_MAX = 900;

/** `burn` spends the factor; `kept` is a proof that others can check again. */
type Verdict =
  | Readonly<{ is: 'good'; burn(): (() => void) | undefined; kept: string | null }>
  | Readonly<{ is: 'mistaken'; reason?: 'reused' | 'expired' }>
  | Readonly<{ is: 'void'; reason: string }>;

type ProveParams = Params<SignerMethods, 'intent.prove'>;

export async function proveIntent(
  parts: SignerParts,
  asked: ProveParams,
): Promise<Result<SignerMethods, 'intent.prove'>> {
  const { ledger, nowS } = parts;
  const { op, operator, proof } = asked;
  const { method } = proof;
  const { intent, as } = demandTurn(parts, asked);
  const candidates = await demandFactors(parts, { operator, method, as, op });
  const verdict = await judge(parts, { intent, operator, proof, candidates });
  // Requests are taken one at a time, so nothing has changed since the checks above.
  const at = nowS();
  if (verdict.is === 'void') throw voidOperation(parts, intent, operator, { method, reason: verdict.reason });
  if (verdict.is === 'mistaken') throw countMistake(parts, intent, operator, { method, reason: verdict.reason });
  let afterwards: (() => void) | undefined;
  ledger.transaction(() => {
    afterwards = verdict.burn();
    setFailures(ledger, operator, { consecutive: 0, last_at: at });
    if (as === 'first') ledger.setProven(op, method, at, verdict.kept);
    else ledger.setSecond(op, operator, method, at);
    const kind = as === 'first' ? 'intent.proven' : 'intent.seconded';
    const shown = verdict.kept === null ? {} : { proof: JSON.parse(verdict.kept) as OperatorProof };
    ledger.audit({ at, kind, op, operator, data: { hash: intent.hash, method, ...shown } });
  });
  afterwards?.();
  return { method, at, complete: as === 'second' || intent.two_people === 0 };
}

export type Turn = Readonly<{ intent: StoredIntent; as: 'first' | 'second' }>;

/** The operation's newest intent, if it is this operator's turn to prove exactly it. */
export function demandTurn(parts: SignerParts, asked: Pick<ProveParams, 'op' | 'intent_hash' | 'operator'>): Turn {
  const { ledger, nowS } = parts;
  const { op, intent_hash: hash, operator } = asked;
  const intent = ledger.intent(op);
  if (!intent) throw new Failure('AUTHZ_INVALID', { reason: 'intent' });
  demandLiving(intent);
  const as = awaited(intent);
  if (as === null) {
    // Told to those who proved it: their answer may have been lost. Of anyone else it would make an approver.
    const isTheirs = operator === intent.operator || operator === intent.second_operator;
    throw isTheirs
      ? new Failure('STATE_CONFLICT', { reason: 'proven' })
      : new Failure('AUTHZ_INVALID', { reason: 'operator' });
  }
  // Somebody else's word changes nothing of the operation.
  if (as === 'first' && intent.operator !== operator) throw new Failure('AUTHZ_INVALID', { reason: 'operator' });
  if (as === 'second' && intent.operator === operator) throw new Failure('AUTHZ_INVALID', { reason: 'same_person' });
  if (intent.hash !== hash) throw voidOperation(parts, intent, operator, { method: null, reason: 'intent' });
  if (nowS() > intent.not_after) throw new Failure('EXPIRED', { reason: 'intent' });
  demandPatience(parts, operator);
  return { intent, as };
}

function demandPatience({ ledger, nowS }: SignerParts, operator: string): void {
  const { consecutive, last_at } = failuresOf(ledger, operator);
  if (consecutive >= FAILURES_MAX) throw new Failure('FACTOR_LOCKED', { reason: 'operator' });
  const now = nowS();
  const left = last_at + backoffS(consecutive) - now;
  // A clock that was put back must not make them wait for the time that it was wrong by.
  if (left > 0 && last_at <= now) throw new Failure('RATE_LIMITED', { wait_s: left });
}

export function backoffS(consecutive: number): number {
  return consecutive < BACKOFF_AFTER ? 0 : Math.min(BACKOFF_S_MAX, 2 ** (consecutive - BACKOFF_AFTER));
}

type Wanted = Readonly<{ op: string; operator: string; method: FactorMethod; as: 'first' | 'second' }>;

/** The operator's factors of that kind which may be used here. A client that asks for a weaker one is refused. */
export async function demandFactors(
  { ledger, authority, nowS }: SignerParts,
  { op, operator, method, as }: Wanted,
): Promise<Factor[]> {
  const registered = factorsOf(ledger, operator);
  const { root } = await authority.current();
  const allowed = allowedFactors(policyOf(ledger), root, registered, as).filter(({ kind }) => kind === method);
  if (allowed.length > 0) return allowed;
  if (!registered.some(({ kind }) => kind === method)) throw new Failure('FACTOR_UNKNOWN', { method });
  const at = nowS();
  ledger.transaction(() => {
    spend(ledger, 'refusal', operator, at);
    ledger.audit({ at, kind: 'factor.not_allowed', op, operator, data: { method } });
  });
  throw new Failure('FACTOR_NOT_ALLOWED', { method });
}

type Judged = Readonly<{ intent: StoredIntent; operator: string; proof: Proof; candidates: readonly Factor[] }>;

async function judge(parts: SignerParts, judged: Judged): Promise<Verdict> {
  const { intent, proof, candidates } = judged;
  switch (proof.method) {
    case 'totp':
      return judgeTotp(parts, candidates, proof.code);
    case 'email':
      return judgeMailCode(parts, judged, proof.code);
    case 'recovery':
      return judgeRecovery(parts, judged, proof.code);
    case 'key': {
      const factor = candidates.find(({ kid }) => kid === proof.kid);
      if (!factor) return { is: 'void', reason: 'key' };
      if (!(await keySigned(factor, intent.hash, proof.sig))) return { is: 'void', reason: 'signature' };
      const kept = JSON.stringify({ kid: proof.kid, sig: proof.sig });
      return { is: 'good', burn: () => undefined, kept };
    }
    case 'passkey': {
      const factor = candidates.find((candidate) => readMaterial(candidate).id === proof.response.id);
      if (!factor) return { is: 'void', reason: 'credential' };
      return judgePasskey(parts, factor, proof.response, intent.hash);
    }
  }
}

function judgeTotp({ ledger, nowS }: SignerParts, [factor]: readonly Factor[], code: string): Verdict {
  if (!factor) return { is: 'mistaken' };
  const step = totpStep(factor, code, nowS());
  if (step === null) return { is: 'mistaken' };
  if (step <= factor.last_step) return { is: 'mistaken', reason: 'reused' };
  return {
    is: 'good',
    kept: null,
    burn: () => {
      setLastStep(ledger, factor, step);
      return undefined;
    },
  };
}

/** A code that was mailed for another intent, or for none, cannot have been mistyped. */
function judgeMailCode({ ledger, nowS }: SignerParts, { intent, operator }: Judged, code: string): Verdict {
  const { op, hash } = intent;
  const sent = mailCodeOf(ledger, op, operator);
  if (!sent || sent.intent_hash !== hash) return { is: 'void', reason: 'no_code_for_this_intent' };
  if (nowS() > sent.expires_at) return { is: 'mistaken', reason: 'expired' };
  if (!equalText(sent.code_sha256, mailCodeHash(hash, code))) return { is: 'mistaken' };
  return {
    is: 'good',
    kept: null,
    burn: () => {
      deleteMailCode(ledger, op, operator);
      return undefined;
    },
  };
}

function judgeRecovery(parts: SignerParts, { intent, operator, candidates }: Judged, code: string): Verdict {
  const kid = codeHash(code);
  if (!candidates.some((factor) => equalText(factor.kid, kid))) return { is: 'mistaken' };
  return {
    is: 'good',
    kept: null,
    burn: () => {
      deleteFactors(parts.ledger, operator, 'recovery', kid);
      const data = { left: candidates.length - 1 };
      return raise(parts, { at: parts.nowS(), kind: 'recovery.used', operator, op: intent.op, data });
    },
  };
}

async function judgePasskey(
  { ledger }: SignerParts,
  factor: Factor,
  response: Extract<Proof, { method: 'passkey' }>['response'],
  hash: string,
): Promise<Verdict> {
  try {
    const { proof, counter } = await readAssertionOf(factor, response as never, hash);
    return {
      is: 'good',
      kept: JSON.stringify(proof),
      burn: () => {
        setLastStep(ledger, factor, counter);
        return undefined;
      },
    };
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    return { is: 'void', reason: 'assertion' };
  }
}

type Tried = Readonly<{ method: FactorMethod | null; reason: string | undefined }>;

/** A proof of something else: whoever has it must start again, with another operation. */
function voidOperation(parts: SignerParts, { op, tries }: StoredIntent, operator: string, tried: Tried): Failure {
  const { ledger, nowS } = parts;
  const at = nowS();
  let afterwards: (() => void) | undefined;
  ledger.transaction(() => {
    ledger.setVoid(op, 'AUTHZ_INVALID');
    afterwards = countFailure(parts, operator, op);
    ledger.audit({ at, kind: 'factor.refused', op, operator, data: { ...tried, tries: tries + 1, void: true } });
  });
  afterwards?.();
  return new Failure('AUTHZ_INVALID', { reason: tried.reason ?? null, void: true });
}

function countMistake(parts: SignerParts, intent: StoredIntent, operator: string, tried: Tried): Failure {
  const { ledger, nowS } = parts;
  const { op } = intent;
  const tries = intent.tries + 1;
  const at = nowS();
  const letters: ((() => void) | undefined)[] = [];
  ledger.transaction(() => {
    ledger.setTries(op, tries);
    letters.push(countFailure(parts, operator, op));
    ledger.audit({ at, kind: 'factor.refused', op, operator, data: { ...tried, tries } });
    if (tried.reason === 'reused') letters.push(raise(parts, { at, kind: 'factor.reused', op, operator }));
  });
  for (const letter of letters) letter?.();
  const details = tried.reason === undefined ? {} : { reason: tried.reason };
  return new Failure('FACTOR_REFUSED', { ...details, left: TRIES_MAX - tries });
}

/** One more in a row; the last one that is allowed is an alarm. */
function countFailure(parts: SignerParts, operator: string, op: string): (() => void) | undefined {
  const { ledger, nowS } = parts;
  const consecutive = failuresOf(ledger, operator).consecutive + 1;
  setFailures(ledger, operator, { consecutive, last_at: nowS() });
  return consecutive === FAILURES_MAX ? raise(parts, { at: nowS(), kind: 'factor.locked', operator, op }) : undefined;
}
