// The bundle: the same bytes from the same sources, nothing resident that does not belong there, and a program that knows
// that it is not installed.

import { execFile } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundleAgent } from '../../../agent/image/bundle.ts';
import manifest from '../../../package.json' with { type: 'json' };
import { REROOT_WORDS } from '../../tidy/reroot-words.ts';

let folder = '';
let metafile: Metafile;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'latchkey-bundle-'));
  metafile = await bundleAgent(join(folder, 'one'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Every file below a folder, by name, as its bytes in base64. */
const filesIn = (path: string) =>
  Object.fromEntries(
    globSync('**/*', { cwd: path })
      .sort()
      .map((name) => [name, readFileSync(join(path, name)).toString('base64')]),
  );

/** What one file of the bundle was made from. */
function sourcesOf(name: string): readonly string[] {
  const output = Object.entries(metafile.outputs).find(([path]) => path.endsWith(`/${name}`))?.[1];
  return Object.entries(output?.inputs ?? {}).flatMap(([path, { bytesInOutput }]) => (bytesInOutput > 0 ? [path] : []));
}

test('seven files, each complete, and the terminal’s compiled part', () => {
  const names = [
    'enrolment.js',
    'executor.js',
    'facts.js',
    'image.js',
    'link.js',
    'main.js',
    'package.json',
    'pty.node',
    'write-as-owner.js',
  ];
  expect(Object.keys(filesIn(join(folder, 'one')))).toEqual(names);
  for (const output of Object.values(metafile.outputs)) {
    const loaded = output.imports.filter(({ kind, path }) => kind === 'import-statement' && !path.startsWith('node:'));
    expect(loaded.map(({ path }) => path).filter((path) => !isBuiltin(path))).toEqual([]);
  }
});

describe('the same sources', () => {
  test('make the same bytes, in whatever folder', async () => {
    await bundleAgent(join(folder, 'another/and deeper'));
    expect(filesIn(join(folder, 'another/and deeper'))).toEqual(filesIn(join(folder, 'one')));
  });

  test('leave nothing behind of a bundle before', async () => {
    const before = filesIn(join(folder, 'one'));
    await rm(join(folder, 'one', 'link.js'));
    await bundleAgent(join(folder, 'one'));
    expect(filesIn(join(folder, 'one'))).toEqual(before);
  });

  test('name no folder of the machine that they were bundled on', () => {
    const project = join(import.meta.dirname, '../../..');
    for (const name of globSync('*.js', { cwd: join(folder, 'one') })) {
      expect(readFileSync(join(folder, 'one', name), 'utf8'), name).not.toContain(project);
    }
  });
});

describe('the resident half', () => {
  test('is the link with its log, its socket, its schemas and its signatures', () => {
    const sources = sourcesOf('link.js');
    for (const needed of ['agent/link/link.ts', 'node_modules/ws/', 'node_modules/pino/', 'node_modules/jose/']) {
      expect(
        sources.some((path) => path.startsWith(needed)),
        needed,
      ).toBe(true);
    }
  });

  test.each([
    ['the executor', /^agent\/(executor|enrolment|core|image)\//],
    [
      'adapters that act or write',
      /^agent\/adapters\/(account|vnc|power|journal|passwd|rfb|services|environment|write|owner)/,
    ],
    ['the inventory', /systeminformation|agent\/facts\.ts/],
    ['the terminal', /node-pty/],
    ['a worker thread for the log', /thread-stream/],
    ['the schemas’ languages, JSON Schema writer and classic interface', /zod\/v4\/(locales|classic)|json-schema/],
    ['opening or making a sealed secret', /protocol\/seal\.ts|jwe/],
  ])('holds nothing of %s', (_, foreign) => {
    expect(sourcesOf('link.js').filter((path) => foreign.test(path))).toEqual([]);
  });

  test('would be seen to hold them', () => {
    expect(sourcesOf('executor.js').some((path) => path.startsWith('agent/executor/'))).toBe(true);
    expect(sourcesOf('facts.js').some((path) => path.includes('systeminformation'))).toBe(true);
  });
});

test('no file has a word that could lead into another root, but in the list of what is refused', () => {
  const words = (name: string) =>
    [...readFileSync(join(folder, 'one', name), 'utf8').matchAll(REROOT_WORDS)].map(([word]) => word);
  const names = globSync('*.js', { cwd: join(folder, 'one') });
  const looksFor = ['kexec'];
  expect(Object.fromEntries(names.map((name) => [name, words(name)]).filter(([, found]) => found?.length))).toEqual({
    'executor.js': [...looksFor, 'soft-reboot', 'switch-root', 'kexec', 'kexec'],
    'image.js': looksFor,
  });
});

test('an executor, which starts for every operation, loads TLS only where it meets a server that speaks it', () => {
  const output = Object.entries(metafile.outputs).find(([path]) => path.endsWith('/executor.js'))?.[1];
  const kinds = output?.imports.flatMap(({ kind, path }) => (path === 'node:tls' ? [kind] : []));
  expect(kinds).toEqual(['dynamic-import']);
});

describe('the program', () => {
  const run = (...args: string[]) =>
    new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
      const child = execFile(process.execPath, [join(folder, 'one/main.js'), ...args], (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : error.code, stdout, stderr }),
      );
      child.stdin?.end();
    });

  test('knows its version', async () => {
    expect(await run('version')).toEqual({ code: 0, stdout: `${manifest.version}\n`, stderr: '' });
  });

  test('gathers facts', async () => {
    const { code, stdout } = await run('facts');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ arch: process.arch, agent_version: manifest.version });
  });

  test.each([['executor'], ['enrol'], ['seal']])('does not act as long as it is not installed: %s', async (command) => {
    const { code, stderr } = await run(command);
    expect(code).toBe(1);
    expect(stderr).toContain('OUTSIDE_GUEST');
  });

  test('refuses unknown words with its usage', async () => {
    const { code, stderr } = await run('shell');
    expect(code).toBe(2);
    expect(stderr).toContain('usage: latchkey-agent');
  });
});
