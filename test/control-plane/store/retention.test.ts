// What is forgotten and what is not, the same on both engines.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { findBulk, insertBulk } from '../../../control-plane/store/bulks.ts';
import { appendEvent, eventsAfter, newestOfType } from '../../../control-plane/store/events.ts';
import { findOperation, insertOperation, insertReceipt, receiptsOf } from '../../../control-plane/store/operations.ts';
import { forgetOld } from '../../../control-plane/store/retention.ts';
import { Store } from '../../../control-plane/store/store.ts';
import { approvedOf, OP, receiptOf, shaOf, T0 } from '../core/samples.ts';
import { type Databases, engines } from './engines.ts';
import { bulkOf, withVm } from './samples.ts';

const DAY = 86_400_000;

describe.each(engines)('$name', ({ start }) => {
  let databases: Databases;
  let store: Store;
  beforeAll(async () => {
    databases = await start();
  });
  afterAll(() => databases.stop());
  beforeEach(async (context) => {
    store = await Store.open(await databases.place(context));
  });
  afterEach(() => store.close());

  const forget = (now: number) => forgetOld(store, { eventsDays: 1, operationsDays: 2 }, now);
  const append = (at: number, type: string, op: string | null = null) =>
    store.write((trx) => appendEvent(trx, { at, vm: null, op, type, data: { n: at } }));

  test('events are forgotten when they are old, however many they are, and none before', async () => {
    await store.write(async (trx) => {
      for (let n = 0; n < 1_100; n += 1) await appendEvent(trx, { at: T0, vm: null, op: null, type: 'x', data: {} });
    });
    await append(T0 + 1, 'young');
    await forget(T0 + DAY);
    expect(await eventsAfter(store.db, {}, 0)).toHaveLength(200);
    await forget(T0 + DAY + 1);
    expect((await eventsAfter(store.db, {}, 0)).map(({ type }) => type)).toEqual(['young']);
  });

  test('an event that says up to where alarms were brought stays while it is the newest', async () => {
    await append(T0, 'operator.alarm');
    await append(T0 + 1, 'operator.alarm');
    await append(T0 + 2, 'other');
    await forget(T0 + 9 * DAY);
    expect((await newestOfType(store.db, 'operator.alarm'))?.at).toBe(T0 + 1);
    expect(await eventsAfter(store.db, {}, 0)).toHaveLength(1);
  });

  test('an operation is forgotten with its receipts once it is over and its secrets are gone; its events wait for that', async () => {
    await withVm(store);
    const ops = {
      open: approvedOf({ op: 'op_open' }),
      sealed: approvedOf({ op: 'op_sealed', state: 'DONE', sealed: { account: 'jwe' } }),
      ended: approvedOf({ op: OP, state: 'DONE' }),
      young: approvedOf({ op: 'op_young', state: 'DONE', updatedAt: T0 + 1 }),
    };
    await store.write(async (trx) => {
      for (const operation of Object.values(ops)) await insertOperation(trx, operation);
      await insertReceipt(trx, receiptOf(1, 'ACCEPTED'), 't', shaOf(1), T0);
    });
    await store.write(async (trx) => {
      for (const op of ['op_bulk', 'op_old']) await insertBulk(trx, bulkOf({ op }));
      const one = { bulk: { op: 'op_bulk', index: 0, turn: false }, updatedAt: T0 + 1 };
      await insertOperation(trx, approvedOf({ op: 'op_one', state: 'DONE', ...one }));
    });
    await forget(T0 + 2 * DAY + 1);
    expect(await Promise.all(['op_bulk', 'op_old'].map((op) => findBulk(store.db, op)))).toMatchObject([{}, null]);
    const left = await Promise.all(Object.values(ops).map(async ({ op }) => (await findOperation(store.db, op))?.op));
    expect(left).toEqual(['op_open', 'op_sealed', undefined, 'op_young']);
    expect(await receiptsOf(store.db, OP)).toEqual([]);
    expect((await eventsAfter(store.db, {}, 0)).map(({ op }) => op)).toEqual(['op_open']);
  });
});
