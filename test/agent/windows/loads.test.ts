// The whole agent can be loaded where `process.platform` is win32 and what only Linux has is not there; and what it cannot do
// there yet it says.

import { execFile } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const PROJECT = join(import.meta.dirname, '../../..');
/** Programs, which act as they are loaded, and the bundler, which makes the agent and is no part of it. */
const ALONE = ['agent/main.ts', 'agent/adapters/write-as-owner.ts', 'agent/image/bundle.ts'];

const modules = globSync('agent/**/*.ts', { cwd: PROJECT }).filter((path) => !ALONE.includes(path));

/** A process that finds itself on Windows as far as Node tells. */
async function onWindows(script: string) {
  const pretend = `
    Object.defineProperty(process, 'platform', { value: 'win32' });
    for (const only of ['getuid', 'geteuid', 'getgid', 'getegid', 'getgroups', 'setuid', 'execve']) delete process[only];
    process.env = { SystemRoot: 'C:\\\\Windows', ProgramData: 'C:\\\\ProgramData', ProgramFiles: 'C:\\\\Program Files' };`;
  const argv = ['--input-type=module', '-e', `${pretend}\n${script}`];
  return promisify(execFile)(process.execPath, argv, { cwd: PROJECT }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({ code, stdout, stderr }),
  );
}

it('every module of the agent loads on Windows', async () => {
  expect(modules.length).toBeGreaterThan(80);
  const { code, stdout, stderr } = await onWindows(`
    const failed = [];
    for (const path of ${JSON.stringify(modules)})
      await import(${JSON.stringify(`${PROJECT}/`)} + path).catch((error) => failed.push(path + ': ' + error.message));
    console.log(JSON.stringify(failed));
    process.exit();`);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(JSON.parse(stdout)).toEqual([]);
});

it('its files lie below ProgramData there', async () => {
  const { stdout } = await onWindows(
    `console.log(JSON.stringify((await import(${JSON.stringify(`${PROJECT}/agent/paths.ts`)})).paths)); process.exit();`,
  );
  const paths = JSON.parse(stdout) as Readonly<Record<string, string>>;
  for (const path of Object.values(paths).filter((path) => path !== null))
    expect(path).toMatch(/^C:\\ProgramData\\latchkey-agent(\\[a-z.-]+)*$/);
});

const run = (argv: readonly string[]) =>
  onWindows(
    `process.argv = ['node', 'main', ...${JSON.stringify(argv)}]; await import(${JSON.stringify(`${PROJECT}/agent/main.ts`)});`,
  );

it.each(['executor', 'enrol'])('%s acts from no sources on Windows: OUTSIDE_GUEST', async (command) => {
  const { code, stderr } = await run([command]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^latchkey-agent: OUTSIDE_GUEST /);
});

it('install wants the program where none but Administrators put any', async () => {
  const { code, stderr } = await run(['install']);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^latchkey-agent: INSTALL_FAILED [^\n]*reason=program_place/);
});

it.each(['install', 'uninstall'])('%s says on Linux that a package does it, and does nothing', async (command) => {
  const failed = await promisify(execFile)(process.execPath, ['agent/main.ts', command], { cwd: PROJECT }).catch(
    ({ code, stderr }: { code: number; stderr: string }) => ({ code, stderr }),
  );
  expect(failed).toMatchObject({ code: 1, stderr: expect.stringMatching(/^latchkey-agent: INSTALL_BY_PACKAGE /) });
});
