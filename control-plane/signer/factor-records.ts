// What the signer remembers of operators: their factors, wrong tries in a row, codes that were mailed, invitations to register
// a passkey, and the policy. Statements over the ledger, each part of its caller's transaction; they decide nothing.

import { z } from 'zod';
import { type FactorMethod, factorMethods } from '../../protocol/command.ts';
import { INTENT_TTL_S_MAX } from '../../protocol/limits.ts';
import type { SignerLedger } from './ledger.ts';

/** For so long after its end it is still told that something is over, rather than unknown. */
const KEPT_S = 3_600;

/**
 * `kid` names a factor among those of its kind: a key's thumbprint, a recovery code's hash, nothing where there is one at most.
 * `last_step` is the last time step used of an authenticator, and the counter last seen of a passkey.
 */
export type Factor = {
  operator: string;
  kind: FactorMethod;
  kid: string;
  material: string;
  added_at: number;
  last_step: number;
};

export function factorsOf(ledger: SignerLedger, operator: string): Factor[] {
  return ledger.rows<Factor>('SELECT * FROM factors WHERE operator = ? ORDER BY kind, kid', operator);
}

export function allFactors(ledger: SignerLedger): Factor[] {
  return ledger.rows<Factor>('SELECT * FROM factors ORDER BY operator, kind, kid');
}

export function insertFactor(ledger: SignerLedger, factor: Omit<Factor, 'last_step'>): void {
  const { operator, kind, kid, material, added_at } = factor;
  const sql = 'INSERT INTO factors (operator, kind, kid, material, added_at) VALUES (?, ?, ?, ?, ?)';
  ledger.run(sql, operator, kind, kid, material, added_at);
}

/** How many there were; all of the kind without a `kid`. */
export function deleteFactors(ledger: SignerLedger, operator: string, kind: FactorMethod, kid: string | null): number {
  const sql = 'DELETE FROM factors WHERE operator = ? AND kind = ? AND (? IS NULL OR kid = ?)';
  return ledger.run(sql, operator, kind, kid, kid);
}

/** Everything that could still prove something in that operator's name. */
export function deleteAllOf(ledger: SignerLedger, operator: string): number {
  for (const table of ['failures', 'mail_codes', 'enrolments']) {
    ledger.run(`DELETE FROM ${table} WHERE operator = ?`, operator);
  }
  return ledger.run('DELETE FROM factors WHERE operator = ?', operator);
}

export function setLastStep(ledger: SignerLedger, { operator, kind, kid }: Factor, step: number): void {
  const sql = 'UPDATE factors SET last_step = ? WHERE operator = ? AND kind = ? AND kid = ?';
  ledger.run(sql, step, operator, kind, kid);
}

export type Failures = Readonly<{ consecutive: number; last_at: number }>;

export function failuresOf(ledger: SignerLedger, operator: string): Failures {
  const sql = 'SELECT consecutive, last_at FROM failures WHERE operator = ?';
  return ledger.rows<Failures>(sql, operator)[0] ?? { consecutive: 0, last_at: 0 };
}

export function setFailures(ledger: SignerLedger, operator: string, { consecutive, last_at }: Failures): void {
  const sql = `INSERT INTO failures (operator, consecutive, last_at) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET consecutive = excluded.consecutive, last_at = excluded.last_at`;
  ledger.run(sql, operator, consecutive, last_at);
}

export type MailCode = Readonly<{
  op: string;
  operator: string;
  intent_hash: string;
  code_sha256: string;
  expires_at: number;
}>;

export function mailCodeOf(ledger: SignerLedger, op: string, operator: string): MailCode | undefined {
  return ledger.rows<MailCode>('SELECT * FROM mail_codes WHERE op = ? AND operator = ?', op, operator)[0];
}

/** The newest code is the only one. */
export function putMailCode(
  ledger: SignerLedger,
  { op, operator, intent_hash, code_sha256, expires_at }: MailCode,
): void {
  ledger.run(
    'INSERT OR REPLACE INTO mail_codes VALUES (?, ?, ?, ?, ?)',
    op,
    operator,
    intent_hash,
    code_sha256,
    expires_at,
  );
}

export function deleteMailCode(ledger: SignerLedger, op: string, operator: string): void {
  ledger.run('DELETE FROM mail_codes WHERE op = ? AND operator = ?', op, operator);
}

export function deleteMailCodesOf(ledger: SignerLedger, operator: string): void {
  ledger.run('DELETE FROM mail_codes WHERE operator = ?', operator);
}

/** What no decision looks at any more: codes and invitations past their end, and letters of intents past theirs. */
export function forgetOld(ledger: SignerLedger, nowS: number): void {
  ledger.run('DELETE FROM mail_codes WHERE expires_at < ?', nowS - KEPT_S);
  ledger.run('DELETE FROM enrolments WHERE expires_at < ?', nowS - KEPT_S);
  ledger.run('DELETE FROM mails WHERE at < ?', nowS - INTENT_TTL_S_MAX - KEPT_S);
}

export function noteMail(ledger: SignerLedger, operator: string, op: string, at: number): void {
  ledger.run('INSERT INTO mails VALUES (?, ?, ?)', operator, op, at);
}

/** Codes mailed for an operation, and to an operator since a time. */
export function mailsSent(ledger: SignerLedger, operator: string, op: string, since: number) {
  const count = (where: string, ...values: (string | number)[]) =>
    ledger.rows<{ count: number }>(`SELECT count(*) AS count FROM mails WHERE ${where}`, ...values)[0]?.count ?? 0;
  return {
    forOperation: count('operator = ? AND op = ?', operator, op),
    lately: count('operator = ? AND at > ?', operator, since),
  };
}

export type Enrolment = Readonly<{ sha256: string; operator: string; expires_at: number; challenge: string | null }>;

export function enrolmentOf(ledger: SignerLedger, sha256: string): Enrolment | undefined {
  return ledger.rows<Enrolment>('SELECT * FROM enrolments WHERE sha256 = ?', sha256)[0];
}

export function putEnrolment(ledger: SignerLedger, { sha256, operator, expires_at, challenge }: Enrolment): void {
  ledger.run('INSERT OR REPLACE INTO enrolments VALUES (?, ?, ?, ?)', sha256, operator, expires_at, challenge);
}

export function deleteEnrolment(ledger: SignerLedger, sha256: string): void {
  ledger.run('DELETE FROM enrolments WHERE sha256 = ?', sha256);
}

export const policySchema = z.strictObject({
  /** The only methods that prove anything. */
  methods: z.array(z.enum(factorMethods)).min(1),
  /** Whether another operator must approve the same intent with a factor of their own. */
  second_person: z.boolean(),
});
export type FactorPolicy = z.infer<typeof policySchema>;

const POLICY_DEFAULT: FactorPolicy = { methods: [...factorMethods], second_person: false };

export function policyOf(ledger: SignerLedger): FactorPolicy {
  const row = ledger.rows<{ value: string }>("SELECT value FROM settings WHERE name = 'policy'")[0];
  return row ? policySchema.parse(JSON.parse(row.value)) : POLICY_DEFAULT;
}

export function putPolicy(ledger: SignerLedger, policy: FactorPolicy): void {
  ledger.run("INSERT OR REPLACE INTO settings VALUES ('policy', ?)", JSON.stringify(policy));
}
