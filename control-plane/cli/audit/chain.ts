// The chain of an exported audit: every line is the row whose turn it is, sealed by the command key of its time, and the last one
// is the sealed end. The first thing that is wrong is reported as the number of the row that is wrong; nothing after it counts.

import {
  AUDIT_GENESIS,
  type AuditRow,
  auditEnd,
  auditRow,
  auditSeal,
  auditText,
  rootData,
} from '../../../protocol/audit.ts';
import { parseCanonical } from '../../../protocol/canonical.ts';
import { codeOf, Failure } from '../../../protocol/failure.ts';
import { sha256Text } from '../../../protocol/keys.ts';
import { advanceRoot, openRoot, type RootPayload, roleKeys, type SignedRoot } from '../../../protocol/root.ts';
import { parseSchema } from '../../../protocol/schema.ts';
import { verifyToken } from '../../../protocol/token.ts';
import { fingerprintOf } from '../keys/fingerprint.ts';
import { broken } from './broken.ts';

export type RootSeen = Readonly<{ version: number; fingerprint: string }>;

export class Chain {
  /** The root in force at the newest row. */
  root: RootPayload | undefined;
  /** Every version, with the hash of its bytes. */
  readonly roots: RootSeen[] = [];
  /** Rows of a version that sealed none: the first sealed one vouches for them by its chain, and for nothing that they say. */
  unsealed = 0;
  n = 0;
  head: string = AUDIT_GENESIS;
  /** When the export was made; known once its last line was read. */
  endedAt: number | undefined;

  /** The row of the next line, `null` for the end; throws `AUDIT_BROKEN`. */
  async next(line: string): Promise<AuditRow | null> {
    const turn = this.n + 1;
    if (this.endedAt !== undefined) throw broken(turn, 'after_the_end');
    if (line.startsWith('{"end":')) return this.#end(line, turn);
    const row = read(line, turn);
    if ((await sha256Text(auditText(row))) !== row.hash) throw broken(turn, 'hash');
    const seen = row.kind === 'root.published' ? await this.#rootsOf(row) : null;
    await this.#demandSeal(row, turn, seen instanceof Failure || seen === null ? this.root : seen.root);
    // A true row at another place than its own: one is missing, or it was here before.
    if (row.n > turn) throw broken(turn, 'missing', { instead: String(row.n) });
    if (row.n < turn) throw broken(row.n, 'twice');
    if (row.prev !== this.head) throw broken(turn, 'chain');
    if (seen instanceof Failure) throw broken(turn, 'root', { because: seen.code });
    if (seen) {
      this.root = seen.root;
      this.roots.push(...seen.roots);
    }
    this.n = turn;
    this.head = row.hash;
    return row;
  }

  /** After the last line; throws `AUDIT_BROKEN` where that was not the end. */
  close(): void {
    if (this.endedAt === undefined) throw broken(this.n + 1, 'end_missing');
  }

  async #end(line: string, turn: number): Promise<null> {
    const seal = await this.#seal(endOf(line, turn), turn, this.root);
    if (seal.is !== 'end') throw broken(turn, 'seal');
    if (seal.n > this.n) throw broken(turn, 'missing', { instead: 'end' });
    if (seal.n < this.n) throw broken(seal.n + 1, 'after_the_end');
    if (seal.hash !== this.head) throw broken(this.n, 'end');
    this.endedAt = seal.at;
    return null;
  }

  async #demandSeal(row: AuditRow, turn: number, root: RootPayload | undefined): Promise<void> {
    if (row.sig === null) {
      if (this.root || row.kind === 'root.published') throw broken(turn, 'seal');
      this.unsealed += 1;
      return;
    }
    // The first sealed row is the one with the root that every seal is checked with.
    if (!root) throw broken(turn, row.n > turn ? 'missing' : 'root');
    const { is, n, hash, at } = await this.#seal(row.sig, turn, root);
    if (is !== 'row' || n !== row.n || hash !== row.hash || at !== row.at) throw broken(turn, 'seal');
  }

  async #seal(token: string, turn: number, root: RootPayload | undefined) {
    if (!root) throw broken(turn, 'root');
    try {
      const { payload } = await verifyToken(token, 'lk-audit+jws', roleKeys(root, 'command', null));
      return parseSchema(auditSeal, payload);
    } catch (cause) {
      throw broken(turn, 'seal', { because: codeOf(cause) ?? 'INTERNAL' });
    }
  }

  /** What a row says of roots, proven from the root in force on; as a value, since whether it is the row's turn comes first. */
  async #rootsOf(row: AuditRow): Promise<Readonly<{ root: RootPayload; roots: RootSeen[] }> | Failure> {
    try {
      const { version, documents } = parseSchema(rootData, JSON.parse(row.data));
      let root = this.root;
      const roots: RootSeen[] = [];
      for (const document of documents) {
        root = root ? await advanceRoot(root, document) : await openRoot(document);
        roots.push({ version: root.version, fingerprint: fingerprintOf(document as SignedRoot) });
      }
      if (!root || root.version !== version) return new Failure('ROOT_INVALID');
      return { root, roots };
    } catch (error) {
      return error instanceof Failure ? error : new Failure('ROOT_INVALID');
    }
  }
}

function endOf(line: string, turn: number): string {
  try {
    return parseSchema(auditEnd, parseCanonical(new TextEncoder().encode(line))).end;
  } catch {
    throw broken(turn, 'unreadable');
  }
}

/** In the one spelling that its hash was made of. */
function read(line: string, turn: number): AuditRow {
  try {
    const row = parseSchema(auditRow, JSON.parse(line));
    if (JSON.stringify(row) === line) return row;
  } catch {
    // Falls through: no JSON, other members, and another spelling are the same fault.
  }
  throw broken(turn, 'unreadable');
}
