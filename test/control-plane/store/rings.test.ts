// Rings between programs over one PostgreSQL: they carry which machine, and one that could not be heard is caught up with.
// A dump that is restored rings, too.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { PostgresPlace } from '../../../control-plane/store/engine.ts';
import { appendEvent, eventsAfter } from '../../../control-plane/store/events.ts';
import { Store } from '../../../control-plane/store/store.ts';
import { findVm } from '../../../control-plane/store/vms.ts';
import { unavailable } from '../../requirements.ts';
import { T0 } from '../core/samples.ts';
import { POSTGRES_COMMAND, PostgresServer, postgresPrograms } from './postgres-server.ts';
import { vmOf, withVm } from './samples.ts';

let server: PostgresServer;
let place: PostgresPlace;
let open: Store[] = [];

beforeAll(async () => {
  if (postgresPrograms() !== null) server = await PostgresServer.start();
});
afterAll(() => server?.stop());
beforeEach(async (context) => {
  if (!server) unavailable(context, 'PostgreSQL', POSTGRES_COMMAND);
  place = await server.database();
});
afterEach(async () => {
  await Promise.all(open.map((store) => store.close()));
  open = [];
});

async function program(at = place): Promise<Store> {
  const store = await Store.open(at);
  open.push(store);
  return store;
}

const write = (store: Store, vm: string | null) =>
  store.write((trx) => appendEvent(trx, { at: T0, vm, op: null, type: 'x', data: {} }));

/** What is heard from now on; it is certain that somebody listens. */
async function listening(store: Store, speaker: Store): Promise<(string | null)[]> {
  const heard: (string | null)[] = [];
  store.bell.listen((vm) => heard.push(vm));
  await until(async () => {
    await speaker.tell('hello');
    return heard.includes('hello');
  });
  heard.length = 0;
  return heard;
}

async function until(probe: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 30_000; !(await probe()); ) {
    if (performance.now() > end) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

test('what one program writes another hears of, with the machine that it is about', async () => {
  const [here, there] = [await program(), await program()];
  const heard = await listening(there, here);
  await write(here, 'vm_1');
  await here.tell('vm_2');
  await write(here, null);
  await until(async () => heard.includes('') && heard.includes('vm_2'));
  expect(heard.filter((vm) => vm !== 'hello')).toEqual(['vm_1', 'vm_2', '']);
});

test('what is rolled back rings nowhere', async () => {
  const [here, there] = [await program(), await program()];
  const heard = await listening(there, here);
  const failing = here.write(async (trx) => {
    await appendEvent(trx, { at: T0, vm: 'vm_1', op: null, type: 'x', data: {} });
    throw new Error('undone');
  });
  await expect(failing).rejects.toThrow('undone');
  await write(here, 'vm_2');
  await until(async () => heard.includes('vm_2'));
  expect(heard).not.toContain('vm_1');
});

test('a reader whose listening connection breaks misses nothing, and hears again afterwards', async () => {
  const [here, there] = [await program(), await program()];
  const heard = await listening(there, here);
  const seen: number[] = [];
  const stop = new AbortController();
  const reader = (async () => {
    for (let id = 0; !stop.signal.aborted; ) {
      const { rings } = there.bell;
      const events = await eventsAfter(there.db, {}, id);
      for (const event of events) seen.push(event.id);
      id = events.at(-1)?.id ?? id;
      if (events.length === 0) await there.bell.next(rings, stop.signal);
    }
  })();
  const cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'";
  for (let n = 0; n < 5; n += 1) {
    await server.query(cut, place.database);
    await write(here, 'vm_1');
    await until(async () => seen.length === n + 1);
  }
  heard.length = 0;
  await until(async () => {
    await here.tell('vm_3');
    return heard.includes('vm_3');
  });
  stop.abort();
  await reader;
  expect(new Set(seen).size).toBe(5);
});

test('a dump that is restored elsewhere holds everything, counts on, and rings', async () => {
  const here = await program();
  const vm = await withVm(here, vmOf({ labels: { zone: 'ü' } }));
  await write(here, vm.id);
  const before = await eventsAfter(here.db, {}, 0);
  const dump = join(server.folder, 'dump');
  const tool = (name: string, ...args: string[]) =>
    promisify(execFile)(join(postgresPrograms() ?? '', name), ['-h', place.host, '-p', String(place.port), ...args]);
  await tool('pg_dump', '-U', place.user, '--format=custom', '-f', dump, place.database);
  const elsewhere = await server.database();
  await tool('pg_restore', '-U', place.user, '--exit-on-error', '-d', elsewhere.database, dump);
  const [there, beside] = [await program(elsewhere), await program(elsewhere)];
  expect(await findVm(there.db, vm.id)).toEqual(vm);
  expect(await eventsAfter(there.db, {}, 0)).toEqual(before);
  const heard = await listening(beside, there);
  await write(there, vm.id);
  await until(async () => heard.includes(vm.id));
  expect((await eventsAfter(there.db, {}, before.at(-1)?.id ?? 0)).length).toBe(1);
});
