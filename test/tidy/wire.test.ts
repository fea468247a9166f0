// WIRE.md equals the code: the fields of every message, the frames, the lifecycle, the codes and the limits.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { allCodes, codes } from '../../protocol/codes.ts';
import { isEnd, moves, states } from '../../protocol/lifecycle.ts';
import * as limits from '../../protocol/limits.ts';
import { rerootMembers, rerootMethods, rerootReboots } from '../../protocol/reroot.ts';
import { downFrame, upFrame } from '../../protocol/session.ts';
import { tokenTypes } from '../../protocol/token.ts';
import { WIRE_VERSION } from '../../protocol/version.ts';
import { ROOT } from './tree.ts';
import { fieldsOf, framesOf, sections } from './wire-fields.ts';

const document = readFileSync(join(ROOT, 'protocol/WIRE.md'), 'utf8');

/** The rows of the first table under a heading, without its two heading rows. */
function tableUnder(heading: string): string[][] {
  const [, after] = document.split(new RegExp(`^#+ ${RegExp.escape(heading)}\\n`, 'm'));
  if (after === undefined) throw new Error(`WIRE.md has no heading "${heading}"`);
  const rows = after.split(/^#+ /m)[0]?.match(/^\|.*\|$/gm) ?? [];
  return rows.slice(2).map((row) =>
    row
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
}

const code = (text: string) => `\`${text}\``;
const firstTwo = (rows: string[][]) => rows.map(([a = '', b = '']) => [a, b]);

describe('fields', () => {
  test.each(sections)('%s', (heading, schema) => {
    expect(firstTwo(tableUnder(heading))).toEqual(fieldsOf(schema));
  });
  test('of frames from the gateway', () => {
    expect(firstTwo(tableUnder('Frames from the gateway'))).toEqual(framesOf(downFrame));
  });
  test('of frames from the link', () =>
    expect(firstTwo(tableUnder('Frames from the link'))).toEqual(framesOf(upFrame)));
  test('every type of token is listed and described', () => {
    expect(tableUnder('Tokens').map(([typ]) => typ)).toEqual(tokenTypes.map(code));
    for (const typ of tokenTypes) expect(sections.map(([heading]) => heading)).toContain(code(typ));
  });
});

test('lifecycle', () => {
  const rows = states.map((state) => [
    `${code(state)}${isEnd(state) ? ' (end)' : ''}`,
    moves[state].map(code).join(' ') || 'nothing',
  ]);
  expect(tableUnder('Lifecycle')).toEqual(rows);
});

test('codes', () => {
  const rows = allCodes.map((name) => {
    const { kind, changed, retry, sentence } = codes[name];
    return [code(name), kind, changed, retry ? 'yes' : 'no', sentence];
  });
  expect(tableUnder('Codes')).toEqual(rows);
});

test('limits', () => {
  const byName = ([a = '']: string[], [b = '']: string[]) => (a < b ? -1 : 1);
  const rows = Object.entries(limits).map(([name, value]) => [code(name), String(value)]);
  expect(firstTwo(tableUnder('Limits')).sort(byName)).toEqual(rows.sort(byName));
});

test('the tripwire’s words', () => {
  const text = (document.split('### The tripwire\n')[1] ?? '').split(/^#/m)[0]?.replaceAll('\n', ' ') ?? '';
  const lists = [...text.matchAll(/`([^`]+ [^`]+)`/g)].map(([, list = '']) => list.split(' '));
  expect(lists).toEqual([rerootMethods, rerootMembers, rerootReboots]);
});

test('the version, and every code and limit that the text names', () => {
  expect(document.startsWith(`# The wire, version ${WIRE_VERSION}\n`)).toBe(true);
  const known = new Set<string>([...allCodes, ...Object.keys(limits), ...states]);
  const named = [...document.matchAll(/`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`/g)].map(([, name = '']) => name);
  expect(named.filter((name) => !known.has(name))).toEqual([]);
});
