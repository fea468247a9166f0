// The audit as it is read on the host: page by page, filtered, and with an end that the command key seals, so that an export
// which was cut off shows it.

import type { AuditRow } from '../../protocol/audit.ts';
import { Failure } from '../../protocol/failure.ts';
import type { SignerLedger } from './ledger.ts';
import type { Notary } from './notary.ts';
import type { AdminMethods, Params, Result } from './requests.ts';

/** A page ends after the row with which it has so much: rows with commands in them are long. */
const PAGE_CHARACTERS = 262_144;

type Asked = Params<AdminMethods, 'audit.rows'>;
type Page = Result<AdminMethods, 'audit.rows'>;

export function auditPage(ledger: SignerLedger, asked: Asked): Page {
  const { after, before, limit, kind, op, operator, since, until } = asked;
  const wanted: [string, string | number | undefined][] = [
    ['n > ?', after],
    ['n < ?', before],
    ['kind = ?', kind],
    ['op = ?', op],
    ['operator = ?', operator],
    ['at >= ?', since],
    ['at <= ?', until],
  ];
  const given = wanted.filter((clause): clause is [string, string | number] => clause[1] !== undefined);
  const where = given.length === 0 ? '' : `WHERE ${given.map(([clause]) => clause).join(' AND ')}`;
  const sql = `SELECT * FROM audit ${where} ORDER BY n ${after === undefined ? 'DESC' : 'ASC'} LIMIT ?`;
  const found = ledger.rows<AuditRow>(sql, ...given.map(([, value]) => value), limit + 1);
  const rows = withinPage(found.slice(0, limit));
  return { rows, next: rows.length < found.length ? (rows.at(-1)?.n ?? null) : null };
}

function withinPage(rows: readonly AuditRow[]): AuditRow[] {
  let characters = 0;
  return rows.filter((row, index) => {
    const fits = index === 0 || characters < PAGE_CHARACTERS;
    characters += row.data.length;
    return fits;
  });
}

export function auditEnd(ledger: SignerLedger, notary: Notary, nowS: () => number): Result<AdminMethods, 'audit.end'> {
  const newest = ledger.newestAudit();
  if (!newest) throw new Failure('NOT_FOUND', { what: 'audit' });
  const { n, hash } = newest;
  return { n, hash, end: notary.seal({ is: 'end', n, hash, at: nowS() }) };
}
