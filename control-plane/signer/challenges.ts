// What a method needs before it can prove an intent: a code by mail, or the options of a passkey's assertion. And the way in
// for a new passkey: an invitation from the host, used once in the operator's browser.

import { Failure } from '../../protocol/failure.ts';
import { readIntent, type WorkIntent } from '../../protocol/intent.ts';
import { toBase64url } from '../../protocol/keys.ts';
import { OPERATOR_KEYS_MAX } from '../../protocol/limits.ts';
import { tellOfFactor } from './alarms.ts';
import {
  allFactors,
  deleteEnrolment,
  type Enrolment,
  enrolmentOf,
  factorsOf,
  forgetOld,
  insertFactor,
  mailsSent,
  noteMail,
  putEnrolment,
  putMailCode,
} from './factor-records.ts';
import { codeHash, drawDigits, mailCodeHash } from './factors.ts';
import type { StoredIntent } from './ledger.ts';
import type { SignerParts } from './parts.ts';
import { assertionOptions, creationOptions, placeOf, readCreation, readMaterial } from './passkeys.ts';
import { demandFactors, demandTurn } from './proofs.ts';
import { actOf } from './release.ts';
import type { Params, Result, SignerMethods } from './requests.ts';

const MAIL_CODE_DIGITS = 8;
const MAIL_CODE_TTL_S = 600;
/** Codes mailed for one operation, and to one operator within an hour. */
export const MAILS_PER_OPERATION_MAX = 3;
const MAILS_PER_HOUR_MAX = 10;
const HOUR_S = 3_600;

/** Work that no other request has to wait for: done after the request's turn. */
export class AfterTurn<T> {
  readonly work: () => Promise<T>;

  constructor(work: () => Promise<T>) {
    this.work = work;
  }
}

function describedBy({ bytes }: StoredIntent): WorkIntent {
  if (actOf(bytes) === 'release') throw new Failure('FACTOR_NOT_ALLOWED', { method: 'email' });
  return readIntent(bytes) as WorkIntent;
}

export async function mailCode(
  parts: SignerParts,
  { vm_name, ...asked }: Params<SignerMethods, 'factor.email'>,
): Promise<AfterTurn<Result<SignerMethods, 'factor.email'>>> {
  const { ledger, mailer, nowS, randomBytes } = parts;
  const { op, operator } = asked;
  const { intent, as } = demandTurn(parts, asked);
  // Before anything is counted: what a letter cannot describe is not proven by one.
  const described = describedBy(intent);
  const [factor] = await demandFactors(parts, { op, operator, method: 'email', as });
  if (!factor || !mailer) throw new Failure('MAIL_UNAVAILABLE', { reason: 'not_set_up' });
  const at = nowS();
  const sent = mailsSent(ledger, operator, op, at - HOUR_S);
  if (sent.forOperation >= MAILS_PER_OPERATION_MAX || sent.lately >= MAILS_PER_HOUR_MAX) {
    throw new Failure('RATE_LIMITED', { reason: 'mails' });
  }
  const code = drawDigits(MAIL_CODE_DIGITS, randomBytes);
  const expires_at = Math.min(at + MAIL_CODE_TTL_S, intent.not_after);
  ledger.transaction(() => {
    forgetOld(ledger, at);
    putMailCode(ledger, {
      op,
      operator,
      intent_hash: intent.hash,
      code_sha256: mailCodeHash(intent.hash, code),
      expires_at,
    });
    noteMail(ledger, operator, op, at);
    ledger.audit({ at, kind: 'factor.mailed', op, operator, data: { hash: intent.hash } });
  });
  const where = placesOf(described, vm_name);
  const text = letterOf(described, { code, where, operator, expires_at });
  return new AfterTurn(async () => {
    await mailer.send({
      to: factor.material,
      subject: `Latchkey: code ${described.act === 'reset' ? 'to reset' : 'for the first passwords of'} ${where}`,
      text,
    });
    return { sent_to: masked(factor.material), expires_at };
  });
}

type Said = Readonly<{ code: string; where: string; operator: string; expires_at: number }>;

const targetsOf = (intent: WorkIntent) => (intent.act === 'reset' ? intent.targets : undefined);

function placesOf(intent: WorkIntent, vmName = 'one machine'): string {
  const targets = targetsOf(intent);
  return targets ? `${targets.length} machines` : vmName;
}

