// The signer's own memory: factors, intents, tries, what was signed, and a hash-chained audit. It uses SQLite without a
// query builder because each of its decisions must be one synchronous transaction. It never holds a secret of a machine.

import { createHash } from 'node:crypto';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { Failure } from '../../protocol/failure.ts';

const SCHEMA_VERSION = 1;

const SCHEMA = `
CREATE TABLE factors (
  operator TEXT NOT NULL, kind TEXT NOT NULL, kid TEXT NOT NULL, material TEXT NOT NULL, added_at INTEGER NOT NULL,
  last_step INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (operator, kind, kid)) STRICT;
CREATE TABLE failures (operator TEXT PRIMARY KEY, consecutive INTEGER NOT NULL) STRICT;
CREATE TABLE intents (
  op TEXT PRIMARY KEY, bytes TEXT NOT NULL, hash TEXT NOT NULL, agent TEXT NOT NULL, project TEXT NOT NULL,
  operator TEXT NOT NULL, not_after INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
  method TEXT, proven_at INTEGER, proof TEXT) STRICT;
CREATE TABLE minted (
  cn TEXT PRIMARY KEY, op TEXT NOT NULL, kind TEXT NOT NULL, cmd_sha256 TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE INDEX minted_by_op ON minted (op, at);
CREATE TABLE audit (
  n INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, op TEXT, operator TEXT, data TEXT NOT NULL,
  prev TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
`;

export type FactorKind = 'totp' | 'key';
export type Factor = {
  operator: string;
  kind: FactorKind;
  kid: string;
  material: string;
  added_at: number;
  last_step: number;
};

export type StoredIntent = {
  op: string;
  bytes: string;
  hash: string;
  agent: string;
  project: string;
  operator: string;
  not_after: number;
  tries: number;
  method: FactorKind | null;
  proven_at: number | null;
  proof: string | null;
};

export type AuditRow = {
  n: number;
  at: number;
  kind: string;
  op: string | null;
  operator: string | null;
  data: string;
  prev: string;
  hash: string;
};
export type AuditEntry = Readonly<{ at: number; kind: string; op?: string; operator?: string; data?: object }>;

export class SignerLedger {
  readonly #db: DatabaseSync;

  private constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /** Opens or makes it; throws `DATABASE_NEWER` or `DATABASE_UNUSABLE`. */
  static open(path: string): SignerLedger {
    try {
      const db = new DatabaseSync(path);
      db.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=5000; PRAGMA foreign_keys=ON');
      const ledger = new SignerLedger(db);
      ledger.#migrate(path);
      return ledger;
    } catch (cause) {
      if (cause instanceof Failure) throw cause;
      throw new Failure('DATABASE_UNUSABLE', { file: path }, cause);
    }
  }

  close(): void {
    this.#db.close();
  }

  /** All or nothing, durable when it returns. */
  transaction<T>(work: () => T): T {
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#db.exec('COMMIT');
      return result;
    } catch (error) {
      // On a full disk SQLite has rolled back by itself.
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  factors(operator?: string): Factor[] {
    const where = operator === undefined ? '' : 'WHERE operator = ?';
    const values = operator === undefined ? [] : [operator];
    return this.#all<Factor>(`SELECT * FROM factors ${where} ORDER BY operator, kind, kid`, ...values);
  }

  addFactor({ operator, kind, kid, material, added_at }: Omit<Factor, 'last_step'>): void {
    this.#run(
      'INSERT INTO factors (operator, kind, kid, material, added_at) VALUES (?, ?, ?, ?, ?)',
      operator,
      kind,
      kid,
      material,
      added_at,
    );
  }

  /** Whether there was one. */
  removeFactor(operator: string, kind: FactorKind, kid: string | null): boolean {
    this.#run('DELETE FROM failures WHERE operator = ?', operator);
    const sql = 'DELETE FROM factors WHERE operator = ? AND kind = ? AND (? IS NULL OR kid = ?)';
    return this.#run(sql, operator, kind, kid, kid) > 0;
  }

  burnTotpStep(operator: string, step: number): void {
    this.#run("UPDATE factors SET last_step = ? WHERE operator = ? AND kind = 'totp'", step, operator);
  }

  failures(operator: string): number {
    return (
      this.#all<{ consecutive: number }>('SELECT consecutive FROM failures WHERE operator = ?', operator)[0]
        ?.consecutive ?? 0
    );
  }

