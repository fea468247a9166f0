// The ceremony on files alone, and what it must not accept.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openInstallation } from '../../../control-plane/config/installation.ts';
import { pathsIn } from '../../../control-plane/config/paths.ts';
import { randomKernel } from '../../../control-plane/config/random-kernel.ts';
import { TrustChain } from '../../../control-plane/config/trust-chain.ts';
import { signingKeyFromSeed } from '../../../protocol/keys.ts';
import type { SignedRoot } from '../../../protocol/root.ts';
import { collect, spawnMain } from './programs.ts';

let folder: string;
const data = () => join(folder, 'data');
const paths = () => pathsIn(data());
const file = (name: string) => join(folder, name);
const run = (...parameters: string[]) =>
  collect(spawnMain(['keys', ...parameters], { PATH: process.env['PATH'], LATCHKEY_DATA: data() }));
const newest = async () => (await (await TrustChain.open(paths())).newest()).root;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-keys-'));
  await openInstallation(paths(), { randomBytes: randomKernel(), nowMs: () => Date.now() });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Three offline keys, and a draft that names them, two of three. */
async function drafted(): Promise<void> {
  for (const name of ['a', 'b', 'c']) expect(await run('init', file(name))).toMatchObject({ code: 0 });
  expect(await run('export', '-o', file('root.json'))).toMatchObject({ code: 0 });
  const keys = ['a', 'b', 'c'].map((name) => `${file(name)}.pub`);
  const draft = ['--root', file('root.json'), '--root-key', ...keys, '--threshold', '2', '-o', file('draft')];
  expect(await run('ceremony', 'draft', ...draft)).toMatchObject({ code: 0, stderr: '' });
}
const sign = (key: string) => run('ceremony', 'sign', file('draft'), '--key', file(key));
const check = () => run('ceremony', 'check', file('draft'), '--root', file('root.json'));

describe('a ceremony', () => {
  test('moves a new installation from the key on its host to two of three keys that were never there', async () => {
    await drafted();
    await sign('a');
    const shown = await sign('c');
    expect(shown.stdout).toMatch(/version +2/);
    expect(shown.stdout.match(/\(signed\)/g)).toHaveLength(2);
    expect(await run('publish', file('draft'))).toMatchObject({ code: 0, stderr: '' });
    expect((await newest()).roles.root).toMatchObject({ threshold: 2, kids: { length: 3 } });
    expect(existsSync(paths().rootKey)).toBe(false);
    expect((await run('show')).stdout).toMatch(/root +2 of 3/);
  });

  test('names operators whose proofs machines demand, and a rotation keeps them', async () => {
    const { jwk } = await signingKeyFromSeed(new Uint8Array(32).fill(7));
    writeFileSync(file('operators.json'), JSON.stringify({ ada: { keys: [jwk], passkeys: [] } }));
    await run('export', '-o', file('root.json'));
    const draft = (...more: string[]) => run('ceremony', 'draft', '--root', file('root.json'), ...more);
    // Nobody named, and a proof demanded: no machine would obey anybody.
    const nobody = await draft('--operator-proof', 'required', '-o', file('draft'));
    expect([nobody.code, nobody.stderr]).toEqual([1, expect.stringContaining('CONFIG_INVALID')]);
    const named = await draft(
      '--operators',
      file('operators.json'),
      '--operator-proof',
      'required',
      '-o',
      file('draft'),
    );
    expect(named.stdout).toMatch(/operator proof +required/);
    expect(await run('publish', file('draft'))).toMatchObject({ code: 0, stderr: '' });
    expect(await run('rotate', 'command')).toMatchObject({ code: 0, stderr: '' });
    const { version, roles, policy } = await newest();
    expect([version, Object.keys(roles.operators ?? {}), policy.require_operator_proof]).toEqual([3, ['ada'], true]);
  });

  test('is not over before enough keys of the new version have signed', async () => {
    await drafted();
    await sign('b');
    // The same key once more is no second key.
    await sign('b');
    const early = await run('publish', file('draft'));
    expect(early).toMatchObject({ code: 3 });
    expect(early.stderr).toContain('latchkey: ROOT_THRESHOLD ');
    expect((await newest()).version).toBe(1);
    expect(existsSync(paths().rootKey)).toBe(true);
  });

  test('the keys of the version in force must sign as well', async () => {
    await drafted();
    await sign('a');
    await sign('b');
    const checked = await check();
    expect(checked.stderr).toContain('ROOT_THRESHOLD');
    // On any other machine: the key of the host is what is missing.
    rmSync(paths().rootKey);
    expect((await run('publish', file('draft'))).stderr).toContain('ROOT_THRESHOLD');
    expect((await newest()).version).toBe(1);
  });

  test('publishes each version once', async () => {
    await drafted();
    await sign('a');
    await sign('b');
    expect(await run('publish', file('draft'))).toMatchObject({ code: 0 });
    expect((await run('publish', file('draft'))).stderr).toContain('latchkey: ROOT_ROLLBACK ');
    expect((await newest()).version).toBe(2);
  });

  test('never writes over a key or a draft', async () => {
    await drafted();
    const before = readFileSync(file('a'), 'utf8');
    expect((await run('init', file('a'))).stderr).toContain('latchkey: ALREADY_EXISTS ');
    expect(readFileSync(file('a'), 'utf8')).toBe(before);
    expect(statSync(file('a')).mode & 0o777).toBe(0o600);
    const draft = ['--root', file('root.json'), '-o', file('draft')];
    expect((await run('ceremony', 'draft', ...draft)).stderr).toContain('ALREADY_EXISTS');
  });

  test.each([
    ['no JSON', 'x', 'ROOT_INVALID'],
    ['no draft', '{}', 'ROOT_INVALID'],
    ['a payload that is no root', '{"payload":"e30","signatures":[]}', 'ROOT_INVALID'],
  ])('refuses %s', async (_, content, code) => {
    await run('init', file('a'));
    writeFileSync(file('draft'), content);
    for (const outcome of [await sign('a'), await run('publish', file('draft'))]) {
      expect(outcome.code).not.toBe(0);
      expect(outcome.stderr).toContain(`latchkey: ${code} `);
    }
  });

  test('refuses a public key that is none, and a threshold beyond the keys', async () => {
    await run('export', '-o', file('root.json'));
    const draft = (...more: string[]) =>
      run('ceremony', 'draft', '--root', file('root.json'), '-o', file('draft'), ...more);
    expect((await draft('--root-key', file('root.json'))).stderr).toContain('CONFIG_INVALID');
    expect((await draft('--threshold', '2')).stderr).toContain('CONFIG_INVALID');
    expect(existsSync(file('draft'))).toBe(false);
  });
});

