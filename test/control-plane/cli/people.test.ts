// `latchkey project` and `latchkey api-key`, over a whole control plane.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { World } from '../world.ts';
import { collect, type Run, spawnMain } from './programs.ts';

let world: World;
beforeAll(async () => {
  world = await World.start();
});
afterAll(() => world.stop());

function latchkey(key: string, ...parameters: string[]): Promise<Run> {
  writeFileSync(join(world.data, 'key'), key, { mode: 0o600 });
  const env = { PATH: process.env['PATH'], HOME: world.data, LATCHKEY_STATE: join(world.data, 'state') };
  const server = { LATCHKEY_URL: world.origin, LATCHKEY_API_KEY_FILE: join(world.data, 'key') };
  return collect(spawnMain(parameters, { ...env, ...server }));
}

test('a project is made, joined and left, and a key is good for what was said', async () => {
  const own = (...parameters: string[]) => latchkey(world.apiKey, ...parameters);
  expect((await own('project', 'create', 'lab', '--json')).json).toEqual([
    { event: 'project', project: 'lab', role: 'admin' },
  ]);
  await world.operator('olga');
  expect((await own('project', 'join', 'lab', 'olga', '--role', 'viewer')).stdout).toBe('olga is viewer of lab.\n');
  expect((await own('project', 'members', 'lab')).stdout).toMatch(/olga +viewer/);
  expect((await own('project', 'leave', 'lab', 'olga', '--json')).code).toBe(0);
  const invited = await own('operator', 'invite', 'dan', '--email', 'dan@example.test', '--role', 'viewer', '--json');
  expect(invited.json).toMatchObject([{ operator: 'dan', link: expect.stringMatching(/\/invitation#[\w-]{43}$/) }]);
  const made = await own('api-key', 'create', '--name', 'ci', '--scopes', 'read', '--project', 'lab', '--json');
  const [{ api_key: key = '', id = '' } = {}] = made.json as { api_key?: string; id?: string }[];
  expect((await latchkey(key, 'project', 'list', '--json')).json).toEqual([{ project: 'lab', role: 'admin' }]);
  const refused = await latchkey(key, 'token', 'create', '--project', 'lab');
  expect([refused.code, refused.stderr]).toEqual([3, expect.stringContaining('FORBIDDEN')]);
  expect((await own('api-key', 'list')).stdout).toMatch(new RegExp(`${id} +admin +ci +read +lab +live`));
  expect((await own('api-key', 'revoke', id)).stdout).toBe(`Revoked ${id}.\n`);
  expect((await latchkey(key, 'project', 'list')).stderr).toContain('UNAUTHENTICATED');
  expect((await own('api-key', 'create', '--scopes', 'everything')).code).toBe(2);
});
