// The demo is a contract: its last line, its exit codes, and that it leaves nothing behind.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, it, onTestFinished } from 'vitest';
import { findVncService } from '../lab/services.ts';
import { unavailable } from '../requirements.ts';

const program = join(import.meta.dirname, 'main.ts');
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-demo-test-'));
});
afterEach(() => {
  // Whatever the demo makes is made in here; what is left of it would be seen.
  const left = readdirSync(folder);
  rmSync(folder, { recursive: true, force: true });
  expect(left).toEqual([]);
});

function start(argv: readonly string[]): ChildProcess {
  return spawn(process.execPath, [program, ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'] ?? '', HOME: folder, TMPDIR: folder },
  });
}

async function finish(child: ChildProcess): Promise<{ code: number | null; stdout: string; stderr: string }> {
  let [stdout, stderr] = ['', ''];
  child.stdout?.on('data', (chunk) => {
    stdout += String(chunk);
  });
  child.stderr?.on('data', (chunk) => {
    stderr += String(chunk);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

const lastLine = (stdout: string) => JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;

it('runs one whole reset and ends with it: --once --json --reveal', async (context) => {
  if (!findVncService()) return unavailable(context, 'Xvnc', 'apt-get install tigervnc-standalone-server');
  const { code, stdout, stderr } = await finish(start(['--once', '--json', '--reveal']));
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const done = lastLine(stdout);
  expect(done).toMatchObject({
    event: 'done',
    state: 'DONE',
    account: 'root',
    verified: { account: true, vnc: true, reboot: true },
    op: expect.stringMatching(/^op_/),
    warnings: expect.any(Array),
    secrets: { account: expect.stringMatching(/^[A-Za-z0-9]{24}$/), vnc: expect.stringMatching(/^[A-Za-z0-9]{8}$/) },
  });
  expect(done['bootIdBefore']).not.toBe(done['bootIdAfter']);
});

it('without --reveal there are no secrets in its JSON', async () => {
  const { code, stdout } = await finish(start(['--once', '--json']));
  expect(code).toBe(0);
  expect(lastLine(stdout)).not.toHaveProperty('secrets');
});

it('without Xvnc VNC is absent, the reset is DONE all the same, and it says how to get it', async (context) => {
  if (process.getuid?.() !== 0) return unavailable(context, 'hiding Xvnc from the demo', 'run the tests as root');
  // The programs are hidden in a mount namespace of this test’s own.
  const hide = `mkdir "$0/upper" "$0/work" && mount -t overlay overlay -o "lowerdir=/usr/bin,upperdir=$0/upper,workdir=$0/work" /usr/bin &&
rm -f /usr/bin/Xtigervnc /usr/bin/Xvnc /usr/bin/tigervncserver && TMPDIR="$0/tmp" && mkdir "$TMPDIR" && export TMPDIR && exec "$@"`;
  const run = (argv: readonly string[]) => {
    const hidden = mkdtempSync(join(tmpdir(), 'latchkey-hidden-'));
    onTestFinished(() => rmSync(hidden, { recursive: true, force: true }));
    const command = ['-m', 'sh', '-c', hide, hidden, process.execPath, program, ...argv];
    return finish(spawn('unshare', command, { stdio: ['ignore', 'pipe', 'pipe'] }));
  };
  const json = await run(['--once', '--json', '--reveal']);
  expect({ code: json.code, stderr: json.stderr }).toEqual({ code: 0, stderr: '' });
  expect(lastLine(json.stdout)).toMatchObject({ state: 'DONE', verified: { vnc: 'absent' }, secrets: { vnc: null } });
  expect(lastLine(json.stdout)['warnings']).toContain('VNC_ABSENT');
  const plain = await run(['--once']);
  expect(plain.stdout).toContain('apt-get install tigervnc-standalone-server');
});

it('stays up until Ctrl-C, and then leaves nothing behind', async () => {
  const child = start(['--json']);
  const ended = once(child, 'close');
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    if ((JSON.parse(line) as { event: string }).event === 'done') break;
  }
  child.kill('SIGINT');
  expect((await ended)[0]).toBe(130);
});

it('interrupted in the middle leaves nothing behind', async () => {
  const child = start(['--json']);
  const ended = once(child, 'close');
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    if ((JSON.parse(line) as { event: string }).event === 'online') break;
  }
  child.kill('SIGINT');
  expect((await ended)[0]).toBe(130);
});

it('an unknown option is a usage error', async () => {
  const { code, stderr } = await finish(start(['--twice']));
  expect(code).toBe(2);
  expect(stderr).toContain('usage: npm run demo');
});
