// Text for terminals and for scripts: what comes from machines and servers is stripped of control characters before a
// person sees it, colours only repeat what words say, and JSON is one object a line.

import { type InspectColor, styleText } from 'node:util';
import { codes, isCode } from '../../../protocol/codes.ts';
import { Failure } from '../../../protocol/failure.ts';

/** Without control, format and line-separating characters, so that a name cannot draw on the terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\ufffd');
}

/** Coloured where standard output is a terminal that wants it (`NO_COLOR` is respected). */
export function paint(color: InspectColor, text: string): string {
  return styleText(color, text, { stream: process.stdout });
}

export function writeLine(text = ''): void {
  process.stdout.write(`${text}\n`);
}

export function writeJson(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Beside the output: for people, also where the output goes into a file. */
export function writeNote(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** The one line in which every command reports an error. */
export function errorLine(failure: Failure): string {
  const detail = printable(detailText(failure));
  return `latchkey: ${failure.code} ${failure.message}${detail === '' ? '' : ` (${detail})`} — ${failure.hint}`;
}

export function errorJson(failure: Failure): object {
  return {
    event: 'error',
    code: failure.code,
    sentence: failure.message,
    detail: detailText(failure),
    hint: failure.hint,
  };
}

function detailText({ details }: Failure): string {
  return Object.entries(details)
    .map(([name, value]) => (name === 'detail' ? String(value) : `${name}: ${value}`))
    .join(', ');
}

/** A code with its sentence; of a newer server, the code alone. */
export function codeText(code: string): string {
  return isCode(code) ? `${code}: ${codes[code].sentence}` : printable(code);
}

export function codeWithHint(code: string): string {
  return isCode(code) ? `${codeText(code)} ${codes[code].hint}` : printable(code);
}

/** An error as the failure to report: a defect becomes `INTERNAL` and is never shown as a stack. */
export function asFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  return new Failure('INTERNAL', { reason: error instanceof Error ? error.message.slice(0, 200) : 'unknown' }, error);
}

/** A time as people say it. */
export function durationText(ms: number): string {
  if (ms < 9_950) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Columns as wide as their content, or as a terminal leaves room for. The first row is the head. */
export function table(rows: readonly (readonly string[])[], columns = process.stdout.columns): string {
  const clean = rows.map((row) => row.map(printable));
  const head = clean[0] ?? [];
  const content = head.map((_, column) => Math.max(...clean.map((row) => (row[column] ?? '').length)));
  const widths = fitted(content, head, columns);
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => cut(cell, widths[column] ?? 0).padEnd(widths[column] ?? 0))
      .join(GAP)
      .trimEnd();
  return clean.map((row, index) => (index === 0 ? paint('dim', line(row)) : line(row))).join('\n');
}

const GAP = '  ';
const WIDTH_MIN = 8;
/** Whoever has half an id has none: these are cut last. */
const WHOLE = ['ID', 'OPERATION', 'NAME', 'PROFILE'];

/** Takes from the widest column until all fit; what does not go to a terminal (`undefined` columns) is never cut. */
function fitted(content: readonly number[], head: readonly string[], columns: number | undefined): number[] {
  const widths = [...content];
  const total = () => widths.reduce((sum, width) => sum + width, 0) + GAP.length * (widths.length - 1);
  const takeFrom = (candidates: readonly number[]) => {
    while (total() > (columns ?? Number.POSITIVE_INFINITY)) {
      const [widest] = candidates.toSorted((a, b) => (widths[b] ?? 0) - (widths[a] ?? 0));
      if (widest === undefined || (widths[widest] ?? 0) <= WIDTH_MIN) return;
      widths[widest] = (widths[widest] ?? 0) - 1;
    }
  };
  const all = [...widths.keys()];
  takeFrom(all.filter((column) => !WHOLE.includes(head[column] ?? '')));
  takeFrom(all);
  return widths;
}

const cut = (cell: string, width: number) => (cell.length > width ? `${cell.slice(0, width - 1)}…` : cell);

/** `name  value` lines. */
export function fields(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${paint('dim', name.padEnd(width))}  ${printable(value)}`).join('\n');
}