  setFailures(operator: string, consecutive: number): void {
    this.#run(
      'INSERT INTO failures VALUES (?, ?) ON CONFLICT DO UPDATE SET consecutive = excluded.consecutive',
      operator,
      consecutive,
    );
  }

  intent(op: string): StoredIntent | undefined {
    return this.#all<StoredIntent>('SELECT * FROM intents WHERE op = ?', op)[0];
  }

  /** Replaces the operation's intent; the tries that were made on the operation stay counted. */
  putIntent(
    intent: Pick<StoredIntent, 'op' | 'bytes' | 'hash' | 'agent' | 'project' | 'operator' | 'not_after'>,
  ): void {
    const { op, bytes, hash, agent, project, operator, not_after } = intent;
    this.#run(
      `INSERT INTO intents (op, bytes, hash, agent, project, operator, not_after) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET bytes = excluded.bytes, hash = excluded.hash, agent = excluded.agent,
         project = excluded.project, operator = excluded.operator, not_after = excluded.not_after`,
      op,
      bytes,
      hash,
      agent,
      project,
      operator,
      not_after,
    );
  }

  setTries(op: string, tries: number): void {
    this.#run('UPDATE intents SET tries = ? WHERE op = ?', tries, op);
  }

  setProven(op: string, method: FactorKind, at: number, proof: string | null): void {
    this.#run('UPDATE intents SET method = ?, proven_at = ?, proof = ? WHERE op = ?', method, at, proof, op);
  }

  /** The newest command of an operation, if one was signed. */
  lastCommand(op: string): { cn: string; cmd_sha256: string; at: number } | undefined {
    const sql = "SELECT cn, cmd_sha256, at FROM minted WHERE op = ? AND kind = 'reset' ORDER BY rowid DESC LIMIT 1";
    return this.#all<{ cn: string; cmd_sha256: string; at: number }>(sql, op)[0];
  }

  commandCount(op: string): number {
    const sql = "SELECT count(*) AS count FROM minted WHERE op = ? AND kind = 'reset'";
    return this.#all<{ count: number }>(sql, op)[0]?.count ?? 0;
  }

  nonceUsed(cn: string): boolean {
    return this.#all('SELECT 1 FROM minted WHERE cn = ?', cn).length > 0;
  }

  addCommand(cn: string, op: string, cmdSha256: string, at: number): void {
    this.#run("INSERT INTO minted VALUES (?, ?, 'reset', ?, ?)", cn, op, cmdSha256, at);
  }

  /** Appends to the chain; part of the caller's transaction. */
  audit({ at, kind, op, operator, data }: AuditEntry): void {
    const last = this.#all<AuditRow>('SELECT * FROM audit ORDER BY n DESC LIMIT 1')[0];
    const row = {
      n: (last?.n ?? 0) + 1,
      at,
      kind,
      op: op ?? null,
      operator: operator ?? null,
      data: JSON.stringify(data ?? {}),
      prev: last?.hash ?? '',
    };
    this.#run(
      'INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      row.n,
      row.at,
      row.kind,
      row.op,
      row.operator,
      row.data,
      row.prev,
      auditHash(row),
    );
  }

  auditRows(): AuditRow[] {
    return this.#all<AuditRow>('SELECT * FROM audit ORDER BY n');
  }

  #migrate(path: string): void {
    const have = this.#all<{ user_version: number }>('PRAGMA user_version')[0]?.user_version ?? 0;
    if (have > SCHEMA_VERSION) throw new Failure('DATABASE_NEWER', { file: path, have, known: SCHEMA_VERSION });
    if (have === SCHEMA_VERSION) return;
    this.transaction(() => this.#db.exec(`${SCHEMA} PRAGMA user_version = ${SCHEMA_VERSION}`));
  }

  #all<T>(sql: string, ...values: SQLInputValue[]): T[] {
    return this.#db.prepare(sql).all(...values) as T[];
  }

  #run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#db.prepare(sql).run(...values).changes);
  }
}

/** What a row's hash covers: everything else in it, the previous row's hash included. */
export function auditHash({ n, at, kind, op, operator, data, prev }: Omit<AuditRow, 'hash'>): string {
  return createHash('sha256')
    .update(JSON.stringify([n, at, kind, op, operator, data, prev]))
    .digest('base64url');
}

/** The number of the first row that does not fit, or `null`. */
export function firstAuditBreak(rows: readonly AuditRow[]): number | null {
  let prev = '';
  for (const [index, row] of rows.entries()) {
    if (row.n !== index + 1 || row.prev !== prev || row.hash !== auditHash(row)) return index + 1;
    prev = row.hash;
  }
  return null;
}
