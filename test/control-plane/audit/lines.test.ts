// What an export's reader takes for a line.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { linesOf } from '../../../control-plane/cli/audit/lines.ts';

const folder = mkdtempSync(join(tmpdir(), 'latchkey-lines-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function read(...parts: (string | Uint8Array)[]): Promise<string[]> {
  const path = join(folder, 'export');
  writeFileSync(path, Buffer.concat(parts.map((part) => Buffer.from(part as string))));
  return Array.fromAsync(linesOf(path));
}

test('letters of any script are whole, wherever a chunk ends', async () => {
  const text = `${'ü'.repeat(40_000)}\u{1f511}`;
  expect(await read(`${text}\nlast`)).toEqual([text, 'last']);
});

test('bytes that are no text are not taken for the sign that stands for such bytes', async () => {
  expect(await read('a\ufffdb\n')).toEqual(['a\ufffdb']);
  const [line] = await read('a', Uint8Array.of(0xff), 'b\n');
  expect(line).not.toBe('a\ufffdb');
});

test('a line that is too long is the last', async () => {
  const lines = await read('first\n', 'x'.repeat(6_000_000), '\nafter it\n');
  expect(lines.map((line) => line.slice(0, 5))).toEqual(['first', 'xxxxx']);
  expect(lines[1]?.length).toBeLessThan(5_000_000);
});
