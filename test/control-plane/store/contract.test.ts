// What every query of the store answers, the same on both engines.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { newOperation } from '../../../control-plane/core/operation.ts';
import { rights } from '../../../control-plane/core/rights.ts';
import {
  findApiKey,
  insertApiKey,
  listApiKeys,
  livingApiKey,
  revokeApiKey,
} from '../../../control-plane/store/api-keys.ts';
import { appendEvent, eventsAfter, lastEventId, newestOfType } from '../../../control-plane/store/events.ts';
import { beat, connect } from '../../../control-plane/store/gateways.ts';
import {
  findJoinToken,
  insertJoinToken,
  type JoinToken,
  joinTokenBySha256,
  listJoinTokens,
  markRevoked,
  stateOf,
  takeUse,
} from '../../../control-plane/store/join-tokens.ts';
import { forgetNoncesBefore, rememberNonce } from '../../../control-plane/store/nonces.ts';
import {
  change,
  findOperation,
  insertOperation,
  insertReceipt,
  openOperations,
  operationsUnderWatch,
  receiptSha256,
  receiptsOf,
} from '../../../control-plane/store/operations.ts';
import { anyOperator, insertOperator, operatorExists } from '../../../control-plane/store/operators.ts';
import { findPreflight, putPreflight } from '../../../control-plane/store/preflights.ts';
import { insertProject, membershipsOf, putMember } from '../../../control-plane/store/projects.ts';
import { listOperations, listVms, type VmFilter } from '../../../control-plane/store/selection.ts';
import { Store } from '../../../control-plane/store/store.ts';
import {
  busyVms,
  findVm,
  flagVm,
  JOURNAL_HEADS_KEPT,
  nameIsUsed,
  quarantineVm,
  releaseVm,
  rememberJournalHead,
  setLabels,
  updateVm,
  type Vm,
  vmByKey,
  vmsMeant,
} from '../../../control-plane/store/vms.ts';
import { approvedOf, draftOf, OP, receiptOf, shaOf, T0 } from '../core/samples.ts';
import { type Databases, engines } from './engines.ts';
import { nthVm, vmOf, withVm } from './samples.ts';

