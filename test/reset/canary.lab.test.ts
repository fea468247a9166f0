// The plaintext of a password is looked for everywhere it must not be: arguments and environments while the reset runs,
// then files, logs, journals, databases and the memory of every process that stays.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Guest } from '../lab/guest.ts';
import { findVncService } from '../lab/services.ts';
import { drawPassword, Scene } from './scene.ts';

let scene: Scene;
let guest: Guest;
const NODE = '/usr/lib/latchkey-agent/node_modules/.bin/node';
/** 30 characters, so that no search can find it by chance. */
const canaries = { account: drawPassword(30), vnc: drawPassword(30) };
const needles = Object.values(canaries).flatMap((text) => [
  text,
  Buffer.from(text).toString('base64').slice(0, 36),
  Buffer.from(text).toString('hex'),
]);

/** Every argument and environment on the runner and in its guests that held a canary at any look. */
const seenInProc = new Set<string>();

beforeAll(async () => {
  scene = await Scene.open();
  guest = await scene.guest({ name: `canary-${process.pid}` });
  const vnc = findVncService() !== undefined;
  const argv = ['reset', guest.name, '--password-stdin', ...(vnc ? ['--vnc', '--vnc-password-stdin'] : [])];
  let running = true;
  const reset = scene.reset(argv, { input: `${canaries.account}\n${canaries.vnc}\n` }).finally(() => {
    running = false;
  });
  while (running) {
    look();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const { done } = await reset;
  expect(done.state).toBe('DONE');
});
afterAll(() => scene?.close());

/** One look at /proc of the runner, in which the guests' processes are seen too. */
function look(): void {
  for (const pid of readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))) {
    if (Number(pid) === process.pid) continue;
    for (const file of ['cmdline', 'environ']) {
      try {
        const content = readFileSync(`/proc/${pid}/${file}`, 'latin1');
        if (needles.some((needle) => content.includes(needle))) seenInProc.add(`${pid}/${file}`);
      } catch {
        // It ended meanwhile, or is not ours to read.
      }
    }
  }
}

/** Files below a folder that hold a needle; the search itself gets the needles on its standard input. */
function grepRunner(folder: string): string {
  const { stdout, status } = spawnSync('grep', ['-rlaF', '-f', '-', folder], {
    input: `${needles.join('\n')}\n`,
    encoding: 'utf8',
  });
  expect(status).toBeLessThan(2);
  return stdout;
}

/** What stays when the last executor and the last child of the link have gone. */
async function residentsOf(machine: Guest): Promise<string[]> {
  const matching = async (pattern: string) =>
    (await machine.exec(['pgrep', '-f', pattern])).stdout.trim().split('\n').filter(Boolean);
  while ((await matching('main.ts (executor|facts)')).length > 0)
    await new Promise((resolve) => setTimeout(resolve, 100));
  return matching('latchkey|Xtigervnc|lab-forward');
}

/** The runner's processes of these pids that hold the needle in their memory. */
function search(pids: readonly number[], needle: string) {
  const program = join(import.meta.dirname, '../lab/memory-search.ts');
  return spawnSync(process.execPath, [program, ...pids.map(String)], { input: needle, encoding: 'utf8' });
}

