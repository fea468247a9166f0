// A program that is killed while it commits in groups: whatever it acknowledged is there, on both engines.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Store } from '../../../control-plane/store/store.ts';
import { type Databases, engines } from './engines.ts';

const PROGRAM = join(import.meta.dirname, 'writing-program.ts');
const ACKNOWLEDGED_MIN = 500;

describe.each(engines)('$name', ({ start }) => {
  let databases: Databases;
  beforeAll(async () => {
    databases = await start();
  });
  afterAll(() => databases.stop());

  test('nothing that was acknowledged is lost, and what is there is whole groups’', async (context) => {
    const place = await databases.place(context);
    const child = spawn(process.execPath, [PROGRAM, JSON.stringify(place)], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    let said = '';
    for await (const chunk of child.stdout.setEncoding('utf8')) {
      said += chunk;
      if (said.split('\n').length > ACKNOWLEDGED_MIN) child.kill('SIGKILL');
    }
    await ended;
    const acknowledged = said.split('\n').slice(0, -1).map(Number);
    expect(acknowledged.length).toBeGreaterThan(ACKNOWLEDGED_MIN - 1);
    const store = await Store.open(place);
    const rows = await store.db.selectFrom('events').select('data_json').orderBy('id').execute();
    await store.close();
    const there = new Set(rows.map(({ data_json }) => (JSON.parse(data_json) as { n: number }).n));
    expect(acknowledged.filter((n) => !there.has(n))).toEqual([]);
    expect(there.size).toBe(rows.length);
  });
});
