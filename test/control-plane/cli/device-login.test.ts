// `latchkey login` as a person uses it: the program in one hand, a browser in the other.

import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ownName } from '../../../control-plane/cli/device-login.ts';
import { type Browser, PASSWORD, person } from '../people/browser.ts';
import { World } from '../world.ts';
import { collect, spawnMain } from './programs.ts';

let world: World;
let ann: Browser;
let home: string;
let runs = 0;
beforeAll(async () => {
  world = await World.start();
  ann = await person(world, 'ann');
  await ann.signIn('ann@example.test', PASSWORD);
});
afterAll(() => world.stop());
beforeEach(() => {
  runs += 1;
  home = join(world.data, `home-${runs}`);
  mkdirSync(home);
});

const env = () => ({ PATH: process.env['PATH'], HOME: home, LATCHKEY_DATA: join(home, 'none') });
const profile = () => join(home, '.config', 'latchkey', 'profiles', 'default.json');

/** The program, once it has shown its code. */
async function login(...words: string[]) {
  const child = spawnMain(['login', '--url', world.origin, ...words], env());
  let text = '';
  const shown = new Promise<string>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk) => {
        text += chunk;
        const code = /[B-Z]{4}-[B-Z]{4}/.exec(text)?.[0];
        if (code && text.includes('expires_in') === text.startsWith('{')) resolve(code);
      });
    }
  });
  const ended = collect(child);
  const code = await Promise.race([shown, ended.then(({ stderr }) => Promise.reject(new Error(stderr)))]);
  return { child, code, ended };
}
const decide = (word: 'approve' | 'deny', user_code: string) =>
  ann.ask('POST', `/v1/auth/device/${word}`, { user_code });

describe('latchkey login', () => {
  test('shows a code and where to go, waits, and keeps the key of whoever let it in', async () => {
    const { code, ended } = await login('--scopes', 'read', '--ttl', '3600');
    expect((await decide('approve', code)).status).toBe(200);
    const run = await ended;
    expect(run.stderr).toContain(`${world.publicUrl}/device?user_code=${code}`);
    expect([run.code, run.stdout]).toEqual([
      0,
      `Signed in to ${world.origin}/ as ann; the profile default is in use.\n`,
    ]);
    expect(statSync(profile()).mode & 0o777).toBe(0o600);
    const { api_key, operator } = JSON.parse(readFileSync(profile(), 'utf8'));
    expect([operator, run.stdout + run.stderr + world.logged.join()]).toEqual([
      'ann',
      expect.not.stringContaining(api_key),
    ]);
    const list = await collect(spawnMain(['api-key', 'list', '--json'], env()));
    expect(list.json.find(({ name }) => String(name).startsWith('cli on '))).toMatchObject({
      ...{
        operator: 'ann',
        scopes: ['read'],
        state: 'live',
        name: `cli on ${ownName(hostname())}`,
      },
      expires_at: new Date(world.now + 3_600_000).toISOString(),
    });
  });

  test('in JSON says the code first and who it is last, and never a secret', async () => {
    const { code, ended } = await login('--json');
    await decide('approve', code);
    const run = await ended;
    expect(run.json).toEqual([
      {
        ...{ event: 'login_code', user_code: code, expires_in: 600, verification_uri: `${world.publicUrl}/device` },
        verification_uri_complete: `${world.publicUrl}/device?user_code=${code}`,
      },
      {
        ...{
          event: 'login',
          profile: 'default',
          url: `${world.origin}/`,
          operator: 'ann',
          scopes: ['read', 'operate'],
        },
        expires_at: new Date(world.now + 30 * 86_400_000).toISOString(),
      },
    ]);
    expect(run.stderr).toBe('');
  });

  test('keeps nothing where it was denied, or nobody came', async () => {
    const denied = await login('--json');
    await decide('deny', denied.code);
    const first = await denied.ended;
    expect([first.code, first.json.at(-1)?.['code']]).toEqual([3, 'LOGIN_DENIED']);
    const late = await login('--json');
    world.now += 600_000;
    const second = await late.ended;
    world.now -= 600_000;
    expect([second.code, second.json.at(-1)?.['code']]).toEqual([3, 'LOGIN_EXPIRED']);
    expect(existsSync(profile())).toBe(false);
  });

  test('ends at once with Ctrl-C, and nobody has a key', async () => {
    const keys = async () => (await world.store.db.selectFrom('api_keys').selectAll().execute()).length;
    const before = await keys();
    const { child, code, ended } = await login();
    child.kill('SIGINT');
    const run = await ended;
    expect([run.code, run.stdout]).toEqual([130, '']);
    expect(run.stderr).toMatch(/Not signed in\.\n$/);
    await decide('approve', code);
    expect([existsSync(profile()), await keys()]).toEqual([false, before]);
  });

  test('that cannot keep its key revokes it', async () => {
    mkdirSync(join(home, '.config'));
    writeFileSync(join(home, '.config', 'latchkey'), 'a file in the way');
    const { code, ended } = await login('--json');
    await decide('approve', code);
    const run = await ended;
    expect([run.code, run.json.at(-1)?.['code']]).toEqual([1, 'PATH_UNWRITABLE']);
    const row = world.store.db
      .selectFrom('api_keys')
      .selectAll()
      .orderBy('created_at', 'desc')
      .orderBy('revoked_at', 'desc');
    expect((await row.executeTakeFirstOrThrow()).revoked_at).not.toBeNull();
  });

  test('takes no wishes for a key that is given', async () => {
    const words = ['login', '--url', world.origin, '--api-key-stdin', '--scopes', 'read'];
    const run = await collect(spawnMain(words, env()), `${world.apiKey}\n`);
    expect([run.code, run.stderr]).toEqual([2, expect.stringContaining('--scopes')]);
    const bad = await collect(spawnMain(['login', '../x', '--url', world.origin, '--json'], env()));
    expect(bad.json.at(-1)?.['code']).toBe('CONFIG_INVALID');
  });
});

test('a host is named in signs that the control plane takes', () => {
  expect(['Büro 1.local', '--', `${'a'.repeat(80)}`].map(ownName)).toEqual(['B-ro-1.local', 'host', 'a'.repeat(55)]);
});
