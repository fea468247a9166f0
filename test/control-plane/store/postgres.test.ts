// PostgreSQL as it behaves on a bad day: away, slow, held up by somebody, or not ours.

import { sql } from 'kysely';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { PostgresPlace } from '../../../control-plane/store/engine.ts';
import { appendEvent, lastEventId } from '../../../control-plane/store/events.ts';
import { inPostgres } from '../../../control-plane/store/postgres.ts';
import { Store } from '../../../control-plane/store/store.ts';
import { findVm, updateVm } from '../../../control-plane/store/vms.ts';
import { unavailable } from '../../requirements.ts';
import { T0 } from '../core/samples.ts';
import { POSTGRES_COMMAND, PostgresServer, postgresPrograms } from './postgres-server.ts';
import { nthVm, withVm } from './samples.ts';

let server: PostgresServer | undefined;
let place: PostgresPlace;
let store: Store;
let others: pg.Client[] = [];

beforeAll(async () => {
  if (postgresPrograms() !== null) server = await PostgresServer.start();
});
afterAll(() => server?.stop());
beforeEach(async (context) => {
  place = await (server ?? unavailable(context, 'PostgreSQL', POSTGRES_COMMAND)).database();
  store = await Store.open(place);
});
afterEach(async () => {
  for (const other of others) await other.end();
  others = [];
  await store.close();
});

const event = (n: number) => ({ at: T0, vm: null, op: null, type: 'x', data: { n } });
const write = (n: number) => store.write((trx) => appendEvent(trx, event(n)));

/** An administrator's connection. */
async function other(): Promise<pg.Client> {
  const client = await (server as PostgresServer).connect(place.database);
  others.push(client);
  return client;
}

test('a server that is not there, and one that does not have the database, are said to be unusable', async () => {
  const unusable = { code: 'DATABASE_UNUSABLE' };
  const away = { ...place, port: 1 };
  await expect(Store.open(away)).rejects.toMatchObject({ ...unusable, details: { reason: 'ECONNREFUSED' } });
  const missing = { ...place, database: 'missing' };
  await expect(Store.open(missing)).rejects.toMatchObject({ ...unusable, details: { reason: 'pg_3D000' } });
});

test('a wrong password is said to be wrong', async () => {
  await (await other()).query("CREATE ROLE guarded SUPERUSER LOGIN PASSWORD 'right'");
  const guarded = { ...place, user: 'guarded', password: 'wrong' };
  const refused = { code: 'DATABASE_UNUSABLE', details: { reason: 'pg_28P01' } };
  await expect(Store.open(guarded)).rejects.toMatchObject(refused);
  await (await Store.open({ ...guarded, password: 'right' })).close();
});

test('connections that the server broke are replaced, and what was not committed was not done', async () => {
  await write(1);
  const broken = store.write(async (trx) => {
    await appendEvent(trx, event(2));
    await server?.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'latchkey'");
    await appendEvent(trx, event(3));
  });
  await expect(broken).rejects.toMatchObject({ code: 'DATABASE_UNUSABLE' });
  await write(4);
  const { rows } = await (await other()).query('SELECT data_json FROM events ORDER BY id');
  expect(rows.map(({ data_json }) => JSON.parse(data_json).n)).toEqual([1, 4]);
});

test('a deadlock with an administrator is tried again and is nobody else’s', async () => {
  const [one, two] = [await withVm(store, nthVm(1)), await withVm(store, nthVm(2))];
  const admin = await other();
  // The server ends the transaction that notices first: ours.
  await admin.query("SET deadlock_timeout = '1min'; BEGIN");
  await admin.query(`UPDATE vms SET ctr = 5 WHERE id = '${two.id}'`);
  let tries = 0;
  let theirs: Promise<unknown> | undefined;
  const ours = store.write(async (trx) => {
    tries += 1;
    await updateVm(trx, one.id, { ctr: 7 });
    theirs ??= admin.query(`UPDATE vms SET ctr = 6 WHERE id = '${one.id}'; COMMIT`);
    await updateVm(trx, two.id, { ctr: 7 });
  });
  const neighbour = write(1);
  await Promise.all([ours, neighbour, theirs]);
  expect(tries).toBeGreaterThan(1);
  expect([(await findVm(store.db, one.id))?.ctr, (await findVm(store.db, two.id))?.ctr]).toEqual([7, 7]);
  expect(await lastEventId(store.db)).toBeGreaterThan(0);
});

test('a program that stands still in its transaction holds up the others for a while and not for ever', async () => {
  const shown = await sql<Record<string, string>>`SHOW idle_in_transaction_session_timeout`.execute(store.db);
  expect(shown.rows[0]?.['idle_in_transaction_session_timeout']).toBe('10s');
  const still = await Store.open(place);
  const { promise: woken, resolve: wake } = Promise.withResolvers<void>();
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const standing = still.write(async (trx) => {
    await appendEvent(trx, event(1));
    await sql`SET LOCAL idle_in_transaction_session_timeout = 200`.execute(trx);
    begin();
    await woken;
    await appendEvent(trx, event(2));
  });
  await begun;
  await write(3);
  wake();
  await expect(standing).rejects.toMatchObject({ code: 'DATABASE_UNUSABLE' });
  await still.close();
  const { rows } = await (await other()).query('SELECT data_json FROM events');
  expect(rows.map(({ data_json }) => JSON.parse(data_json).n)).toEqual([3]);
});

test('a step’s words are read as PostgreSQL’s, and nothing is left of SQLite’s', () => {
  const sql = 'CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, name TEXT) STRICT;';
  const read = inPostgres(sql);
  expect(read).toBe(
    'CREATE TABLE t (id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, at BIGINT NOT NULL, name TEXT COLLATE "C");',
  );
});
