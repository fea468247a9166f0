// The database, the same on both engines: whole transactions, known versions, and readers that are woken after the commit.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Kysely, sql } from 'kysely';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { newOperation } from '../../../control-plane/core/operation.ts';
import { inRequest, requestScope } from '../../../control-plane/request-scope.ts';
import type { Place } from '../../../control-plane/store/engine.ts';
import { appendEvent, eventsAfter, lastEventId } from '../../../control-plane/store/events.ts';
import { migrations, SCHEMA_VERSION } from '../../../control-plane/store/migrations.ts';
import { change, findOperation, insertOperation } from '../../../control-plane/store/operations.ts';
import { openEngine } from '../../../control-plane/store/schema.ts';
import { listOperations } from '../../../control-plane/store/selection.ts';
import { Store } from '../../../control-plane/store/store.ts';
import { draftOf, T0 } from '../core/samples.ts';
import { type Databases, engines } from './engines.ts';
import { withVm } from './samples.ts';

const event = (n: number) => ({ at: T0, vm: null, op: null, type: 'vm.online', data: { n } });

describe.each(engines)('$name', ({ start }) => {
  let databases: Databases;
  let place: Place;
  let store: Store;
  beforeAll(async () => {
    databases = await start();
  });
  afterAll(() => databases.stop());
  beforeEach(async (context) => {
    place = await databases.place(context);
    store = await Store.open(place);
  });
  afterEach(() => store.close());

  describe('a transaction', () => {
    test('that fails leaves nothing, neither the change nor its events', async () => {
      await withVm(store);
      const operation = newOperation(draftOf(), T0);
      await store.write((trx) => insertOperation(trx, operation));
      const before = await lastEventId(store.db);
      const failing = store.write(async (trx) => {
        await change(trx, operation, { t: 'end', state: 'CANCELLED', code: 'CANCELLED' }, T0);
        throw new Error('power');
      });
      await expect(failing).rejects.toThrow('power');
      expect((await findOperation(store.db, operation.op))?.state).toBe('QUEUED');
      expect(await lastEventId(store.db)).toBe(before);
    });

    test('never takes in what others do at the same time', async () => {
      const failing = store.write(async (trx) => {
        await appendEvent(trx, event(1));
        // Everybody else has their turn in here, if they can get it.
        await new Promise((resolve) => setTimeout(resolve, 20));
        throw new Error('rolled back');
      });
      const others = Array.from({ length: 10 }, (_, n) => store.write((trx) => appendEvent(trx, event(n + 2))));
      const reader = eventsAfter(store.db, {}, 0);
      await expect(failing).rejects.toThrow('rolled back');
      await Promise.all([...others, reader]);
      const ids = (await eventsAfter(store.db, {}, 0)).map(({ data }) => data['n']);
      expect(ids).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    });

    test('that is committed with others still belongs to the request that asked for it', async () => {
      const requests = ['request-1', 'request-2', 'request-3'];
      const asked = requests.map((request) => inRequest({ request }, () => store.write(async () => requestScope())));
      expect(await Promise.all(asked)).toEqual(requests.map((request) => ({ request })));
    });

    test('wakes readers once it is there to be read', async () => {
      const { rings } = store.bell;
      const woken = store.bell.next(rings, new AbortController().signal).then(() => eventsAfter(store.db, {}, 0));
      await store.write((trx) => appendEvent(trx, event(1)));
      expect(await woken).toHaveLength(1);
      // One that rang before it was waited for is not missed.
      await store.bell.next(rings, new AbortController().signal);
    });

    test('of many that are asked for at once is durable when it returns, and fails alone', async () => {
      const works = Array.from({ length: 300 }, (_, n) =>
        store
          .write(async (trx) => {
            await appendEvent(trx, event(n));
            if (n % 7 === 0) throw new Error('refused');
          })
          .then(
            () => null,
            (error: Error) => error.message,
          ),
      );
      const said = await Promise.all(works);
      const there = await allEvents(store);
      expect(there).toEqual(said.flatMap((error, n) => (error === null ? [n] : [])));
      expect(said.filter((error) => error === 'refused')).toHaveLength(43);
    });
  });

  describe('the schema', () => {
    test('of a newer version is refused and left as it is', async () => {
      await store.close();
      const newer = SCHEMA_VERSION + 1;
      await setVersion(place, newer);
      await expect(Store.open(place)).rejects.toMatchObject({ code: 'DATABASE_NEWER', details: { have: newer } });
      await setVersion(place, SCHEMA_VERSION);
      store = await Store.open(place);
    });

    test('is made once, by whoever of several that begin together is first', async (context) => {
      const fresh = await databases.place(context);
      const opened = await Promise.all(Array.from({ length: 4 }, () => Store.open(fresh)));
      for (const one of opened) {
        expect(await lastEventId(one.db)).toBe(0);
        await one.close();
      }
    });

    test('holds operations of versions that timed no states, which are read all the same', async () => {
      await withVm(store);
      const operation = newOperation(draftOf(), T0);
      await store.write((trx) => insertOperation(trx, operation));
      const { entered: _, times: __, ...untimed } = operation;
      const record_json = JSON.stringify(untimed);
      await store.write((trx) => trx.updateTable('operations').set({ record_json }).execute());
      const read = await findOperation(store.db, operation.op);
      expect(read).toEqual({ ...operation, times: [] });
      if (!read) throw new Error('not there');
      await store.write((trx) => change(trx, read, { t: 'end', state: 'CANCELLED', code: 'CANCELLED' }, T0 + 5));
      expect((await findOperation(store.db, operation.op))?.times).toMatchObject([{ state: 'QUEUED', ms: 5 }]);
    });

    test('of an earlier version: operations are found by what they were, from then on', async (context) => {
      const older = await databases.place(context);
      const engine = await openEngine(older);
      for (const step of migrations.filter(({ version }) => version < 7)) await engine.apply(step);
      const { op, vm, ...operation } = newOperation(draftOf({ project: 'other', operator: 'eve' }), T0);
      const db = new Kysely<never>({ dialect: engine.dialect }) as unknown as Kysely<Record<string, never>>;
      const record_json = JSON.stringify({ op, vm, ...operation });
      await sql`INSERT INTO vms (id, agent, name, project, ik_json, ik_kid, ek_json, machine_sha256, enrolled_at, ctr, flags_json, labels_json)
        VALUES (${vm}, 'a', 'web', 'other', '{}', 'k', '{}', 'm', 1, 0, '[]', '{}')`.execute(db);
      await sql`INSERT INTO operations (op, vm, state, approved, ended, updated_at, sealed, record_json)
        VALUES (${op}, ${vm}, 'QUEUED', 0, 0, 1, 0, ${record_json})`.execute(db);
      await db.destroy();
      await engine.close();
      const reopened = await Store.open(older);
      const found = await listOperations(reopened.db, {
        projects: ['other'],
        operator: 'eve',
        createdAfter: T0,
        limit: 9,
      });
      expect(found.map(({ operation: { op } }) => op)).toEqual([op]);
      expect(await listOperations(reopened.db, { projects: ['other'], createdAfter: T0 + 1, limit: 9 })).toEqual([]);
      await reopened.close();
    });

    test('opened again is not made again', async () => {
      await store.write((trx) => appendEvent(trx, event(1)));
      await store.close();
      store = await Store.open(place);
      expect(await lastEventId(store.db)).toBe(1);
    });
  });
});

