// An exported audit in the hands of an outsider: checked by another process that has nothing but the file, and, row by row, altered
// in every way that there is: each is found, and named.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verifyAudit } from '../../../control-plane/cli/audit/verifier.ts';
import { pathsIn } from '../../../control-plane/config/paths.ts';
import { type AuditRow, auditText } from '../../../protocol/audit.ts';
import { Failure } from '../../../protocol/failure.ts';
import { sha256Text } from '../../../protocol/keys.ts';
import { collect, spawnMain } from '../cli/programs.ts';
import { ServeProgram } from '../program.ts';
import { History } from './history.ts';

const PROGRAM_TIMEOUT_MS = 120_000;

let history: History;
let lines: readonly string[];
let rows: readonly AuditRow[];
let end: string;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-outsider-'));
  history = await new History().make();
  lines = await history.exported('audit.jsonl');
  rows = lines.slice(0, -1).map((line) => JSON.parse(line) as AuditRow);
  end = lines.at(-1) ?? '';
}, PROGRAM_TIMEOUT_MS);
afterAll(async () => {
  await history.remove();
  rmSync(folder, { recursive: true });
}, PROGRAM_TIMEOUT_MS);

/** In another process, in an empty folder, with nothing of the installation. */
async function outsider(text: readonly string[], ...more: string[]) {
  const file = join(folder, 'export.jsonl');
  writeFileSync(file, `${text.join('\n')}\n`);
  const env = { PATH: process.env['PATH'], HOME: folder, LATCHKEY_DATA: join(folder, 'none') };
  return collect(spawnMain(['audit', 'verify', '--export', file, '--json', ...more], env));
}

async function* each(text: readonly string[]): AsyncGenerator<string> {
  yield* text;
}
const check = (text: readonly string[], head: string | null = null) => verifyAudit(each(text), head);
/** The row that the first complaint names. */
const named = async (text: readonly string[]): Promise<unknown> =>
  check(text).then(
    () => 'no complaint',
    (error: unknown) => (error instanceof Failure ? error.details['row'] : error),
  );

describe('an outsider', { timeout: PROGRAM_TIMEOUT_MS }, () => {
  test('checks chain, seals, commands, proofs and receipts with the file and a trusted root alone', async () => {
    const root = pathsIn(history.program.data).trustRoot;
    const { code, json, stderr } = await outsider(lines, '--root', root);
    expect([code, stderr]).toEqual([0, '']);
    expect(json[0]).toMatchObject({
      event: 'verified',
      rows: rows.length,
      unsealed: 0,
      head: rows.at(-1)?.hash,
      anchored: true,
      roots: [{ version: 1 }, { version: 2 }],
      // The passkey and the key are checked here; of the code nobody can check anything any more.
      proofs: { checked: 2, unchecked: 1 },
      counts: { machines: 1, intents: 3, commands: 3, receipts: 11, gaps: 1, forks: 0 },
      gaps: [{ after: 1, n: 3 }],
      open: { count: 0 },
    });
  });

  test('sees every kind of thing that happened as a row', () => {
    const kinds = new Set(rows.map(({ kind }) => kind));
    for (const kind of [
      'root.published',
      'machine.enrolled',
      'factor.added',
      'factor.refused',
      'intent.built',
      'intent.proven',
      'command.signed',
      'receipt.recorded',
      'receipt.gap',
      'policy.set',
      'join_token.created',
    ]) {
      expect(kinds).toContain(kind);
    }
  });

  test('is told where it breaks, by row, code and exit code', async () => {
    const k = rows.findIndex(({ kind }) => kind === 'command.signed') + 1;
    const { code, json, stderr } = await outsider(lines.toSpliced(k - 1, 1));
    expect(code).toBe(1);
    expect(json[0]).toMatchObject({
      event: 'error',
      code: 'AUDIT_BROKEN',
      detail: expect.stringContaining(`row: ${k}`),
    });
    expect(stderr).toContain('latchkey: AUDIT_BROKEN ');
  });

  test('is not shown another installation’s audit as the trusted one’s', async () => {
    const other = await new ServeProgram().start();
    const root = pathsIn(other.data).trustRoot;
    const copy = join(folder, 'root.json');
    writeFileSync(copy, readFileSync(root));
    await other.remove();
    const { code, json } = await outsider(lines, '--root', copy);
    expect([code, json[0]?.['code']]).toEqual([1, 'AUDIT_ROOT_MISMATCH']);
  });

  test('who noted a head sees that its rows are there still, and misses them where they are not', async () => {
    const noted = rows.at(10)?.hash ?? '';
    const there = await outsider(lines, '--head', noted);
    expect(there.json[0]).toMatchObject({ headAt: 11 });
    const gone = await outsider(lines, '--head', await sha256Text('another history'));
    expect([gone.code, gone.json[0]?.['code']]).toEqual([1, 'AUDIT_HEAD_MISSING']);
  });

  test('reads no secret in it', () => {
    const text = lines.join('\n');
    expect(history.secrets.length).toBeGreaterThan(12);
    for (const secret of history.secrets) expect(text.includes(secret)).toBe(false);
    expect(text).not.toMatch(/totp_uri|otpauth|lkj_|lk_[A-Za-z0-9]{10}/);
  });

  test('is handed whole files: an export replaces none', async () => {
    const again = await history.latchkey('audit', 'export', '-o', join(history.program.data, 'audit.jsonl'));
    expect([again.code, again.stderr]).toEqual([3, expect.stringContaining('ALREADY_EXISTS')]);
  });
});

