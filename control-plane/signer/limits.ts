// How often the signer does what costs something that stays: rows of its audit, signatures, letters. Counted in its own
// ledger, so that neither whoever asks nor a restart starts the count afresh. Reading is free.

import { codeOf, Failure } from '../../protocol/failure.ts';
import type { AuditEntry, SignerLedger } from './ledger.ts';

const WINDOW_S = 600;

/**
 * Within any ten minutes: for one subject, and for all of them together, because names are the control plane's word. A
 * proposal is an operator's, a signature a machine's, a cancel an operation's, a refusal an operator's, a notice one of its
 * kind's. Once in a window a subject's refusals say that the rest of them is left out.
 */
export const limits = {
  proposal: { each: 500, all: 2_000 },
  signature: { each: 32, all: 1_000 },
  cancel: { each: 32, all: 1_000 },
  refusal: { each: 20, all: 200 },
  left_out: { each: 1, all: 20 },
  notice: { each: 5_000, all: 10_000 },
} as const;
export type Use = keyof typeof limits;

/** Counts one, or throws `RATE_LIMITED`. Part of its caller's transaction, before anything is written. */
export function spend(ledger: SignerLedger, use: Use, subject: string, nowS: number): void {
  demandLeft(ledger, use, subject, nowS);
  ledger.run('INSERT INTO uses VALUES (?, ?, ?)', use, subject, nowS);
}

/** For what takes a while before it can be counted. Requests are taken one at a time, so there will still be one left. */
export function demandLeft(ledger: SignerLedger, use: Use, subject: string, nowS: number): void {
  // Those of a time that has not come are of a clock that was wrong: nobody waits for them.
  ledger.run('DELETE FROM uses WHERE at <= ? OR at > ?', nowS - WINDOW_S, nowS);
  const { each, all } = limits[use];
  const count = (where: string, ...values: string[]) =>
    ledger.rows<{ count: number }>(`SELECT count(*) AS count FROM uses WHERE ${where}`, ...values)[0]?.count ?? 0;
  if (count('use = ? AND subject = ?', use, subject) >= each || count('use = ?', use) >= all) {
    throw new Failure('RATE_LIMITED', { reason: use });
  }
}

/** Writes a refusal down, as long as there are not so many that they would be all that is written; then that some are not. */
export function auditRefusal(ledger: SignerLedger, subject: string, entry: AuditEntry): void {
  const { at } = entry;
  if (written(ledger, 'refusal', subject, entry)) return;
  written(ledger, 'left_out', subject, { at, kind: 'refusals.left_out', data: { subject, until: at + WINDOW_S } });
}

function written(ledger: SignerLedger, use: Use, subject: string, entry: AuditEntry): boolean {
  try {
    ledger.transaction(() => {
      spend(ledger, use, subject, entry.at);
      ledger.audit(entry);
    });
    return true;
  } catch (error) {
    if (codeOf(error) !== 'RATE_LIMITED') throw error;
    return false;
  }
}