async function allEvents(store: Store): Promise<unknown[]> {
  const numbers: unknown[] = [];
  for (let id = 0; ; ) {
    const page = await eventsAfter(store.db, {}, id);
    if (page.length === 0) return numbers;
    numbers.push(...page.map(({ data }) => data['n']));
    id = page.at(-1)?.id ?? 0;
  }
}

async function setVersion(place: Place, version: number): Promise<void> {
  if ('file' in place) {
    const db = new DatabaseSync(place.file);
    db.exec(`PRAGMA user_version = ${version}`);
    db.close();
    return;
  }
  const client = new pg.Client({ host: place.host, port: place.port, user: place.user, database: place.database });
  await client.connect();
  await client.query(`UPDATE schema_version SET version = ${version}`);
  await client.end();
}

describe('a file', () => {
  let folder: string;
  let file: string;
  let store: Store;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'latchkey-store-'));
    file = join(folder, 'latchkey.db');
    store = await Store.open({ file });
  });
  afterEach(async () => {
    await store.close();
    rmSync(folder, { recursive: true });
  });

  test('of a newer version stays as it is, to the byte', async () => {
    await store.close();
    const db = new DatabaseSync(file);
    db.exec(`PRAGMA journal_mode=DELETE; PRAGMA user_version = ${SCHEMA_VERSION + 1}`);
    db.close();
    const before = readFileSync(file);
    await expect(Store.open({ file })).rejects.toMatchObject({ code: 'DATABASE_NEWER' });
    expect(readFileSync(file).equals(before)).toBe(true);
    rmSync(file);
    store = await Store.open({ file });
  });

  test('a full disk is said to be one, loses nothing, and is over when there is room again', async () => {
    const fill = () => store.write((trx) => appendEvent(trx, { ...event(1), type: 'x'.repeat(9_000) }));
    await store.write((trx) => appendEvent(trx, event(0)));
    await sql`PRAGMA max_page_count = 1`.execute(store.db);
    await expect(fill()).rejects.toMatchObject({ code: 'DATABASE_UNUSABLE', details: { reason: 'sqlite_13' } });
    expect(await lastEventId(store.db)).toBe(1);
    await sql`PRAGMA max_page_count = 1000000`.execute(store.db);
    await fill();
    expect(await lastEventId(store.db)).toBe(2);
  });
});
