// What every file must be: short, opened by a comment, named by its subject, and free of words that mean nothing to a
// reader of this project alone. Each check returns its complaints; no complaint is a pass.

import { isC, isTypeScript, type SourceFile } from './tree.ts';

const LINES_MAX = 400;
const FUNCTION_LINES_MAX = 70;
const BANNED_NAMES = ['util', 'utils', 'helper', 'helpers', 'lib', 'common', 'manager', 'misc'];

const linesOf = ({ text }: SourceFile) => text.replace(/\n$/, '').split('\n');

export function longFiles(files: readonly SourceFile[]): string[] {
  return files
    .filter((file) => isTypeScript(file) || isC(file))
    .filter((file) => linesOf(file).length > LINES_MAX)
    .map((file) => `${file.path}: ${linesOf(file).length} lines`);
}

type Span = Readonly<{ start: number; end: number }>;

/**
 * Own lines of each function: those of the functions inside it are theirs, so a factory may hold many short ones. Groups
 * and tables of tests are left out.
 */
export function longFunctions(files: readonly SourceFile[]): string[] {
  return files
    .filter((file) => (isTypeScript(file) && !file.path.endsWith('.test.ts')) || isC(file))
    .flatMap((file) => {
      const spans = functionSpans(file);
      return spans
        .map((span) => ({ span, own: ownLines(span, spans) }))
        .filter(({ own }) => own > FUNCTION_LINES_MAX)
        .map(({ span, own }) => `${file.path}:${span.start + 1}: ${own} lines`);
    });
}

/**
 * Functions by the formatter's layout: one that opens on a line ends at the next line of the same indentation that begins
 * with a brace.
 */
function functionSpans(file: SourceFile): Span[] {
  const opening = /(\bfunction\b.*|=>\s*\{$|^\s+(?!if|for|while|switch|catch|else|do\b)[\w#\s]+\(.*(\{|\($|,)$)/;
  const lines = linesOf(file);
  return lines.flatMap((line, start) => {
    if (!(isC(file) ? /^(\w.*\)\s*)?\{$/ : opening).test(line)) return [];
    const indent = /^\s*/.exec(line)?.[0] ?? '';
    const end = lines.findIndex((later, at) => at > start && later.startsWith(`${indent}}`));
    return end < 0 ? [] : [{ start, end }];
  });
}

function ownLines({ start, end }: Span, spans: readonly Span[]): number {
  const inside = new Set<number>();
  for (const other of spans) {
    if (other.start <= start || other.end >= end) continue;
    for (let line = other.start; line <= other.end; line += 1) inside.add(line);
  }
  return end - start + 1 - inside.size;
}

export function unopenedFiles(files: readonly SourceFile[]): string[] {
  return files
    .filter((file) => isTypeScript(file) || isC(file))
    .filter(({ text }) => !/^(\/\/ \S|\/\*\*?\s)/.test(text.replace(/^#!.*\n/, '')))
    .map(({ path }) => `${path}: opens without a comment`);
}

export function bannedNames(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ path }) => {
      const parts = path.toLowerCase().split('/');
      const stem = (parts.pop() ?? '').split('.')[0] ?? '';
      const said = [...parts, stem, stem.split('-').at(-1) ?? ''];
      return said.some((part) => BANNED_NAMES.includes(part));
    })
    .map(({ path }) => path);
}

/** Put together from pieces so that this file does not find itself. */
const bannedWords: readonly Readonly<{ what: string; pattern: RegExp }>[] = [
  {
    what: 'a reminder',
    pattern: new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX', 'HA' + 'CK'].join('|')})\\b`),
  },
  {
    what: 'an issue',
    pattern: new RegExp(`\\b(issue|pull request|closes|fixes|PR) ?#\\d|/(${'iss'}ues|pull)/\\d`, 'i'),
  },
  {
    what: 'a path of one machine',
    pattern: new RegExp(`(^|[\\s'"\`(=:])/(${'wo'}rk|Users)/|\\.\\./${'sha'}red/`, 'm'),
  },
  { what: 'a registry', pattern: new RegExp(`${'regis'}try\\.(npmjs|yarnpkg|npmmirror)|npm\\.pkg\\.github`) },
];

export function bannedWordsIn(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) =>
    linesOf(file).flatMap((line, at) =>
      bannedWords
        .filter(({ pattern }) => pattern.test(line))
        .map(({ what }) => `${file.path}:${at + 1}: names ${what}`),
    ),
  );
}

/** Tests that would not run, and skips that do not say what they lack (`test/requirements.ts` does). */
export function sleepingTests(files: readonly SourceFile[]): string[] {
  const sleeping = new RegExp(
    `\\b(test|it|describe|suite)(\\.\\w+)*\\.(${['on' + 'ly', 'sk' + 'ip', 'to' + 'do'].join('|')}|skipIf|runIf|fails)\\b`,
  );
  const bare = new RegExp(`\\b(ctx|context|t)\\.${'sk' + 'ip'}\\(`);
  return files
    .filter((file) => isTypeScript(file) && file.path.startsWith('test/'))
    .filter(({ path, text }) => sleeping.test(text) || (path !== 'test/requirements.ts' && bare.test(text)))
    .map(({ path }) => path);
}

/** What a core must not do: wait, look at a clock, or reach outside. */
export function impureCores(files: readonly SourceFile[]): string[] {
  const impure =
    /\basync\b|\bawait\b|\bPromise\b|\bDate\.now\b|\bnew Date\(\)|\bperformance\.|\bMath\.random\b|\bset(Timeout|Interval)\b|\bprocess\./;
  return files
    .filter((file) => isTypeScript(file) && /^(agent|control-plane)\/core\//.test(file.path))
    .flatMap((file) =>
      linesOf(file).flatMap((line, at) =>
        impure.test(line.replace(/\/\/.*|^\s*(\/\*\*|\*).*/, '')) ? [`${file.path}:${at + 1}: ${line.trim()}`] : [],
      ),
    );
}
