// The database: whole transactions, known versions, and readers that are woken after the commit.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { newOperation } from '../../../control-plane/core/operation.ts';
import { appendEvent, eventsAfter, lastEventId } from '../../../control-plane/store/events.ts';
import { SCHEMA_VERSION } from '../../../control-plane/store/migrations.ts';
import { change, findOperation, insertOperation } from '../../../control-plane/store/operations.ts';
import { Store } from '../../../control-plane/store/store.ts';
import {
  findVm,
  insertVm,
  JOURNAL_HEADS_KEPT,
  rememberJournalHead,
  type Vm,
} from '../../../control-plane/store/vms.ts';
import { draftOf, T0 } from '../core/samples.ts';

let folder: string;
let path: string;
let store: Store;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-store-'));
  path = join(folder, 'latchkey.db');
  store = Store.open(path);
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

const event = (n: number) => ({ at: T0, vm: null, op: null, type: 'vm.online', data: { n } });

async function withVm(): Promise<void> {
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(43) } as const;
  const { vm, agent, project } = draftOf();
  await store.write((trx) =>
    insertVm(trx, {
      id: vm,
      agent,
      name: 'web',
      project,
      ik: jwk,
      ikKid: 'A',
      ek: jwk,
      machineSha256: 'A',
      enrolledAt: T0,
      lastSeen: null,
      boot: null,
      facts: null,
      agentVersion: null,
      ctr: 0,
      jhead: null,
      flags: [],
      quarantine: null,
      labels: {},
      joinToken: null,
    }),
  );
}

test('of the journal heads of a machine the newest are kept', async () => {
  await withVm();
  const vm = (await findVm(store.db, draftOf().vm)) as Vm;
  const seen = (n: number) => store.write((trx) => rememberJournalHead(trx, vm, `head-${n}`, T0 + n));
  for (let n = 0; n < JOURNAL_HEADS_KEPT + 3; n += 1) expect(await seen(n)).toBe(false);
  expect(await store.db.selectFrom('journal_heads').selectAll().execute()).toHaveLength(JOURNAL_HEADS_KEPT);
  expect(await seen(3)).toBe(true);
  expect(await seen(2)).toBe(false);
});

describe('a transaction', () => {
  test('that fails leaves nothing, neither the change nor its events', async () => {
    await withVm();
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

  test('wakes readers once it is there to be read', async () => {
    const { rings } = store.bell;
    const woken = store.bell.next(rings, new AbortController().signal).then(() => eventsAfter(store.db, {}, 0));
    await store.write((trx) => appendEvent(trx, event(1)));
    expect(await woken).toHaveLength(1);
    // One that rang before it was waited for is not missed.
    await store.bell.next(rings, new AbortController().signal);
  });
});

describe('the schema', () => {
  test('of a newer version is refused and left as it is', async () => {
    await store.close();
    const db = new DatabaseSync(path);
    db.exec(`PRAGMA journal_mode=DELETE; PRAGMA user_version = ${SCHEMA_VERSION + 1}`);
    db.close();
    const before = readFileSync(path);
    expect(() => Store.open(path)).toThrow(expect.objectContaining({ code: 'DATABASE_NEWER' }));
    expect(readFileSync(path).equals(before)).toBe(true);
    rmSync(path);
    store = Store.open(path);
  });

  test('holds operations of versions that timed no states, which are read all the same', async () => {
    await withVm();
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

  test('opened again is not made again', async () => {
    await store.write((trx) => appendEvent(trx, event(1)));
    await store.close();
    store = Store.open(path);
    expect(await lastEventId(store.db)).toBe(1);
  });
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