const token: JoinToken = {
  id: 'tok_1',
  sha256: 'S',
  name: null,
  created_by: 'admin',
  created_at: T0,
  expires_at: T0 + 1,
  revoked_at: null,
  used_at: null,
  vm: null,
  project: 'default',
  uses_max: 2,
  uses: 0,
  instance_sha256: null,
};

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

  test('a machine is found by id, name and key as it was stored', async () => {
    const facts = { hostname: 'ü\u0000\ud800', boot: 'b' } as never;
    const labels = { zone: 'a"b\\c' };
    const vm = await withVm(store, vmOf({ labels, facts, lastSeen: T0 + 0.0 }));
    expect(await findVm(store.db, vm.id)).toEqual(vm);
    expect(await findVm(store.db, 'web')).toBeNull();
    expect(await vmByKey(store.db, 'A')).toEqual(vm);
    const meant = async (name: string, ...projects: string[]) =>
      (await vmsMeant(store.db, projects, name)).map(({ id }) => id);
    expect(await meant('web', 'default', 'other')).toEqual([vm.id]);
    expect(await meant(vm.id, 'default')).toEqual([vm.id]);
    expect([await meant('Web', 'default'), await meant('web', 'other'), await meant(vm.id, 'other')]).toEqual([
      [],
      [],
      [],
    ]);
    const isUsed = await nameIsUsed(store.db, 'default');
    expect([isUsed('web'), isUsed('WEB')]).toEqual([true, false]);
  });

  test('a second machine of a name or a key is not stored', async () => {
    await withVm(store, nthVm(1));
    await expect(withVm(store, { ...nthVm(2), name: 'web-1' })).rejects.toThrow();
    await expect(withVm(store, { ...nthVm(2), ikKid: '1' })).rejects.toThrow();
    expect(await listVms(store.db, { projects: ['default'], limit: 10 })).toHaveLength(1);
    await withVm(store, { ...nthVm(2), name: 'WEB-1' });
  });

  test('machines are listed in the order of their ids, capitals first, page by page', async () => {
    for (const n of [3, 1, 2]) await withVm(store, nthVm(n));
    await withVm(store, { ...nthVm(4), id: 'VM_4' });
    const page = await listVms(store.db, { projects: ['default'], limit: 2 });
    expect(page.map(({ id }) => id)).toEqual(['VM_4', 'vm_1']);
    const next = await listVms(store.db, { projects: ['default'], after: 'vm_1', limit: 9 });
    expect(next.map(({ id }) => id)).toEqual(['vm_2', 'vm_3']);
    expect(await listVms(store.db, { projects: ['default'], name: 'web-3', limit: 9 })).toHaveLength(1);
    expect(await listVms(store.db, { projects: ['other'], limit: 9 })).toEqual([]);
  });

  test('machines are chosen by project, version, time, text, state and labels, and by all of them at once', async () => {
    const at = (n: number, change: Partial<Vm>) => withVm(store, { ...nthVm(n), ...change });
    await at(1, { labels: { env: 'prod', tier: 'web' }, agentVersion: '0.1.0', lastSeen: T0 });
    await at(2, { labels: { env: 'prod' }, agentVersion: '0.2.0', lastSeen: T0 + 5, project: 'other' });
    await at(3, { labels: { env: 'test' }, name: 'DB_100%', quarantine: { code: 'X', since: T0 } });
    const chosen = async (filter: Partial<VmFilter>) =>
      (await listVms(store.db, { projects: ['default', 'other'], ...filter, limit: 9 }))
        .map(({ id }) => id.at(-1))
        .join('');
    expect(await chosen({ labels: [['env', 'prod']] })).toBe('12');
    expect(await chosen({ labels: [['env', null], ['tier', 'web']] })).toBe('1'); // biome-ignore format: one line
    expect(await chosen({ projects: ['other'] })).toBe('2');
    expect(await chosen({ version: '0.1.0' })).toBe('1');
    expect([await chosen({ seenBefore: T0 + 5 }), await chosen({ seenAfter: T0 + 5 })]).toEqual(['13', '2']);
    expect([await chosen({ text: 'db_1' }), await chosen({ text: 'WEB' })]).toEqual(['3', '12']);
    expect([await chosen({ text: '%' }), await chosen({ text: 'b_1' }), await chosen({ text: '_' })]).toEqual([
      '3',
      '3',
      '123',
    ]);
    expect([await chosen({ text: '0\\' }), await chosen({ text: 'agt_2' })]).toEqual(['', '2']);
    expect([await chosen({ state: 'held' }), await chosen({ state: 'offline' })]).toEqual(['3', '123']);
    await store.write(async (trx) => {
      await beat(trx, 'here');
      await connect(trx, { vm: 'vm_2', gateway: 'here', session: 's' }, T0, null);
      await insertOperation(trx, approvedOf({ vm: 'vm_1', agent: 'agt_1' }));
    });
    expect([await chosen({ state: 'online' }), await chosen({ state: 'offline' })]).toEqual(['2', '13']);
    expect(await chosen({ state: 'busy' })).toBe('1');
    expect(await chosen({ state: 'online', labels: [['env', 'prod']], projects: ['other'] })).toBe('2');
    expect(await chosen({ state: 'busy', labels: [['env', 'test']] })).toBe('');
  });

  test('labels are replaced as a whole, and a machine is found by the new ones alone', async () => {
    const { id } = await withVm(store, vmOf({ labels: { env: 'prod' } }));
    await store.write((trx) => setLabels(trx, id, { env: 'test', tier: 'db' }, { operator: 'ada', at: T0 }));
    expect((await findVm(store.db, id))?.labels).toEqual({ env: 'test', tier: 'db' });
    const chosen = (value: string) => listVms(store.db, { projects: ['default'], labels: [['env', value]], limit: 9 });
    expect([await chosen('prod'), await chosen('test')]).toMatchObject([[], [{ id }]]);
    const told = (await eventsAfter(store.db, { vm: id }, 0)).at(-1);
    expect(told).toMatchObject({ type: 'vm.labels', data: { operator: 'ada' } });
  });

  test('flags, quarantine and journal heads of a machine, until it is released', async () => {
    const vm = await withVm(store);
    await store.write(async (trx) => {
      await updateVm(trx, vm.id, { ctr: 7, boot: 'b', last_seen: T0 });
      await flagVm(trx, vm.id, 'CHANNEL_MISMATCH', T0);
      await quarantineVm(trx, vm.id, 'CLONE_SUSPECTED', T0);
      await quarantineVm(trx, vm.id, 'STATE_ROLLED_BACK', T0 + 1);
      expect(await rememberJournalHead(trx, vm, 'one', T0)).toBe(false);
      expect(await rememberJournalHead(trx, vm, 'one', T0)).toBe(true);
    });
    const held = await findVm(store.db, vm.id);
    expect(held).toMatchObject({ ctr: 7, lastSeen: T0, quarantine: { code: 'CLONE_SUSPECTED', since: T0 } });
    expect(held?.flags).toEqual(['CHANNEL_MISMATCH', 'CLONE_SUSPECTED', 'STATE_ROLLED_BACK']);
    await store.write((trx) => releaseVm(trx, vm.id, 'admin', T0));
    expect(await findVm(store.db, vm.id)).toEqual({ ...vm, boot: 'b', lastSeen: T0 });
    expect(await store.write((trx) => rememberJournalHead(trx, vm, 'one', T0))).toBe(false);
  });

  test('of the journal heads of a machine the newest are kept', async () => {
    const vm = await withVm(store);
    const seen = (n: number) => store.write((trx) => rememberJournalHead(trx, vm, `head-${n}`, T0 + n));
    for (let n = 0; n < JOURNAL_HEADS_KEPT + 3; n += 1) expect(await seen(n)).toBe(false);
    expect(await store.db.selectFrom('journal_heads').selectAll().execute()).toHaveLength(JOURNAL_HEADS_KEPT);
    expect(await seen(3)).toBe(true);
    expect(await seen(2)).toBe(false);
  });

  test('an operation lives from its draft to its end, with its events', async () => {
    await withVm(store);
    const draft = newOperation(draftOf(), T0);
    await store.write((trx) => insertOperation(trx, draft));
    expect(await findOperation(store.db, OP)).toEqual(draft);
    expect(await openOperations(store.db, draft.vm)).toEqual([draft]);
    expect([...(await busyVms(store.db, [draft.vm]))]).toEqual([]);
    const approved = approvedOf();
    await store.write((trx) => trx.deleteFrom('operations').execute());
    await store.write((trx) => insertOperation(trx, approved));
    expect([...(await busyVms(store.db, [draft.vm]))]).toEqual([[draft.vm, OP]]);
    await store.write((trx) => change(trx, approved, { t: 'end', state: 'EXPIRED', code: 'EXPIRED' }, T0 + 1));
    expect(await openOperations(store.db, draft.vm)).toEqual([]);
    expect(await operationsUnderWatch(store.db)).toEqual([]);
    const events = await eventsAfter(store.db, { op: OP }, 0);
    expect(events.map(({ type }) => type)).toEqual(['operation.created', 'operation.created', 'operation.state']);
    expect(events.at(-1)).toMatchObject({ at: T0 + 1, vm: draft.vm, op: OP, data: { state: 'EXPIRED' } });
  });

  test('operations are listed newest first, of a machine, in a state, and before another', async () => {
    await withVm(store);
    for (const n of [1, 2, 3]) await store.write((trx) => insertOperation(trx, draftOf({ op: `op_${n}` })));
    const listed = async (filter: object) =>
      (await listOperations(store.db, { projects: ['default', 'other'], limit: 2, ...filter })).map(
        ({ operation: { op } }) => op,
      );
    expect(await listed({})).toEqual(['op_3', 'op_2']);
    const [, second] = await listOperations(store.db, { projects: ['default'], limit: 2 });
    expect(await listed({ after: second?.seq })).toEqual(['op_1']);
    expect(await listed({ vm: 'vm_9' })).toEqual([]);
    expect(await listed({ state: 'QUEUED', vm: draftOf().vm })).toEqual(['op_3', 'op_2']);
    const { id } = await withVm(store, { ...nthVm(7), labels: { env: 'prod' }, name: 'mail' });
    const other = { op: 'op_4', vm: id, agent: 'agt_7', project: 'other', operator: 'eve' };
    await store.write((trx) => insertOperation(trx, { ...draftOf(other), createdAt: T0 + 9 }));
    for (const filter of [
      { projects: ['other'] },
      { operator: 'eve' },
      { labels: [['env', 'prod']] },
      { createdAfter: T0 + 9 },
      { text: 'MAI' },
      { text: 'p_4' },
    ]) {
      expect(await listed(filter), JSON.stringify(filter)).toEqual(['op_4']);
    }
    expect(await listed({ createdBefore: T0 + 9 })).toEqual(['op_3', 'op_2']);
    expect(await listed({ operator: 'eve', projects: ['default'] })).toEqual([]);
  });

  test('receipts are read in their order, and none replaces another', async () => {
    await withVm(store);
    await store.write((trx) => insertOperation(trx, approvedOf()));
    const put = (n: number) =>
      store.write((trx) => insertReceipt(trx, receiptOf(n, 'ACCEPTED'), `t${n}`, shaOf(n), T0 + n));
    await put(2);
    await put(1);
    await expect(put(1)).rejects.toThrow();
    expect((await receiptsOf(store.db, OP)).map(({ n, at }) => [n, at])).toEqual([
      [1, T0 + 1],
      [2, T0 + 2],
    ]);
    expect(await receiptSha256(store.db, OP, 2)).toBe(shaOf(2));
    expect(await receiptSha256(store.db, OP, 3)).toBeNull();
  });

  test('events are read in pages after a number, of one machine, and the newest of a type', async () => {
    await store.write(async (trx) => {
      for (let n = 0; n < 250; n += 1) {
        await appendEvent(trx, { at: T0, vm: n === 7 ? 'vm_7' : null, op: null, type: 'x', data: { n } });
      }
    });
    const first = await eventsAfter(store.db, {}, 0);
    expect(first).toHaveLength(200);
    expect(await eventsAfter(store.db, {}, first.at(-1)?.id ?? 0)).toHaveLength(50);
    expect((await eventsAfter(store.db, { vm: 'vm_7' }, 0)).map(({ data }) => data['n'])).toEqual([7]);
    expect((await newestOfType(store.db, 'x'))?.data).toEqual({ n: 249 });
    expect((await newestOfType(store.db, 'x'))?.id).toBe(await lastEventId(store.db));
    expect(await newestOfType(store.db, 'y')).toBeNull();
  });

  test('a join token is used, and revoked', async () => {
    await store.write((trx) => insertJoinToken(trx, token));
    expect(await joinTokenBySha256(store.db, 'S')).toEqual(token);
    await store.write((trx) => takeUse(trx, token, 'vm_1', T0));
    const used = await findJoinToken(store.db, token.id);
    expect(used).toEqual({ ...token, uses: 1, used_at: T0, vm: 'vm_1' });
    await store.write((trx) => markRevoked(trx, token.id, T0));
    await store.write((trx) => insertJoinToken(trx, { ...token, id: 'tok_2', sha256: 'T' }));
    const page = await listJoinTokens(store.db, { projects: ['default'], after: [T0, 'tok_2'], limit: 9 });
    expect(page.map(({ id }) => id)).toEqual(['tok_1']);
    const [, revoked] = await listJoinTokens(store.db, { projects: ['default'], limit: 9 });
    expect(revoked && stateOf(revoked, T0)).toBe('revoked');
  });

  test('an event belongs to the project of its machine, else to the one it names, else to the first', async () => {
    const vm = await withVm(store, vmOf({ project: 'other' }));
    const event = { at: T0, vm: null, op: null, type: 'x', data: {} };
    await store.write(async (trx) => {
      await appendEvent(trx, { ...event, vm: vm.id, project: 'third' });
      await appendEvent(trx, { ...event, project: 'third' });
      await appendEvent(trx, event);
    });
    const of = async (...projects: string[]) => (await eventsAfter(store.db, { projects }, 0)).map(({ id }) => id);
    expect(await of('other', 'third', 'default')).toEqual([1, 2, 3, 4]);
    expect([await of('other'), await of('third'), await of('default')]).toEqual([[1, 2], [3], [4]]);
  });

  test('a nonce is new once, until it is forgotten', async () => {
    const remember = (nonce: string) => store.write((trx) => rememberNonce(trx, nonce, T0));
    expect([await remember('a'), await remember('b'), await remember('a')]).toEqual([true, true, false]);
    await store.write((trx) => forgetNoncesBefore(trx, T0));
    expect(await remember('a')).toBe(false);
    await store.write((trx) => forgetNoncesBefore(trx, T0 + 1));
    expect(await remember('a')).toBe(true);
  });

  test('operators and their keys', async () => {
    expect(await anyOperator(store.db)).toBe(false);
    const admin = { operator: 'admin', project: 'default', role: 'admin' } as const;
    await store.write((trx) => insertOperator(trx, admin, 'K', T0));
    expect([await anyOperator(store.db), await operatorExists(store.db, 'admin')]).toEqual([true, true]);
    expect(await operatorExists(store.db, 'Admin')).toBe(false);
    expect(await livingApiKey(store.db, 'K', T0)).toMatchObject({
      operator: 'admin',
      scopes: [...rights],
      expiresAt: null,
    });
    expect(await livingApiKey(store.db, 'L', T0)).toBeNull();
    const bounded = { name: 'ci', scopes: ['operate', 'read'], project: 'other', expiresAt: T0 + 5 } as const;
    await store.write((trx) => insertApiKey(trx, 'M', { operator: 'admin', createdAt: T0 + 1, ...bounded }));
    expect(await livingApiKey(store.db, 'M', T0 + 4)).toMatchObject({ ...bounded, scopes: ['read', 'operate'] });
    expect(await livingApiKey(store.db, 'M', T0 + 5)).toBeNull();
    expect((await listApiKeys(store.db, 'admin', 9)).map(({ id }) => id)).toEqual(['key_M', 'key_K']);
    await store.write((trx) => revokeApiKey(trx, 'key_K', T0 + 2));
    await store.write((trx) => revokeApiKey(trx, 'key_K', T0 + 3));
    expect([await livingApiKey(store.db, 'K', T0), (await findApiKey(store.db, 'key_K'))?.revokedAt]).toEqual([
      null,
      T0 + 2,
    ]);
  });

  test('an operator has one role in a project, the last that was given', async () => {
    const admin = { operator: 'admin', project: 'default', role: 'admin' } as const;
    await store.write(async (trx) => {
      await insertOperator(trx, admin, 'K', T0);
      await insertProject(trx, 'other', T0);
      await putMember(trx, { ...admin, project: 'other' }, T0);
      await putMember(trx, { ...admin, role: 'viewer' }, T0);
    });
    expect([...(await membershipsOf(store.db, 'admin'))]).toEqual([
      ['default', 'viewer'],
      ['other', 'admin'],
    ]);
    expect((await membershipsOf(store.db, 'Admin')).size).toBe(0);
    const nowhere = store.write((trx) => putMember(trx, { ...admin, project: 'nowhere' }, T0));
    await expect(nowhere).rejects.toThrow();
  });

  test('the newest preflight replaces the one before', async () => {
    const { id } = await withVm(store);
    expect(await findPreflight(store.db, id)).toBeNull();
    for (const at of [T0, T0 + 1]) {
      await store.write((trx) => putPreflight(trx, id, { at, operator: 'admin', token: null, code: 'BUSY' }));
    }
    expect(await findPreflight(store.db, id)).toEqual({ at: T0 + 1, operator: 'admin', token: null, code: 'BUSY' });
  });
});
