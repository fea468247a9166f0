// Lists over HTTP: pages that no place is missed in, filters, labels, and tags for what a client has already.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { VmView } from '../../../control-plane/api/schemas.ts';
import type { ScriptedAgent } from '../scripted-agent.ts';
import { World } from '../world.ts';

let world: World;
let web: ScriptedAgent;
const ops: string[] = [];
beforeAll(async () => {
  world = await World.start();
  web = await world.machine('web');
  await world.enrolled('db');
  await world.enrolled('mail');
  for (let n = 0; n < 3; n += 1) ops.push((await world.draft(web)).op);
  await world.ask('POST', `/v1/operations/${ops[0]}/cancel`);
});
afterAll(() => world.stop());

type Item = Readonly<Record<string, unknown>>;
const get = async (path: string, headers: Record<string, string> = {}) => world.ask('GET', path, undefined, headers);
const items = async (path: string) => (await get(path)).body['items'] as Item[];
const names = async (query: string) => (await items(`/v1/vms?${query}`)).map(({ name }) => name).toSorted();
const opsOf = async (query: string) => (await items(`/v1/operations?${query}`)).map(({ op }) => op);
const patch = (labels: object, headers: Record<string, string> = {}) =>
  world.ask('PATCH', '/v1/vms/db', { labels }, headers);

describe('pages', () => {
  test.each(['/v1/vms', '/v1/operations', '/v1/join-tokens'])(
    'of %s hold everything once, in one order',
    async (path) => {
      const whole = await items(path);
      expect(whole.length).toBe(3);
      const read: Item[] = [];
      let cursor: unknown = null;
      do {
        const { body } = await get(`${path}?limit=1${cursor === null ? '' : `&cursor=${cursor}`}`);
        expect(body['items']).toHaveLength(1);
        read.push(...(body['items'] as Item[]));
        cursor = body['next'];
      } while (cursor !== null);
      const withoutTime = (list: Item[]) => list.map(({ state_ms: _, ...rest }) => rest);
      expect(withoutTime(read)).toEqual(withoutTime(whole));
    },
  );

  test('of one list are none of another, and a place that nobody gave is refused', async () => {
    const { next } = (await get('/v1/vms?limit=1')).body;
    for (const path of [
      `/v1/operations?cursor=${next}`,
      '/v1/vms?cursor=AAAA',
      `/v1/vms?cursor=${Buffer.from('["vms",7]').toString('base64url')}`,
      '/v1/vms?limit=0',
      '/v1/vms?limit=501',
      '/v1/vms?after=x',
    ]) {
      const { status, body } = await get(path);
      expect([status, body['code']], path).toEqual([400, 'REQUEST_INVALID']);
    }
  });
});

