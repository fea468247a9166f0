// The signer's own memory: intents, what was signed, and a hash-chained audit; factors are in factor-records.ts, machines and
// their receipts in machine-records.ts. It uses SQLite without a query builder because each decision must be one synchronous
// transaction. It never holds a secret of a machine.

import { createHash } from 'node:crypto';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { AUDIT_GENESIS, type AuditRow, auditText } from '../../protocol/audit.ts';
import type { Code } from '../../protocol/codes.ts';
import type { FactorMethod } from '../../protocol/command.ts';
import { Failure } from '../../protocol/failure.ts';

/** Numbered from 1. A step that was released never changes. */
const MIGRATIONS = [
  `
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
`,
  `
ALTER TABLE intents ADD COLUMN void TEXT;
ALTER TABLE intents ADD COLUMN two_people INTEGER NOT NULL DEFAULT 0;
ALTER TABLE intents ADD COLUMN second_operator TEXT;
ALTER TABLE intents ADD COLUMN second_method TEXT;
ALTER TABLE intents ADD COLUMN second_at INTEGER;
ALTER TABLE failures ADD COLUMN last_at INTEGER NOT NULL DEFAULT 0;
CREATE TABLE mail_codes (
  op TEXT NOT NULL, operator TEXT NOT NULL, intent_hash TEXT NOT NULL, code_sha256 TEXT NOT NULL,
  expires_at INTEGER NOT NULL, PRIMARY KEY (op, operator)) STRICT;
CREATE TABLE mails (operator TEXT NOT NULL, op TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE INDEX mails_by_operator ON mails (operator, at);
CREATE TABLE enrolments (
  sha256 TEXT PRIMARY KEY, operator TEXT NOT NULL, expires_at INTEGER NOT NULL, challenge TEXT) STRICT;
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE INDEX audit_by_kind ON audit (kind, n);
`,
  `
CREATE TABLE uses (use TEXT NOT NULL, subject TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE INDEX uses_by_subject ON uses (use, subject);
CREATE INDEX uses_by_time ON uses (at);
`,
  `
ALTER TABLE audit ADD COLUMN sig TEXT;
CREATE INDEX audit_by_op ON audit (op, n) WHERE op IS NOT NULL;
ALTER TABLE minted ADD COLUMN agent TEXT;
CREATE TABLE machines (agent TEXT PRIMARY KEY, ek TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE receipts (
  sha256 TEXT PRIMARY KEY, op TEXT NOT NULL, agent TEXT NOT NULL, n INTEGER NOT NULL, verdict TEXT NOT NULL) STRICT;
CREATE INDEX receipts_by_op ON receipts (op, agent, n);
`,
  `
ALTER TABLE machines ADD COLUMN join_sha256 TEXT;
`,
] as const;
const SCHEMA_VERSION = MIGRATIONS.length;

/** Rows of earlier versions name no machine: each of their operations had one. */
const FROM_COMMANDS = "FROM minted WHERE op = ? AND kind = 'reset' AND (agent = ? OR agent IS NULL)";

export type MintedCommand = Readonly<{ cn: string; op: string; agent: string; cmdSha256: string; at: number }>;

export type StoredIntent = {
  op: string;
  bytes: string;
  hash: string;
  /** Empty where the intent names a list. */
  agent: string;
  project: string;
  operator: string;
  not_after: number;
  tries: number;
  method: FactorMethod | null;
  proven_at: number | null;
  proof: string | null;
  /** Why nothing can prove or sign it any more: a code. */
  void: Code | null;
  /** Whether a second person must prove it, too: 0 or 1. */
  two_people: number;
  second_operator: string | null;
  second_method: FactorMethod | null;
  second_at: number | null;
};

export type AuditEntry = Readonly<{
  at: number;
  kind: string;
  op?: string | undefined;
  operator?: string | undefined;
  data?: object;
}>;
/** Signs a row with the command key in force. */
export type Sealer = (row: Readonly<{ n: number; at: number; hash: string }>) => string;

export class SignerLedger {
  readonly #db: DatabaseSync;
  #sealer: Sealer | undefined;

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

  intent(op: string): StoredIntent | undefined {
    return this.rows<StoredIntent>('SELECT * FROM intents WHERE op = ?', op)[0];
  }

  /** Replaces the operation's intent; the tries that were made on the operation stay counted. */
  putIntent(
    intent: Pick<StoredIntent, 'op' | 'bytes' | 'hash' | 'agent' | 'project' | 'operator' | 'not_after' | 'two_people'>,
  ): void {
    const { op, bytes, hash, agent, project, operator, not_after, two_people } = intent;
    this.run(
      `INSERT INTO intents (op, bytes, hash, agent, project, operator, not_after, two_people)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET bytes = excluded.bytes, hash = excluded.hash, agent = excluded.agent,
         project = excluded.project, operator = excluded.operator, not_after = excluded.not_after,
         two_people = excluded.two_people`,
      op,
      bytes,
      hash,
      agent,
      project,
      operator,
      not_after,
      two_people,
    );
  }

