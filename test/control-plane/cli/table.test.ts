// Tables: as wide as what they hold, unless a terminal has less room; and colours where a terminal wants them.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawn } from 'node-pty';
import { describe, expect, test } from 'vitest';
import { table } from '../../../control-plane/cli/view/text.ts';
import { type Scene, scene } from './scene.ts';
import { API_KEY } from './scripted-server.ts';

const rows = [
  ['ID', 'URL', 'STATE'],
  ['whk_0123456789', `https://hooks.example/${'x'.repeat(60)}`, 'delivered'],
  ['whk_9876543210', 'https://hooks.example/', 'dead'],
];
const widest = (text: string) => Math.max(...text.split('\n').map((line) => line.length));

describe('a table', () => {
  test('that goes into a file is whole', () => {
    const text = table(rows, undefined);
    for (const row of rows) for (const cell of row) expect(text).toContain(cell);
  });

  test.each([100, 80, 60, 40])('of %i columns fits, and its ids are whole', (columns) => {
    const text = table(rows, columns);
    expect(widest(text)).toBeLessThanOrEqual(columns);
    expect(text).toContain('whk_0123456789');
    expect(text).toContain('whk_9876543210');
    expect(text).toContain('…');
  });

  test('is not cut where there is room', () => expect(table(rows, 200)).toBe(table(rows, undefined)));

  test('keeps something of each column where nothing fits', () => {
    const text = table(rows, 10);
    expect(text.split('\n')[0]?.split(/\s+/)).toEqual(['ID', 'URL', 'STATE']);
  });
});

/** At a terminal of that width. */
function shown({ server, folder }: Scene, columns: number, env: Record<string, string> = {}): Promise<string> {
  const apiKeyFile = join(folder, 'api-key');
  writeFileSync(apiKeyFile, `${API_KEY}\n`, { mode: 0o600 });
  const connection = { LATCHKEY_URL: server.url, LATCHKEY_API_KEY_FILE: apiKeyFile, LATCHKEY_STATE: folder };
  const program = [join(import.meta.dirname, 'program.ts'), 'vm', 'list'];
  const options = {
    cols: columns,
    env: { PATH: process.env['PATH'] ?? '', TERM: 'xterm-256color', ...connection, ...env },
  };
  const terminal = spawn(process.execPath, program, options);
  let text = '';
  terminal.onData((part) => {
    text += part;
  });
  return new Promise((resolve) => terminal.onExit(() => resolve(text.replaceAll('\r', '').trimEnd())));
}

describe('at a terminal', () => {
  test('a list fits and has colours, unless they are not wanted', async () => {
    const place = await scene({ os: `Debian ${'long '.repeat(20)}` });
    const coloured = await shown(place, 90);
    expect(coloured).toContain('\u001b[2m');
    const plain = await shown(place, 90, { NO_COLOR: '1' });
    expect(plain).not.toContain('\u001b');
    expect(widest(plain)).toBeLessThanOrEqual(90);
    expect(plain).toContain('web-1');
  });
});