describe('the plaintext of a typed password', () => {
  it('is found by the search itself where it is put on purpose', async () => {
    await guest.writeFile('/tmp/on-purpose', `x${canaries.account}y`);
    const { stdout } = await guest.exec(['grep', '-rlaF', '-f', '-', '/tmp/on-purpose'], { input: needles.join('\n') });
    expect(stdout.trim()).toBe('/tmp/on-purpose');
    await guest.exec(['rm', '/tmp/on-purpose']);
  });

  it('was never in an argument or an environment', () => {
    expect([...seenInProc]).toEqual([]);
  });

  it('is in no file of the guest', async () => {
    const folders = ['/etc', '/var', '/tmp', '/run', '/root', '/home', '/dev/shm'];
    const { stdout } = await guest.exec(['grep', '-rlaFs', '-D', 'skip', '-f', '-', ...folders], {
      input: `${needles.join('\n')}\n`,
    });
    expect(stdout).toBe('');
  });

  it('is in no file of the control plane and of the command line', () => {
    expect(grepRunner(scene.controlPlane.folder)).toBe('');
  });

  it('is in no export of the audit, in which an outsider can check what the machine signed', async () => {
    const { controlPlane } = scene;
    const file = join(controlPlane.folder, 'audit.jsonl');
    await controlPlane.must(['audit', 'export', '-o', file]);
    const root = join(controlPlane.data, 'trust', 'root.json');
    const found = await controlPlane.must(['audit', 'verify', '--export', file, '--root', root]);
    expect(found).toMatchObject({
      anchored: true,
      counts: { machines: 1, intents: 1, commands: 1, gaps: 0, forks: 0 },
      proofs: { checked: 1, unchecked: 0 },
      open: { count: 0 },
    });
    expect(readFileSync(file, 'utf8')).toContain('"receipt.recorded"');
    expect(grepRunner(file)).toBe('');
  });

  it('is in nothing that the control plane printed', () => {
    expect(needles.filter((needle) => scene.controlPlane.log.includes(needle))).toEqual([]);
  });

  it.each(['account', 'vnc'] as const)(
    'is not in the memory of any process that stays in the guest (%s)',
    async (slot) => {
      const residents = await residentsOf(guest);
      expect(residents).toContain(String((await guest.servicePids('link'))[0]));
      const program = [NODE, '/usr/lib/latchkey-agent/test/lab/memory-search.ts'];
      const { code, stdout, stderr } = await guest.exec([...program, ...residents], { input: canaries[slot] });
      expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '', stderr: '' });
    },
  );

  it.each(['account', 'vnc'] as const)('is not in the memory of gateway, signer and API (%s)', (slot) => {
    const pids = scene.controlPlane.pids();
    expect(pids.length).toBeGreaterThanOrEqual(2);
    const { stdout, status } = search(pids, canaries[slot]);
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
  });

  it('would be found in memory: the search sees what a process holds', async () => {
    const holder = `const held = require('node:fs').readFileSync(0); console.log('holding'); setTimeout(() => held, 1e6)`;
    const child = spawn(process.execPath, ['-e', holder], { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.end(canaries.account);
    await once(child.stdout, 'data');
    const { stdout } = search([child.pid ?? 0], canaries.account);
    child.kill('SIGKILL');
    expect(stdout.trim()).toBe(String(child.pid));
  });

  it('left no core dump', async () => {
    const { stdout } = await guest.exec([
      'find',
      '/',
      '-xdev',
      '-name',
      'core*',
      '-size',
      '+64k',
      '-type',
      'f',
      '-not',
      '-path',
      '/usr/*',
      '-not',
      '-path',
      '/proc/*',
    ]);
    expect(stdout).toBe('');
  });

  it('is held by the executor alone while an operation waits', async () => {
    const typed = drawPassword(30);
    const running = scene.reset(['reset', guest.name, '--password-stdin', '--grace', '600'], { input: `${typed}\n` });
    const op = await scene.untilState(guest, 'WAITING');
    const everyone = (await guest.exec(['pgrep', '-f', 'latchkey|Xtigervnc|lab-forward'])).stdout.trim().split('\n');
    const executors = (await guest.exec(['pgrep', '-f', 'main.ts executor'])).stdout.trim().split('\n');
    const program = [NODE, '/usr/lib/latchkey-agent/test/lab/memory-search.ts'];
    const { stdout } = await guest.exec([...program, ...everyone], { input: typed });
    const holders = stdout.trim().split('\n');
    expect(search(scene.controlPlane.pids(), typed).stdout).toBe('');
    await scene.run(['op', 'cancel', op]);
    expect((await running).done.state).toBe('CANCELLED');
    expect(everyone.length).toBeGreaterThan(executors.length);
    expect(holders).toEqual(executors);
  });
});