  setTries(op: string, tries: number): void {
    this.run('UPDATE intents SET tries = ? WHERE op = ?', tries, op);
  }

  /** From now on the operation can neither be proven nor signed. */
  setVoid(op: string, code: Code): void {
    this.run('UPDATE intents SET void = ? WHERE op = ?', code, op);
  }

  /** Whatever that operator asked for or approved and that has not ended by itself. */
  voidAllOf(operator: string, code: Code, nowS: number): void {
    const sql =
      'UPDATE intents SET void = ? WHERE void IS NULL AND not_after >= ? AND (operator = ? OR second_operator = ?)';
    this.run(sql, code, nowS, operator, operator);
  }

  setSecond(op: string, operator: string, method: FactorMethod, at: number): void {
    const sql = 'UPDATE intents SET second_operator = ?, second_method = ?, second_at = ? WHERE op = ?';
    this.run(sql, operator, method, at, op);
  }

  /** Of every intent that nobody has proven yet. */
  demandSecond(): void {
    this.run('UPDATE intents SET two_people = 1 WHERE proven_at IS NULL');
  }

  setProven(op: string, method: FactorMethod, at: number, proof: string | null): void {
    this.run('UPDATE intents SET method = ?, proven_at = ?, proof = ? WHERE op = ?', method, at, proof, op);
  }

  /** The newest command of an operation to that machine, if one was signed. */
  lastCommand(op: string, agent: string): { cn: string; cmd_sha256: string; at: number } | undefined {
    const sql = `SELECT cn, cmd_sha256, at ${FROM_COMMANDS} ORDER BY rowid DESC LIMIT 1`;
    return this.rows<{ cn: string; cmd_sha256: string; at: number }>(sql, op, agent)[0];
  }

  commandCount(op: string, agent: string): number {
    return this.rows<{ count: number }>(`SELECT count(*) AS count ${FROM_COMMANDS}`, op, agent)[0]?.count ?? 0;
  }

  nonceUsed(cn: string): boolean {
    return this.rows('SELECT 1 FROM minted WHERE cn = ?', cn).length > 0;
  }

  addCommand({ cn, op, agent, cmdSha256, at }: MintedCommand): void {
    const sql = "INSERT INTO minted (cn, op, kind, cmd_sha256, at, agent) VALUES (?, ?, 'reset', ?, ?, ?)";
    this.run(sql, cn, op, cmdSha256, at, agent);
  }

  /** From now on rows are sealed so. Until then none can be written. */
  sealWith(sealer: Sealer): void {
    this.#sealer = sealer;
  }

  /** Appends to the chain; part of the caller's transaction. */
  audit({ at, kind, op, operator, data }: AuditEntry): void {
    if (!this.#sealer) throw new Error('a row before the key that seals it');
    const last = this.newestAudit();
    const row = {
      n: (last?.n ?? 0) + 1,
      at,
      kind,
      op: op ?? null,
      operator: operator ?? null,
      data: JSON.stringify(data ?? {}),
      prev: last?.hash ?? AUDIT_GENESIS,
    };
    const hash = createHash('sha256').update(auditText(row)).digest('base64url');
    const sql =
      'INSERT INTO audit (n, at, kind, op, operator, data, prev, hash, sig) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)';
    const sig = this.#sealer({ n: row.n, at, hash });
    this.run(sql, row.n, row.at, row.kind, row.op, row.operator, row.data, row.prev, hash, sig);
  }

  newestAudit(): AuditRow | undefined {
    return this.rows<AuditRow>('SELECT * FROM audit ORDER BY n DESC LIMIT 1')[0];
  }

  /** Rows of these kinds after a number, in order, so many at most. */
  auditOf(kinds: readonly string[], after: number, count: number): AuditRow[] {
    const places = kinds.map(() => '?').join(', ');
    const sql = `SELECT * FROM audit WHERE kind IN (${places}) AND n > ? ORDER BY n LIMIT ?`;
    return this.rows<AuditRow>(sql, ...kinds, after, count);
  }

  auditRows(): AuditRow[] {
    return this.rows<AuditRow>('SELECT * FROM audit ORDER BY n');
  }

  #migrate(path: string): void {
    const have = this.rows<{ user_version: number }>('PRAGMA user_version')[0]?.user_version ?? 0;
    if (have > SCHEMA_VERSION) throw new Failure('DATABASE_NEWER', { file: path, have, known: SCHEMA_VERSION });
    if (have === SCHEMA_VERSION) return;
    const steps = MIGRATIONS.slice(have).join('\n');
    this.transaction(() => this.#db.exec(`${steps} PRAGMA user_version = ${SCHEMA_VERSION}`));
  }

  /** For the files beside this one, which own their tables. */
  rows<T>(sql: string, ...values: SQLInputValue[]): T[] {
    return this.#db.prepare(sql).all(...values) as T[];
  }

  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#db.prepare(sql).run(...values).changes);
  }
}
