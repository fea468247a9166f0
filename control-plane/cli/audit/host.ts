// `latchkey audit list` and `export`: on the control plane's own host, where the signer keeps the audit. Rows go from its socket to
// the output page by page; nothing of them is altered on the way, since their hashes would no longer hold.

import { type FileHandle, open, rm } from 'node:fs/promises';
import type { AuditRow } from '../../../protocol/audit.ts';
import { Failure } from '../../../protocol/failure.ts';
import { pathsIn } from '../../config/paths.ts';
import { adminClient } from '../../signer/client.ts';
import type { AdminMethods, Params } from '../../signer/requests.ts';
import { dataFolder } from '../connection.ts';
import { UsageError } from '../prompts.ts';
import { table, writeJson, writeLine } from '../view/text.ts';
import { describeRow } from './text.ts';

const PAGE = 200;

export type ListOptions = Readonly<{
  json?: boolean;
  limit: number;
  before?: number;
  kind?: string;
  op?: string;
  operator?: string;
  since?: string;
  until?: string;
}>;

/** Newest first. */
export async function listAudit({ json, limit, before, kind, op, operator, since, until }: ListOptions): Promise<void> {
  const filters = {
    ...(kind === undefined ? {} : { kind }),
    ...(op === undefined ? {} : { op }),
    ...(operator === undefined ? {} : { operator }),
    ...(since === undefined ? {} : { since: secondsOf('--since', since) }),
    ...(until === undefined ? {} : { until: secondsOf('--until', until) }),
  };
  const rows: AuditRow[] = [];
  let next: number | null = before ?? Number.MAX_SAFE_INTEGER;
  while (next !== null && rows.length < limit) {
    const page: Awaited<ReturnType<typeof rowsOf>> = await rowsOf({
      ...filters,
      before: next,
      limit: Math.min(PAGE, limit - rows.length),
    });
    rows.push(...page.rows);
    next = page.next;
  }
  if (json) {
    for (const row of rows) writeJson({ ...row, data: JSON.parse(row.data) });
    return;
  }
  if (rows.length === 0) return writeLine('No rows.');
  const lines = rows.map((row) => [
    String(row.n),
    new Date(row.at * 1000).toISOString(),
    row.kind,
    row.operator ?? '',
    row.op ?? '',
    describeRow(row),
  ]);
  writeLine(table([['ROW', 'TIME', 'KIND', 'OPERATOR', 'OPERATION', 'WHAT'], ...lines]));
  if (next !== null) writeLine(`Older ones: --before ${next}`);
}

export type ExportOptions = Readonly<{ json?: boolean; output: string }>;

/** Writes every row up to the newest one now, and the sealed end. Never over a file that is there. */
export async function exportAudit({ output, json }: ExportOptions): Promise<void> {
  const { n, hash, end } = await admin()('audit.end', {});
  const file = await create(output);
  try {
    for (let after = 0; after < n; ) {
      const { rows } = await rowsOf({ after, before: n + 1, limit: PAGE });
      const last = rows.at(-1);
      if (!last) throw new Failure('AUDIT_BROKEN', { row: after + 1, reason: 'missing' });
      await file.writeFile(rows.map((row) => `${lineOf(row)}\n`).join(''));
      after = last.n;
    }
    await file.writeFile(`${JSON.stringify({ end })}\n`);
    await file.sync();
  } catch (error) {
    // Half an export would look like an audit that was cut off.
    await rm(output, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  if (json) writeJson({ event: 'exported', file: output, rows: n, head: hash });
  else {
    writeLine(`Wrote ${output}: ${n} rows, head ${hash}.`);
    writeLine('Note that head elsewhere: with it, anybody can tell later whether the audit still contains these rows.');
  }
}

/** In the order in which a reader of the format expects its members. */
function lineOf({ n, at, kind, op, operator, data, prev, hash, sig }: AuditRow): string {
  return JSON.stringify({ n, at, kind, op, operator, data, prev, hash, sig });
}

const admin = () => adminClient(pathsIn(dataFolder()).adminSocket);
const rowsOf = (asked: Params<AdminMethods, 'audit.rows'>) => admin()('audit.rows', asked);

async function create(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'unknown';
    throw new Failure(reason === 'EEXIST' ? 'ALREADY_EXISTS' : 'PATH_UNWRITABLE', { path, reason }, cause);
  }
}

function secondsOf(option: string, text: string): number {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw new UsageError(`${option} is a time such as 2026-01-31T12:00:00Z`);
  return Math.floor(ms / 1000);
}
