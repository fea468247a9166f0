// What the store answers of bulk submissions, the same on both engines.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  findBulk,
  insertBulk,
  intentOf,
  listBulks,
  openBulks,
  operationsOfBulk,
  putBulk,
  takeTurn,
  workingIn,
} from '../../../control-plane/store/bulks.ts';
import { change, findOperation, findSaid, insertOperation } from '../../../control-plane/store/operations.ts';
import { Store } from '../../../control-plane/store/store.ts';
import { approvedOf, T0 } from '../core/samples.ts';
import { type Databases, engines } from './engines.ts';
import { bulkOf, nthVm, withVm } from './samples.ts';

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

  test('a bulk submission is kept with its bytes, listed, and gives as many turns as it has', async () => {
    for (const n of [1, 2]) await withVm(store, nthVm(n));
    const intent = { bytes: 'AAAA', hash: 'H', notAfterS: 9 };
    const bulk = bulkOf({ op: 'op_b', intent });
    const parts = [1, 2].map((n) =>
      approvedOf({ op: `op_${n}`, vm: `vm_${n}`, agent: `agt_${n}`, bulk: { op: 'op_b', index: n - 1, turn: false } }),
    );
    await store.write(async (trx) => {
      for (const one of [bulk, bulkOf({ op: 'op_c', project: 'other' })]) await insertBulk(trx, one);
      for (const part of parts) await insertOperation(trx, part);
    });
    expect(await findBulk(store.db, 'op_b')).toEqual(bulk);
    expect(await intentOf(store.db, 'op_b')).toBe('AAAA');
    const listed = async (projects: string[], after?: number) =>
      (await listBulks(store.db, { projects, after, limit: 9 })).map(({ bulk: { op } }) => op);
    expect([await listed(['default', 'other']), await listed(['other'])]).toEqual([['op_c', 'op_b'], ['op_c']]);
    const [newest] = await listBulks(store.db, { projects: ['default', 'other'], limit: 1 });
    expect(await listed(['default', 'other'], newest?.seq)).toEqual(['op_b']);
    expect((await operationsOfBulk(store.db, 'op_b')).map(({ op }) => op)).toEqual(['op_1', 'op_2']);
    expect(await workingIn(store.db, ['op_b', 'op_c'])).toEqual(new Map([['op_b', 2]]));
    expect((await findSaid(store.db, 'vm_2', 'op_b'))?.op).toBe('op_2');
    expect([await findSaid(store.db, 'vm_2', 'op_1'), await findSaid(store.db, 'vm_3', 'op_b')]).toMatchObject([
      { op: 'op_1' },
      null,
    ]);
    const turn = (op: string) => takeTurn(store, { op, bulk: 'op_b' }, T0);
    const turns = await Promise.all([turn('op_1'), turn('op_2')]);
    expect(turns.toSorted()).toEqual([false, true]);
    const [first, second] = turns[0] ? ['op_1', 'op_2'] : ['op_2', 'op_1'];
    await store.write(async (trx) => {
      const now = await findOperation(trx, String(first));
      if (now) await change(trx, now, { t: 'end', state: 'CANCELLED', code: 'CANCELLED' }, T0);
      await putBulk(trx, { ...bulk, approvedAt: T0 });
    });
    expect([await turn(String(second)), await workingIn(store.db, ['op_b'])]).toEqual([true, new Map([['op_b', 1]])]);
    expect((await openBulks(store.db)).map(({ op }) => op)).toEqual(['op_c']);
  });
});
