// The program on many machines at once, over a whole control plane: which machines its options choose, and what it says of each.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { World } from '../world.ts';
import { collect, type Run, spawnMain } from './programs.ts';

let world: World;
beforeAll(async () => {
  world = await World.start();
  await world.machine('web-1');
  await world.enrolled('db-1');
  writeFileSync(join(world.data, 'key'), world.apiKey, { mode: 0o600 });
});
afterAll(() => world.stop());

function latchkey(...parameters: string[]): Promise<Run> {
  const env = { PATH: process.env['PATH'], HOME: world.data, LATCHKEY_STATE: join(world.data, 'state') };
  const server = { LATCHKEY_URL: world.origin, LATCHKEY_API_KEY_FILE: join(world.data, 'key') };
  return collect(spawnMain(parameters, { ...env, ...server }));
}

test('labels are set and taken away, and choose machines', async () => {
  const set = await latchkey('vm', 'label', 'web-1', 'env=prod', 'tier=web', '--json');
  expect(set.json).toEqual([{ event: 'labels', vm: 'web-1', labels: { env: 'prod', tier: 'web' } }]);
  expect((await latchkey('vm', 'label', 'web-1', 'tier-')).stdout).toBe('env=prod\n');
  const chosen = await latchkey('vm', 'list', '--label', 'env=prod', '--json');
  expect(chosen.json).toMatchObject([{ name: 'web-1', labels: { env: 'prod' } }]);
  expect((await latchkey('vm', 'list', '--label', 'env=test')).stdout).toBe('No such machines.\n');
});

test.each([
  [['vm', 'label', 'web-1', 'env prod']],
  [['vm', 'label', 'web-1', 'a b=c']],
  [['vm', 'list', '--state', 'asleep']],
])('a wrong use is 2: %j', async (parameters) => {
  const run = await latchkey(...parameters);
  expect([run.code, run.stdout]).toEqual([2, '']);
});
