// The notes that the agent leaves about itself: written when something changes, and read as if a stranger had put them there.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LinkEvent, StatusNote } from '../../agent/link/status-note.ts';
import { enrolmentNote, type LinkNote, linkNote, readNote, wordOf, writeNote } from '../../agent/notes.ts';
import { BOOT, NOW_S } from '../protocol/samples.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-notes-'));
  path = join(folder, 'status.json');
});
afterEach(() => rmSync(folder, { recursive: true }));

const note: LinkNote = {
  v: 1,
  state: 'connected',
  since: NOW_S,
  host: 'control.example:7443',
  code: null,
  reason: null,
  server: { now: NOW_S, mono_ms: 1, boot: BOOT },
  pid: 7,
  started: '4711',
};

describe('a note', () => {
  it('is read as it was written, and is for root and its owner', async () => {
    await writeNote(path, note);
    expect(await readNote(path, linkNote)).toEqual(note);
    expect(statSync(path).mode & 0o777).toBe(0o640);
    expect(await readNote(path, enrolmentNote)).toBeNull();
  });

  it.each<[string, () => void]>([
    ['is missing', () => {}],
    ['is no JSON', () => writeFileSync(path, 'root:$y$j9T$')],
    ['has another field', () => writeFileSync(path, JSON.stringify({ ...note, extra: 1 }))],
    ['could draw on a terminal', () => writeFileSync(path, JSON.stringify({ ...note, host: '\u001b[2J' }))],
    ['is too long', () => writeFileSync(path, `${JSON.stringify(note)}${' '.repeat(5_000)}`)],
    ['is a folder', () => mkdirSync(path)],
    [
      'is a link to another file',
      () => {
        writeFileSync(`${path}.real`, JSON.stringify(note));
        symlinkSync(`${path}.real`, path);
      },
    ],
  ])('that %s says nothing', async (_, put) => {
    put();
    expect(await readNote(path, linkNote)).toBeNull();
  });

  it('carries words alone', () => {
    expect(['ECONNREFUSED', 'localhost:7443', '[::1]:1'].map(wordOf)).toEqual([
      'ECONNREFUSED',
      'localhost:7443',
      '[::1]:1',
    ]);
    expect(['two words', '', 'a\n', 7, null, 'x'.repeat(121)].map(wordOf)).toEqual(Array(6).fill(null));
  });
});

describe('the link’s note', () => {
  const lost = (code: string): LinkEvent => ({
    state: 'disconnected',
    host: 'a:1',
    trouble: { code, details: { reason: 'x' } },
  });
  const keeper = (log = pino({ level: 'silent' })) => new StatusNote({ path, boot: BOOT, pid: 7, started: '1', log });
  const read = () => readNote(path, linkNote);

  it('is written when the connection changes or is lost for another reason, and not for each try', async () => {
    const status = keeper();
    await status.tell({ state: 'connected', host: 'a:1', serverNow: NOW_S });
    expect(await read()).toMatchObject({ state: 'connected', code: null, server: { now: NOW_S, boot: BOOT } });
    await status.tell(lost('SERVER_UNREACHABLE'));
    const first = await read();
    expect(first).toMatchObject({
      state: 'disconnected',
      code: 'SERVER_UNREACHABLE',
      reason: 'x',
      server: { now: NOW_S },
    });
    const { ino } = statSync(path);
    for (let tries = 0; tries < 5; tries += 1) await status.tell(lost('SERVER_UNREACHABLE'));
    expect(statSync(path).ino).toBe(ino);
    await status.tell(lost('TLS_REFUSED'));
    expect(await read()).toMatchObject({ code: 'TLS_REFUSED', since: first?.since });
    await status.tell({ state: 'stopped', host: 'a:1' });
    expect(await read()).toMatchObject({ state: 'stopped', code: 'TLS_REFUSED' });
    await status.tell({ state: 'connected', host: 'a:1', serverNow: NOW_S + 9 });
    expect(await read()).toMatchObject({ state: 'connected', code: null, reason: null, server: { now: NOW_S + 9 } });
  });

  it('that cannot be written stops nobody, and is written as soon as it can be', async () => {
    const lines: string[] = [];
    const status = keeper(pino({ level: 'warn' }, { write: (line: string) => lines.push(line) }));
    rmSync(folder, { recursive: true });
    await status.tell({ state: 'connected', host: 'a:1', serverNow: NOW_S });
    expect(lines).toHaveLength(1);
    mkdirSync(folder);
    await status.tell({ state: 'connected', host: 'a:1', serverNow: NOW_S });
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ state: 'connected' });
  });
});
