// The guard on the executor that is run from its sources: it acts inside a lab guest and nowhere else.

import { execFile } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { demandGuestForSources } from '../../agent/source-guard.ts';
import { codeFrom } from '../protocol/refusal.ts';

const MARKER = '/run/latchkey-lab-guest';
const own = (kind: string) => readlinkSync(`/proc/self/ns/${kind}`);
const other = (kind: string) => `${kind}:[1]`;

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'latchkey-guard-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function marked(content: unknown): Promise<unknown> {
  const path = join(folder, 'marker');
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
  return codeFrom(() => demandGuestForSources(path));
}

describe('the executor from its sources', () => {
  test('is refused where there is no marker', async () => {
    expect(await codeFrom(() => demandGuestForSources(join(folder, 'absent')))).toBe('OUTSIDE_GUEST');
  });

  test('is refused on this very machine', async () => {
    expect(await codeFrom(() => demandGuestForSources(MARKER))).toBe('OUTSIDE_GUEST');
  });

  test.each<[string, unknown]>([
    ['that names this process’s own namespaces', { runner: { pid: own('pid'), mnt: own('mnt') } }],
    ['that names its own PID namespace', { runner: { pid: own('pid'), mnt: other('mnt') } }],
    ['that names its own mount namespace', { runner: { pid: other('pid'), mnt: own('mnt') } }],
    ['without a mount namespace', { runner: { pid: other('pid') } }],
    ['that names none', { runner: {} }],
    ['that names numbers', { runner: { pid: 1, mnt: 2 } }],
    ['that names nothing at all', { runner: { pid: '', mnt: '' } }],
    ['with words in their place', { runner: { pid: 'yes', mnt: 'yes' } }],
    ['without a runner', {}],
    ['null', null],
    ['empty', ''],
    ['no JSON', 'guest'],
  ])('is refused with a forged marker: %s', async (_, content) => {
    expect(await marked(content)).toBe('OUTSIDE_GUEST');
  });

  test('is let through where the marker names other namespaces', async () => {
    expect(await marked({ runner: { pid: other('pid'), mnt: other('mnt') } })).toBeUndefined();
  });

  test.each([
    ['/home/ada/latchkey/dist/agent/main.js', 'OUTSIDE_GUEST'],
    ['/usr/lib/latchkey-agent/agent/source-guard.ts', 'OUTSIDE_GUEST'],
    ['/usr/lib/latchkey-agent-2/main.js', 'OUTSIDE_GUEST'],
    ['/usr/lib/latchkey-agent/main.js', undefined],
    ['/usr/lib/latchkey-agent/part-2YHQGYI7.js', undefined],
  ])('%s is held to it: %s', async (file, code) => {
    expect(await codeFrom(() => demandGuestForSources(join(folder, 'absent'), file))).toBe(code);
  });
});

describe('the program', () => {
  const run = (...args: string[]) =>
    new Promise<{ code: unknown; stderr: string }>((resolve) => {
      const main = new URL('../../agent/main.ts', import.meta.url).pathname;
      const child = execFile(process.execPath, [main, ...args], (error, _, stderr) =>
        resolve({ code: error === null ? 0 : error.code, stderr }),
      );
      child.stdin?.end();
    });

  test.each([
    [['executor']],
    [['enrol']],
    [['seal']],
    [['seal', '--check']],
    [['seal', '--image', '/']],
    [['seal', '--image', '/proc/self/root']],
  ])('%j exits with 1 and says OUTSIDE_GUEST', async (args) => {
    const { code, stderr } = await run(...args);
    expect(code).toBe(1);
    expect(stderr).toContain('OUTSIDE_GUEST');
  });

  test.each([
    [[]],
    [['shell']],
    [['run', '--root', '/mnt']],
    [['executor', '--reboot-patience', '-1']],
    [['facts', 'x']],
    [['seal', '--image']],
    [['seal', '--image', '']],
    [['seal', '--root', '/mnt']],
    [['seal', '/mnt']],
  ])('called as %j exits with 2 and its usage', async (args) => {
    const { code, stderr } = await run(...args);
    expect(code).toBe(2);
    expect(stderr).toContain('usage: latchkey-agent');
  });
});
