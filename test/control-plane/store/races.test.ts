// Several programs over one PostgreSQL, each with connections of its own, at the same moment: what one decides by what it
// read is still true when it is committed, and readers see every event.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { demandFree } from '../../../control-plane/api/submission.ts';
import { appendEvent, eventsAfter } from '../../../control-plane/store/events.ts';
import { insertJoinToken, joinTokenBySha256, takeUse } from '../../../control-plane/store/join-tokens.ts';
import { rememberNonce } from '../../../control-plane/store/nonces.ts';
import { change, findOperation, insertOperation, openOperations } from '../../../control-plane/store/operations.ts';
import { Store } from '../../../control-plane/store/store.ts';
import { flagVm, updateVm, vmByKey } from '../../../control-plane/store/vms.ts';
import { codeOf } from '../../../protocol/failure.ts';
import { unavailable } from '../../requirements.ts';
import { draftOf, T0 } from '../core/samples.ts';
import { POSTGRES_COMMAND, PostgresServer, postgresPrograms } from './postgres-server.ts';
import { withVm } from './samples.ts';

const PROGRAMS = 4;

let server: PostgresServer | undefined;
let stores: Store[] = [];
const first = () => stores[0] as Store;
/** So many times, by all programs in turn. */
const byAll = <T>(times: number, work: (store: Store, n: number) => Promise<T>) =>
  Promise.all(Array.from({ length: times }, (_, n) => work(stores[n % PROGRAMS] as Store, n)));

beforeAll(async () => {
  if (postgresPrograms() !== null) server = await PostgresServer.start();
});
afterAll(() => server?.stop());
beforeEach(async (context) => {
  const place = await (server ?? unavailable(context, 'PostgreSQL', POSTGRES_COMMAND)).database();
  stores = await Promise.all(Array.from({ length: PROGRAMS }, () => Store.open(place)));
});
afterEach(async () => {
  await Promise.all(stores.map((store) => store.close()));
  stores = [];
});

test('a join token for three machines admits three', async () => {
  const unused = { revoked_at: null, used_at: null, vm: null, uses: 0, instance_sha256: null };
  const token = { id: 'tok_1', sha256: 'S', name: null, created_by: 'admin', created_at: T0, expires_at: T0 + 1 };
  await first().write((trx) => insertJoinToken(trx, { ...token, project: 'default', uses_max: 3, ...unused }));
  const admitted = await byAll(20, (store, n) =>
    store.write(async (trx) => {
      const found = await joinTokenBySha256(trx, 'S');
      if (!found || found.uses >= found.uses_max) return false;
      await takeUse(trx, found, `vm_${n}`, T0);
      return true;
    }),
  );
  expect(admitted.filter(Boolean)).toHaveLength(3);
});

test('a nonce is new to one', async () => {
  const news = await byAll(20, (store) => store.write((trx) => rememberNonce(trx, 'n', T0)));
  expect(news.filter(Boolean)).toHaveLength(1);
});

test('a counter that everybody raises by what they read misses nobody, nor does a list of flags', async () => {
  const vm = await withVm(first());
  await byAll(40, (store, n) =>
    store.write(async (trx) => {
      const { ctr } = (await vmByKey(trx, vm.ikKid)) ?? vm;
      await updateVm(trx, vm.id, { ctr: ctr + 1 });
      await flagVm(trx, vm.id, `FLAG_${n}`, T0);
    }),
  );
  const found = await vmByKey(first().db, vm.ikKid);
  expect(found?.ctr).toBe(40);
  expect(new Set(found?.flags).size).toBe(40);
});

test('one operation of a machine is approved', async () => {
  await withVm(first());
  const ops = Array.from({ length: 12 }, (_, n) => `op_${n}`);
  await first().write(async (trx) => {
    for (const op of ops) await insertOperation(trx, draftOf({ op }));
  });
  const said = await byAll(ops.length, (store, n) =>
    store
      .write(async (trx) => {
        const operation = await findOperation(trx, `op_${n}`);
        if (!operation) throw new Error('not there');
        await demandFree(trx, operation);
        await change(trx, operation, { t: 'approved', method: 'key', operator: 'admin' }, T0);
      })
      .then(() => 'approved', codeOf),
  );
  expect(said.filter((word) => word === 'approved')).toHaveLength(1);
  expect(said.filter((word) => word === 'BUSY')).toHaveLength(11);
  const open = await openOperations(first().db, draftOf().vm);
  expect(open.filter(({ approvedAt }) => approvedAt !== null)).toHaveLength(1);
});

describe('events', () => {
  test('become visible in the order of their numbers: whoever reads on from the last one misses none', async () => {
    const seen: number[] = [];
    let done = false;
    const reader = (async () => {
      for (let id = 0; ; ) {
        const last = done;
        for (const event of await eventsAfter(first().db, {}, id)) {
          seen.push(Number(event.data['n']));
          id = event.id;
        }
        if (last) return;
      }
    })();
    await byAll(200, async (store, n) => {
      // In one turn of the event loop they would all be in a few commits.
      await new Promise((resolve) => setTimeout(resolve, n % 37));
      await store.write(async (trx) => {
        await appendEvent(trx, { at: T0, vm: null, op: null, type: 'x', data: { n } });
        // The longer from number to commit, the more would overtake.
        await new Promise((resolve) => setTimeout(resolve, n % 3));
      });
    });
    done = true;
    await reader;
    expect(seen).toHaveLength(200);
    expect(new Set(seen).size).toBe(200);
  });
});