describe('on the host', { timeout: PROGRAM_TIMEOUT_MS }, () => {
  const list = async (...more: string[]) => (await history.latchkey('audit', 'list', '--json', ...more)).json;

  test('rows are listed newest first, page by page, and by what they are about', async () => {
    const numbers = async (...more: string[]) => (await list(...more)).map(({ n }) => n);
    expect(await numbers('--limit', '3', '--before', '9')).toEqual([8, 7, 6]);
    const of = (kind: string) => rows.filter((row) => row.kind === kind);
    const commands = of('command.signed').map(({ n }) => n);
    expect(await numbers('--kind', 'command.signed')).toEqual(commands.toReversed());
    const op = of('command.signed')[1]?.op ?? '';
    const about = rows.filter((row) => row.op === op).map(({ n }) => n);
    expect(await numbers('--op', op)).toEqual(about.toReversed());
  });

  test('a person reads who did what, where a list goes on, and which time is none', async () => {
    const { stdout, code } = await history.latchkey('audit', 'list', '--limit', '2', '--kind', 'receipt.recorded');
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(/receipt\.recorded .*op_.* state DONE[\s\S]*--before \d+/),
    ]);
    expect((await history.latchkey('audit', 'list', '--since', 'yesterday')).code).toBe(2);
  });
});

describe('a row that was', { timeout: PROGRAM_TIMEOUT_MS }, () => {
  const all = () => rows.map(({ n }) => n);
  const altered = (n: number, change: Partial<AuditRow>) =>
    lines.with(n - 1, JSON.stringify({ ...(rows[n - 1] as AuditRow), ...change }));
  /** By somebody who knows how hashes are made, and made all that follow anew. */
  async function rehashed(from: readonly AuditRow[]): Promise<string[]> {
    const made: AuditRow[] = [];
    for (const row of from) {
      const prev = made.at(-1)?.hash ?? '';
      const next = { ...row, n: made.length + 1, prev };
      made.push({ ...next, hash: await sha256Text(auditText(next)) });
    }
    return [...made.map((row) => JSON.stringify(row)), end];
  }

  test.each([
    ['time', ({ at }: AuditRow) => ({ at: at + 1 })],
    ['number', ({ n }: AuditRow) => ({ n: n + 1 })],
    ['number, down', ({ n }: AuditRow) => ({ n: n === 1 ? 9 : n - 1 })],
    ['kind', () => ({ kind: 'other.kind' })],
    ['operation', () => ({ op: `op_${'0'.repeat(26)}` })],
    ['operator', () => ({ operator: 'mallory' })],
    ['data', ({ data }: AuditRow) => ({ data: data === '{}' ? '{"a":1}' : data.replace(/.$/, ',"a":1}') })],
    ['past', ({ hash }: AuditRow) => ({ prev: hash })],
    ['hash', ({ prev }: AuditRow) => ({ hash: prev === '' ? (rows[1]?.hash ?? '') : prev })],
    ['seal', ({ n }: AuditRow) => ({ sig: rows[n === 1 ? 1 : n - 2]?.sig ?? '' })],
    ['seal, gone', () => ({ sig: null })],
  ])('altered in its %s is named', async (_, change) => {
    for (const n of all()) expect(await named(altered(n, change(rows[n - 1] as AuditRow)))).toBe(n);
  });

  test('altered, with every hash after it made anew, is named: nobody else has the key of its seal', async () => {
    for (const n of all()) {
      const row = rows[n - 1] as AuditRow;
      expect(await named(await rehashed(rows.with(n - 1, { ...row, at: row.at + 1 })))).toBe(n);
    }
  });

  test('left out is named, with or without new hashes', async () => {
    for (const n of all()) {
      expect(await named(lines.toSpliced(n - 1, 1))).toBe(n);
      if (n < rows.length) expect(await named(await rehashed(rows.toSpliced(n - 1, 1)))).toBe(n);
    }
  });

  test('put in is named, whether it is a copy or made up', async () => {
    for (const n of all()) {
      expect(await named(lines.toSpliced(n, 0, lines[n - 1] ?? ''))).toBe(n);
      const made = { ...(rows[n - 1] as AuditRow), operator: 'mallory' };
      expect(await named(await rehashed(rows.toSpliced(n - 1, 0, made)))).toBe(n);
    }
  });

  test('swapped with the next one is named', async () => {
    for (const n of all().slice(0, -1)) {
      const [one = '', two = ''] = lines.slice(n - 1, n + 1);
      expect(await named(lines.toSpliced(n - 1, 2, two, one))).toBe(n);
    }
  });

  test('written in another spelling, or not at all, is named', async () => {
    for (const n of all()) {
      const line = lines[n - 1] ?? '';
      for (const other of [`${line} `, line.replace('":', '": '), line.slice(0, -9), '', '{}', 'null']) {
        expect(await named(lines.with(n - 1, other))).toBe(n);
      }
    }
  });

  test('the last one that is left, is followed by what is missing', async () => {
    for (const n of all()) {
      expect(await named(lines.slice(0, n))).toBe(n + 1);
      if (n < rows.length) expect(await named([...lines.slice(0, n), end])).toBe(n + 1);
    }
    expect(await named([...lines, lines[0] ?? ''])).toBe(rows.length + 1);
    expect(await named([])).toBe(1);
  });
});
