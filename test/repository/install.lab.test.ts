// The project installs from its lock file with an empty home folder: node-pty compiles against the headers inside the pinned
// Node package, and nothing but packages is fetched.

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { unavailable } from '../requirements.ts';

const project = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'latchkey-install-'));
const home = join(folder, 'home');
const tree = join(folder, 'tree');

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(program: string, argv: readonly string[]) {
  // The runner's own Node starts npm, as it does for a newcomer; the npm cache of the runner saves the registry.
  const path = (process.env['PATH'] ?? '')
    .split(':')
    .filter((entry) => !entry.includes('node_modules'))
    .join(':');
  return spawnSync(program, argv, { cwd: tree, encoding: 'utf8', env: { PATH: path, HOME: home } });
}

it('npm ci with an empty home compiles node-pty without fetching headers, and it runs on the pinned Node', (context) => {
  mkdirSync(home);
  mkdirSync(tree);
  for (const name of ['package.json', 'package-lock.json', '.npmrc']) cpSync(join(project, name), join(tree, name));
  const { status, stderr } = run('npm', ['ci', '--no-audit', '--no-fund']);
  if (status !== 0 && /ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN/.test(stderr)) {
    return unavailable(context, 'an install from the lock file', 'a connection to the npm registry');
  }
  expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
  expect(existsSync(join(tree, 'node_modules/node-pty/build/Release/pty.node'))).toBe(true);
  // node-gyp keeps headers that it fetched in ~/.cache/node-gyp.
  expect(existsSync(join(home, '.cache'))).toBe(false);
  expect(readdirSync(home).filter((name) => name !== '.npm')).toEqual([]);
  const script =
    "const t = require('node-pty').spawn('true', []); t.onExit(({ exitCode }) => console.log(process.versions.node, exitCode))";
  const { stdout } = run(join(tree, 'node_modules/.bin/node'), ['-e', script]);
  expect(stdout.trim()).toMatch(/^26\.\d+\.\d+ 0$/);
});
