// What the signer remembers of machines: the key that each was enrolled with, and the receipts that are in the audit. Statements
// over the ledger, each part of its caller's transaction; they decide nothing.

import { Failure } from '../../protocol/failure.ts';
import type { Ed25519Jwk } from '../../protocol/schema.ts';
import type { SignerLedger } from './ledger.ts';

/** The key that the machine was enrolled with, for good. Throws `NOT_ENROLLED`. */
export function ekOf(ledger: SignerLedger, agent: string): Ed25519Jwk {
  const ek = findEk(ledger, agent);
  if (!ek) throw new Failure('NOT_ENROLLED', { agent });
  return ek;
}

export function findEk(ledger: SignerLedger, agent: string): Ed25519Jwk | null {
  const row = ledger.rows<{ ek: string }>('SELECT ek FROM machines WHERE agent = ?', agent)[0];
  return row ? (JSON.parse(row.ek) as Ed25519Jwk) : null;
}

/** The hash of the join token that the machine enrolled with; `null` of one that enrolled before that was told. */
export function joinOf(ledger: SignerLedger, agent: string): string | null {
  const sql = 'SELECT join_sha256 FROM machines WHERE agent = ?';
  return ledger.rows<{ join_sha256: string | null }>(sql, agent)[0]?.join_sha256 ?? null;
}

type MachineRecord = Readonly<{ agent: string; ek: Ed25519Jwk; join: string | null; at: number }>;

export function insertMachine(ledger: SignerLedger, { agent, ek, join, at }: MachineRecord): void {
  const sql = 'INSERT INTO machines (agent, ek, at, join_sha256) VALUES (?, ?, ?, ?)';
  ledger.run(sql, agent, JSON.stringify(ek), at, join);
}

/** `recorded`: a link of its operation's chain. `gap`, `fork`: signed by the machine, and no next link when it came. */
export type ReceiptVerdict = 'recorded' | 'gap' | 'fork';

export function verdictOn(ledger: SignerLedger, sha256: string): ReceiptVerdict | null {
  const sql = 'SELECT verdict FROM receipts WHERE sha256 = ?';
  return ledger.rows<{ verdict: ReceiptVerdict }>(sql, sha256)[0]?.verdict ?? null;
}

export type Link = Readonly<{ n: number; sha256: string }>;

/** The newest link of what one machine said of one operation. */
export function lastLink(ledger: SignerLedger, op: string, agent: string): Link | null {
  const sql = `SELECT n, sha256 FROM receipts WHERE op = ? AND agent = ? AND verdict = 'recorded' ORDER BY n DESC LIMIT 1`;
  return ledger.rows<Link>(sql, op, agent)[0] ?? null;
}

type ReceiptRecord = Link & Readonly<{ op: string; agent: string; verdict: ReceiptVerdict }>;

export function putReceipt(ledger: SignerLedger, { sha256, op, agent, n, verdict }: ReceiptRecord): void {
  ledger.run('INSERT OR REPLACE INTO receipts VALUES (?, ?, ?, ?, ?)', sha256, op, agent, n, verdict);
}

/** Whether a command of that operation to that machine was signed here, by its hash or by its nonce. */
export function isCommanded(
  ledger: SignerLedger,
  { op, agent, by, value }: Readonly<{ op: string; agent: string; by: 'cmd_sha256' | 'cn'; value: string }>,
): boolean {
  return ledger.rows(`SELECT 1 FROM minted WHERE op = ? AND agent = ? AND ${by} = ?`, op, agent, value).length > 0;
}
