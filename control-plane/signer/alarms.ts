// What somebody should hear of: written into the audit with the decision itself, mailed to the operator concerned where there
// is an address, and asked for by the control plane, which puts it into its history. A letter that fails stops nothing.

import type { FactorMethod } from '../../protocol/command.ts';
import type { Failure } from '../../protocol/failure.ts';
import { factorsOf } from './factor-records.ts';
import type { AuditEntry } from './ledger.ts';
import type { SignerParts } from './parts.ts';
import type { Params, Result, SignerMethods } from './requests.ts';

const letters = {
  'factor.reused':
    'A code of your authenticator was used a second time. If that was not you, somebody has seen your codes.',
  'factor.locked':
    'Too many wrong codes in a row were entered in your name. You can approve nothing until you were recovered.',
  'recovery.used': 'One of your recovery codes was used. If that was not you, have yourself recovered at once.',
  'operator.recovered': 'All your verification methods were replaced on the host of the control plane.',
} as const;
export type AlarmKind = keyof typeof letters;
const kinds = Object.keys(letters) as AlarmKind[];

/** Alarms that one question brings. */
const ALARMS_MAX = 100;

export type Alarm = AuditEntry & Readonly<{ kind: AlarmKind; operator: string }>;

/** Part of the caller's transaction. The returned function writes the letter, once the transaction is done. */
export function raise(parts: SignerParts, alarm: Alarm): () => void {
  const { kind, operator, op } = alarm;
  parts.ledger.audit(alarm);
  parts.log.warn({ alarm: kind, operator, op: op ?? null }, 'alarm');
  const about = op === undefined ? '' : `Operation: ${op}\n`;
  return letterTo(parts, operator, { about: kind, text: `${letters[kind]}\n\nOperator: ${operator}\n${about}` });
}

/** Whoever did it, the operator hears of it where there was an address before. To be called before the change. */
export function tellOfFactor(
  parts: SignerParts,
  operator: string,
  { kind, change }: Readonly<{ kind: FactorMethod; change: 'registered' | 'removed' }>,
): () => void {
  const text = `A verification method in your name was ${change}: ${kind}. If you do not know of it, tell whoever runs Latchkey.`;
  return letterTo(parts, operator, { about: `factor.${change}`, text: `${text}\n\nOperator: ${operator}\n` });
}

/** The address is read now: what comes next may take it away. */
function letterTo(
  { ledger, mailer, log }: SignerParts,
  operator: string,
  { about, text }: Readonly<{ about: string; text: string }>,
): () => void {
  const to = factorsOf(ledger, operator).find((factor) => factor.kind === 'email')?.material;
  return () => {
    if (!mailer || to === undefined) return;
    mailer.send({ to, subject: `Latchkey: a warning for ${operator}`, text }).catch((error: Failure) => {
      log.error({ code: error.code, details: error.details, alarm: about }, 'the letter could not be sent');
    });
  };
}

export function alarmsAfter(
  { ledger }: SignerParts,
  { after }: Params<SignerMethods, 'alarms'>,
): Result<SignerMethods, 'alarms'> {
  const rows = ledger.auditOf(kinds, after, ALARMS_MAX);
  return { alarms: rows.map(({ n, at, kind, op, operator }) => ({ n, at, kind, op, operator: operator ?? '' })) };
}