describe('filters', () => {
  test('choose operations by machine, state, operator and text', async () => {
    expect(await opsOf('vm=web&limit=2')).toEqual([ops[2], ops[1]]);
    expect(await opsOf('state=CANCELLED')).toEqual([ops[0]]);
    expect([await opsOf('operator=admin&text=we'), await opsOf('operator=eve')]).toEqual([ops.toReversed(), []]);
    expect(await opsOf('created_after=2999-01-01T00:00:00Z')).toEqual([]);
    for (const query of ['state=BROKEN', 'order=up', 'label==', 'created_after=today']) {
      expect((await get(`/v1/operations?${query}`)).body['code'], query).toBe('REQUEST_INVALID');
    }
  });

  test('choose machines by state, project, text and time, and a page is as long as it was asked to be', async () => {
    expect([await names('state=online'), await names('state=offline&limit=2')]).toEqual([['web'], ['db', 'mail']]);
    expect(await names('project=default')).toEqual(['db', 'mail', 'web']);
    expect(await get('/v1/vms?project=other')).toMatchObject({ status: 404, body: { code: 'NOT_FOUND' } });
    expect([await names('text=AI'), await names('name=db')]).toEqual([['mail'], ['db']]);
    expect(await names('seen_after=2000-01-01T00:00:00Z')).toEqual(['web']);
    expect((await get('/v1/vms/db')).body).toMatchObject({ name: 'db', online: false, busy: null });
  });

  test('choose machines and their operations by labels, which are set and taken away one by one', async () => {
    await world.ask('PATCH', '/v1/vms/web', { labels: { env: 'prod', tier: 'web' } });
    await patch({ env: 'prod' });
    expect([await names('label=env%3Dprod'), await names('label=env,tier%3Dweb')]).toEqual([['db', 'web'], ['web']]);
    expect(await opsOf('label=tier')).toEqual(ops.toReversed());
    expect((await patch({ env: null, zone: 'a' })).body).toMatchObject({ labels: { zone: 'a' } });
    expect([await names('label=env'), await opsOf('label=zone')]).toEqual([['web'], []]);
  });

  test('take no label that could not be asked for again, and no more than there is room for', async () => {
    const many = Object.fromEntries(Array.from({ length: 32 }, (_, n) => [`l${n}`, '']));
    for (const labels of [{ 'a b': '' }, { '': '' }, { a: 'b c' }, { a: 'x'.repeat(64) }, { a: 1 }, many]) {
      const { status, body } = await patch(labels);
      expect([status, body['code']], JSON.stringify(labels)).toEqual([400, 'REQUEST_INVALID']);
    }
    expect((await get('/v1/vms/db')).body['labels']).toEqual({ zone: 'a' });
  });
});

describe('a tag', () => {
  const tagOf = (answer: { headers: Headers }) => String(answer.headers.get('etag'));

  test.each(['/v1/vms/web', '/v1/vms', '/v1/operations', '/v1/join-tokens', '/v1/whoami'])(
    'of %s spares the answer as long as nothing happened',
    async (path) => {
      const first = await get(path);
      expect(tagOf(first)).toMatch(/^W\/"[A-Za-z0-9_-]{22}"$/);
      world.now += 1_000;
      const response = await fetch(world.origin + path, {
        headers: { authorization: `Bearer ${world.apiKey}`, 'if-none-match': `"x", ${tagOf(first)}` },
      });
      expect([response.status, await response.text()]).toEqual([304, '']);
      expect(response.headers.get('etag')).toBe(tagOf(first));
      expect((await get(path, { 'if-none-match': '"x"' })).body).toEqual(
        path === '/v1/operations' ? expect.anything() : first.body,
      );
    },
  );

  test('is another one when something happened', async () => {
    const [before, list] = [tagOf(await get('/v1/vms/db')), tagOf(await get('/v1/vms'))];
    await patch({ changed: 'yes' });
    expect(tagOf(await get('/v1/vms/db'))).not.toBe(before);
    expect(tagOf(await get('/v1/vms'))).not.toBe(list);
    expect((await get('/v1/vms/db', { 'if-none-match': before })).status).toBe(200);
  });

  test('that is of another time changes nothing', async () => {
    const tag = tagOf(await get('/v1/vms/db'));
    expect((await patch({ first: 'x' }, { 'if-match': tag })).status).toBe(200);
    const { status, body } = await patch({ second: 'x' }, { 'if-match': tag });
    expect([status, body['code']]).toEqual([412, 'PRECONDITION_FAILED']);
    const { labels } = (await get('/v1/vms/db')).body as VmView;
    expect(Object.keys(labels)).toEqual(expect.not.arrayContaining(['second']));
    expect((await patch({ first: null }, { 'if-match': '*' })).status).toBe(200);
  });

  test('of two changes that mean the same state one alone is made', async () => {
    const tag = tagOf(await get('/v1/vms/db'));
    const [one, other] = await Promise.all(['a', 'b'].map((value) => patch({ race: value }, { 'if-match': tag })));
    expect([one?.status, other?.status].toSorted()).toEqual([200, 412]);
  });
});