/** What is approved is read from the intent; the machine's name alone is the control plane's word. */
function letterOf(intent: WorkIntent, { code, where, operator, expires_at }: Said) {
  const { act, agent, account, vnc, operator: by, op } = intent;
  const targets = targetsOf(intent);
  const what = [
    ...(account ? [`the password of ${account.name ?? 'the default administrator'}`] : []),
    ...(vnc ? ['the VNC password'] : []),
  ].join(' and ');
  return [
    `${operator}: with this code you approve that ${by} ${act === 'reset' ? 'resets' : 'is given'} ${what} on ${where}, and that ${targets ? 'they restart' : 'it restarts'}.`,
    '',
    `    ${code}`,
    '',
    targets ? `Machines: agents ${targets.join(', ')}` : `Machine: ${where} (agent ${agent})`,
    `Operation: ${op}`,
    `The code works once, for this and nothing else, until ${new Date(expires_at * 1000).toISOString()}.`,
    'If you did not ask for it, do not pass it on, and tell whoever runs Latchkey.',
    '',
  ].join('\n');
}

function masked(address: string): string {
  return address.replace(/^(.).*@/, '$1***@');
}

/** Challenge: the intent's hash, so that the passkey's assertion covers it and nothing else. */
export async function passkeyOptions(
  parts: SignerParts,
  asked: Params<SignerMethods, 'factor.passkey'>,
): Promise<Result<SignerMethods, 'factor.passkey'>> {
  const { intent, as } = demandTurn(parts, asked);
  const known = await demandFactors(parts, { ...asked, method: 'passkey', as });
  const place = placeOf(parts.origin());
  const here = known.filter((factor) => readMaterial(factor).rp_id === place.rpId);
  if (here.length === 0) throw new Failure('FACTOR_UNKNOWN', { method: 'passkey', reason: 'of_another_place' });
  return { options: { ...(await assertionOptions(intent.hash, place, here)) } };
}

export async function registrationOptions(
  parts: SignerParts,
  { operator, invitation }: Params<SignerMethods, 'passkey.options'>,
): Promise<Result<SignerMethods, 'passkey.options'>> {
  const { ledger, randomBytes } = parts;
  const enrolment = demandInvitation(parts, operator, invitation);
  const place = placeOf(parts.origin());
  const challenge = toBase64url(randomBytes(32));
  const known = factorsOf(ledger, operator).filter(({ kind }) => kind === 'passkey');
  const options = await creationOptions(operator, place, challenge, known);
  ledger.transaction(() => putEnrolment(ledger, { ...enrolment, challenge }));
  return { options: { ...options } };
}

export async function registerPasskey(
  parts: SignerParts,
  { operator, invitation, response }: Params<SignerMethods, 'passkey.register'>,
): Promise<Result<SignerMethods, 'passkey.register'>> {
  const { ledger, nowS } = parts;
  const { sha256, challenge } = demandInvitation(parts, operator, invitation);
  if (challenge === null) throw new Failure('STATE_CONFLICT', { reason: 'no_options' });
  const { kid, material } = await readCreation(response as never, placeOf(parts.origin()), challenge);
  const at = nowS();
  const letter = tellOfFactor(parts, operator, { kind: 'passkey', change: 'registered' });
  ledger.transaction(() => {
    const passkeys = allFactors(ledger).filter(({ kind }) => kind === 'passkey');
    if (passkeys.some((factor) => factor.kid === kid)) throw new Failure('ALREADY_EXISTS', { factor: 'passkey' });
    if (passkeys.filter((factor) => factor.operator === operator).length >= OPERATOR_KEYS_MAX) {
      throw new Failure('REQUEST_INVALID', { reason: 'too_many_passkeys' });
    }
    deleteEnrolment(ledger, sha256);
    insertFactor(ledger, { operator, kind: 'passkey', kid, material, added_at: at });
    const { x, y, rp_id, origin } = readMaterial({ material });
    ledger.audit({
      at,
      kind: 'factor.added',
      operator,
      data: { kind: 'passkey', kid, passkey: { x, y, rp_id, origin } },
    });
  });
  letter();
  return { kid };
}

/** Whoever has the invitation and not the operator's sign-in, or the other way about, has nothing. */
function demandInvitation({ ledger, nowS }: SignerParts, operator: string, invitation: string): Enrolment {
  const found = enrolmentOf(ledger, codeHash(invitation));
  if (!found || found.operator !== operator || nowS() > found.expires_at) {
    throw new Failure('AUTHZ_INVALID', { reason: 'invitation' });
  }
  return found;
}