describe('a rotation', () => {
  test.each(['command', 'session'] as const)('of the %s key leaves the new key alone in its role', async (role) => {
    const [before] = (await newest()).roles[role].kids;
    expect(await run('rotate', role)).toMatchObject({ code: 0, stderr: '' });
    const { version, roles, keys } = await newest();
    expect(version).toBe(2);
    expect(roles[role].kids).toHaveLength(1);
    expect(keys).not.toHaveProperty(before ?? '');
    const held = readdirSync(role === 'command' ? paths().signerFolder : paths().gatewayFolder);
    expect(held.filter((name) => name.endsWith('.key'))).toEqual([`${role}.${roles[role].kids[0]}.key`]);
  });

  test('without the root keys at hand writes a draft, and changes nothing until that is published', async () => {
    await drafted();
    await sign('a');
    await sign('b');
    await run('publish', file('draft'));
    expect((await run('rotate', 'command')).stderr).toContain('latchkey: CONFIG_INVALID ');
    expect(await run('rotate', 'command', '-o', file('next'))).toMatchObject({ code: 0, stderr: '' });
    expect((await newest()).version).toBe(2);
    await run('ceremony', 'sign', file('next'), '--key', file('b'));
    await run('ceremony', 'sign', file('next'), '--key', file('c'));
    expect(await run('publish', file('next'))).toMatchObject({ code: 0, stderr: '' });
    expect((await newest()).version).toBe(3);
  });

  test('whose online key is on another host is refused: it would stop this one', async () => {
    await run('init', file('other'));
    await run('export', '-o', file('root.json'));
    await run(
      'ceremony',
      'draft',
      '--root',
      file('root.json'),
      '--command',
      `${file('other')}.pub`,
      '-o',
      file('draft'),
    );
    expect((await run('publish', file('draft'))).stderr).toContain('CONFIG_INVALID');
    expect((await newest()).version).toBe(1);
  });

  test('to a key that something else holds names exactly that one, as the running signer tells', async () => {
    const [inForce] = (await newest()).roles.command.kids;
    const held = await Promise.all([5, 6].map((byte) => signingKeyFromSeed(new Uint8Array(32).fill(byte))));
    const rotated = async (count: number) => {
      const keys = held.slice(0, count).map(({ kid, jwk }) => ({ kid, jwk }));
      const signer = createServer((socket) =>
        socket.once('data', () => socket.end(`${JSON.stringify({ id: 1, result: { keys } })}\n`)),
      ).listen(paths().adminSocket);
      const ended = await run('rotate', 'command', '--held').finally(() => signer.close());
      return [ended.code, ended.stderr.split(' ')[1] ?? '', (await newest()).roles.command.kids];
    };
    for (const count of [0, 2]) expect(await rotated(count)).toEqual([1, 'CONFIG_INVALID', [inForce]]);
    expect(await rotated(1)).toEqual([0, '', [held[0]?.kid]]);
    // The key that nobody believes any more is gone, and none was made.
    expect(readdirSync(paths().signerFolder).filter((name) => name.endsWith('.key'))).toEqual([]);
    expect((await run('rotate', 'session', '--held')).stderr).toContain('latchkey: CONFIG_INVALID ');
  });

  test('of anything else is wrong usage', async () => {
    expect((await run('rotate', 'root')).code).toBe(2);
  });
});

test('a chain with a broken link opens nothing', async () => {
  await run('rotate', 'session');
  const path = join(paths().trustFolder, '2.json');
  const { payload } = JSON.parse(readFileSync(path, 'utf8')) as SignedRoot;
  for (const content of ['', '{"payload":', JSON.stringify({ payload, signatures: [] })]) {
    writeFileSync(path, content);
    expect((await run('show')).stderr).toContain('latchkey: CONFIG_INVALID ');
  }
});
