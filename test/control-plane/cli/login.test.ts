// Profiles: an API key is tried, kept for its owner alone, used for its own control plane, and forgotten; and webhooks are
// managed with it, from the registration to a message that is sent again.

import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { World } from '../world.ts';
import { collect, spawnMain } from './programs.ts';

let world: World;
let home: string;
let runs = 0;
beforeAll(async () => {
  world = await World.start();
});
afterAll(() => world.stop());
beforeEach(() => {
  runs += 1;
  home = join(world.data, `home-${runs}`);
  mkdirSync(home);
});

const profiles = () => join(home, '.config', 'latchkey', 'profiles');
const latchkey = (
  words: readonly string[],
  { input = '', env = {} }: { input?: string; env?: NodeJS.ProcessEnv } = {},
) => {
  const own = { PATH: process.env['PATH'], HOME: home, LATCHKEY_DATA: join(home, 'none') };
  return collect(spawnMain(words, { ...own, ...env }), input);
};
const login = (name: string, input = `${world.apiKey}\n`) =>
  latchkey(['login', name, '--url', world.origin, '--api-key-stdin', '--json'], { input });

describe('latchkey login', () => {
  test('keeps a key that holds, for its owner alone, and uses it from then on', async () => {
    const run = await login('work');
    expect(run.json).toEqual([{ event: 'login', profile: 'work', url: `${world.origin}/`, operator: 'admin' }]);
    expect(run.stdout + run.stderr).not.toContain(world.apiKey);
    expect(statSync(join(profiles(), 'work.json')).mode & 0o777).toBe(0o600);
    expect(statSync(profiles()).mode & 0o777).toBe(0o700);
    expect((await latchkey(['vm', 'list', '--json'])).code).toBe(0);
    const { stdout } = await latchkey(['profile', 'list']);
    expect(stdout).toMatch(/\*\s+work\s/);
    expect(stdout).not.toContain(world.apiKey);
  });

  test('keeps nothing where the key is none of that control plane’s, or no key', async () => {
    const wrong = await login('work', `lk_${'A'.repeat(43)}\n`);
    expect([wrong.code, wrong.json.at(-1)?.['code']]).toEqual([3, 'UNAUTHENTICATED']);
    const none = await login('work', 'artificial-secret\n');
    expect(none.json.at(-1)?.['code']).toBe('CONFIG_INVALID');
    expect(none.stdout + none.stderr).not.toContain('artificial-secret');
    expect(() => readdirSync(profiles())).toThrow();
  });

  test('of several profiles the one that is named counts, then the environment’s, then the one in use', async () => {
    await login('first');
    const file = join(profiles(), 'away.json');
    const away = { ...JSON.parse(readFileSync(join(profiles(), 'first.json'), 'utf8')), url: 'http://127.0.0.1:1/' };
    writeFileSync(file, JSON.stringify(away), { mode: 0o600 });
    expect((await latchkey(['profile', 'use', 'away'])).code).toBe(0);
    const code = async (words: string[], env: NodeJS.ProcessEnv = {}) =>
      (await latchkey(['vm', 'list', '--json', ...words], { env })).json.at(-1)?.['code'];
    expect(await code([])).toBe('SERVER_UNREACHABLE');
    expect(await code([], { LATCHKEY_PROFILE: 'first' })).toBeUndefined();
    expect(await code(['--profile', 'away'], { LATCHKEY_PROFILE: 'first' })).toBe('SERVER_UNREACHABLE');
    expect(await code(['--profile', 'nothing'])).toBe('CONFIG_INVALID');
    expect(await code(['--profile', '../away'])).toBe('CONFIG_INVALID');
    // A key goes to its own control plane and nowhere else.
    expect(await code(['--url', world.origin])).toBe('UNAUTHENTICATED');
    const both = await latchkey(['vm', 'list', '--profile', 'first', '--url', world.origin]);
    expect([both.code, both.stderr]).toEqual([2, expect.stringContaining('--profile excludes')]);
  });

  test('and logout forgets it', async () => {
    await login('work');
    expect((await latchkey(['logout', '--json'])).json).toEqual([{ event: 'logout', profile: 'work' }]);
    expect(readdirSync(profiles())).toEqual([]);
    expect((await latchkey(['vm', 'list', '--json'])).json.at(-1)?.['code']).toBe('SERVER_UNREACHABLE');
    expect((await latchkey(['logout'])).code).toBe(2);
  });
});

test('latchkey webhook registers, tries, lists, sends again and removes', async () => {
  await login('work');
  const json = async (...words: string[]) => (await latchkey(['webhook', ...words, '--json'])).json;
  const [made] = await json('create', 'http://127.0.0.1:1/', '--events', 'vm.*,operation.state');
  expect(made).toMatchObject({
    event: 'webhook',
    events: ['vm.*', 'operation.state'],
    secret: expect.stringMatching(/^whsec_/),
  });
  const id = String(made?.['id']);
  const [sent] = await json('test', id);
  expect(await json('list')).toMatchObject([{ id, pending: 1 }]);
  expect(await json('deliveries', id)).toMatchObject([{ id: sent?.['id'], state: 'pending', type: 'webhook.test' }]);
  expect(await json('deliveries', id, '--state', 'dead')).toEqual([]);
  expect((await json('redeliver', id, String(sent?.['id']))).at(-1)).toMatchObject({ code: 'STATE_CONFLICT' });
  await world.store.db.updateTable('deliveries').set({ state: 'dead', attempts: 9, error: 'ECONNREFUSED' }).execute();
  expect((await latchkey(['webhook', 'deliveries', id, '--state', 'dead'])).stdout).toMatch(
    /webhook\.test\s+dead\s+9\s+ECONNREFUSED/,
  );
  expect(await json('redeliver', id, String(sent?.['id']))).toMatchObject([{ state: 'pending', attempts: 0 }]);
  expect((await json('create', 'https://10.0.0.1/')).at(-1)).toMatchObject({ code: 'REQUEST_INVALID' });
  expect(await json('remove', id)).toEqual([{ event: 'removed', webhook: id }]);
  expect((await latchkey(['webhook', 'list'])).stdout).toBe('No webhooks.\n');
});
