// Projects with their members, and API keys: what they are good for, until when, and what ends with them.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, World } from '../world.ts';

let world: World;
beforeAll(async () => {
  world = await World.start();
});
afterAll(() => world.stop());

type Key = Readonly<{ id: string; api_key: string; expires_at: string }>;
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });
const as = (key: string, method: string, path: string, body?: unknown) => world.ask(method, path, body, bearer(key));
const made = async (body: object, key = world.apiKey) => (await as(key, 'POST', '/v1/api-keys', body)).body as Key;
const said = ({ status, body }: Answer) => [status, body['code'] ?? null];

describe('an API key', () => {
  test('may do what it was made for, and no more than its operator', async () => {
    const { api_key } = await made({ name: 'ci', scopes: ['read', 'operate'] });
    expect(said(await as(api_key, 'GET', '/v1/vms'))).toEqual([200, null]);
    expect(said(await as(api_key, 'POST', '/v1/join-tokens', {}))).toEqual([403, 'FORBIDDEN']);
    expect(said(await as((await made({})).api_key, 'POST', '/v1/operations', { vm: 'x' }))).toEqual([404, 'NOT_FOUND']);
    const viewer = await world.ask('POST', '/v1/operators', { name: 'vic', role: 'viewer' });
    const more = await made({ scopes: ['read', 'administer'] }, String(viewer.body['api_key']));
    expect(said(await as(more.api_key, 'POST', '/v1/join-tokens', {}))).toEqual([403, 'FORBIDDEN']);
  });

  test('ends at its time, and makes none that is good for more or for longer', async () => {
    const short = await made({ scopes: ['read', 'operate'], ttl_s: 600 });
    expect(said(await as(short.api_key, 'POST', '/v1/api-keys', { scopes: ['audit'] }))).toEqual([403, 'FORBIDDEN']);
    expect(said(await as(short.api_key, 'POST', '/v1/api-keys', { ttl_s: 601 }))).toEqual([403, 'FORBIDDEN']);
    const child = await made({}, short.api_key);
    expect(child.expires_at).toBe(short.expires_at);
    world.now += 599_999;
    expect(said(await as(child.api_key, 'GET', '/v1/vms'))).toEqual([200, null]);
    world.now += 1;
    for (const { api_key } of [short, child]) {
      expect(said(await as(api_key, 'GET', '/v1/vms'))).toEqual([401, 'UNAUTHENTICATED']);
    }
    world.now -= 600_000;
  });

  test('that is revoked is refused from then on, and its streams end', async () => {
    const { id, api_key } = await made({ name: 'leaked' });
    const stream = await fetch(`${world.origin}/v1/events`, { headers: bearer(api_key) });
    const end = (async () => {
      let text = '';
      for await (const chunk of stream.body ?? []) text += new TextDecoder().decode(chunk);
      return text;
    })();
    expect((await world.ask('DELETE', `/v1/api-keys/${id}`)).body).toMatchObject({ id, state: 'revoked' });
    // The revocation itself is the first event that the stream would tell of, and does not any more.
    expect(await end).toBe(': latchkey\n\n');
    expect(said(await as(api_key, 'GET', '/v1/whoami'))).toEqual([401, 'UNAUTHENTICATED']);
    expect(said(await world.ask('DELETE', `/v1/api-keys/${id}`))).toEqual([200, null]);
  });

  test('for one project knows of no other, nor does one that it makes', async () => {
    await world.ask('POST', '/v1/projects', { name: 'lab' });
    const { api_key } = await made({ scopes: ['read', 'administer'], project: 'lab' });
    expect((await as(api_key, 'GET', '/v1/projects')).body).toEqual({ items: [{ project: 'lab', role: 'admin' }] });
    expect(said(await as(api_key, 'GET', '/v1/vms?project=default'))).toEqual([404, 'NOT_FOUND']);
    expect(said(await as(api_key, 'POST', '/v1/api-keys', { project: 'default' }))).toEqual([404, 'NOT_FOUND']);
    const child = await made({}, api_key);
    expect((await as(child.api_key, 'GET', '/v1/whoami')).body['projects']).toEqual([
      { project: 'lab', role: 'admin' },
    ]);
    expect(said(await as(api_key, 'POST', '/v1/projects', { name: 'more' }))).toEqual([404, 'NOT_FOUND']);
  });

  test('is listed for its operator, and for an admin of the installation, and never shown again', async () => {
    const { body } = await world.ask('POST', '/v1/operators', { name: 'olga', role: 'operator' });
    const own = String(body['api_key']);
    const mine = await made({ name: 'mine' }, own);
    const listed = await as(own, 'GET', '/v1/api-keys');
    expect((listed.body['items'] as { operator: string }[]).map(({ operator }) => operator)).toEqual(['olga', 'olga']);
    const all = await world.ask('GET', '/v1/api-keys');
    expect(JSON.stringify(all.body)).toContain(mine.id);
    for (const text of [JSON.stringify(listed.body), JSON.stringify(all.body), world.logged.join('')]) {
      expect(text).not.toContain(mine.api_key);
    }
    const theirs = (all.body['items'] as { id: string; operator: string }[]).find(
      ({ operator }) => operator === 'admin',
    );
    expect(said(await as(own, 'DELETE', `/v1/api-keys/${theirs?.id}`))).toEqual([404, 'NOT_FOUND']);
  });
});

describe('a project', () => {
  test('has members in roles, which change what they may do at once, and never loses its last admin', async () => {
    await world.ask('POST', '/v1/projects', { name: 'shop' });
    const { body } = await world.ask('POST', '/v1/operators', { name: 'pam', project: 'shop', role: 'viewer' });
    const key = String(body['api_key']);
    const members = '/v1/projects/shop/members';
    expect(said(await as(key, 'POST', members, { operator: 'pam', role: 'admin' }))).toEqual([403, 'FORBIDDEN']);
    expect(said(await world.ask('POST', members, { operator: 'nobody', role: 'viewer' }))).toEqual([404, 'NOT_FOUND']);
    expect(said(await world.ask('DELETE', `${members}/admin`))).toEqual([409, 'STATE_CONFLICT']);
    expect(said(await world.ask('POST', members, { operator: 'admin', role: 'viewer' }))).toEqual([
      409,
      'STATE_CONFLICT',
    ]);
    await world.ask('POST', members, { operator: 'pam', role: 'admin' });
    expect(said(await as(key, 'DELETE', `${members}/admin`))).toEqual([200, null]);
    expect(said(await world.ask('GET', members))).toEqual([404, 'NOT_FOUND']);
    expect((await as(key, 'GET', members)).body).toEqual({ items: [{ operator: 'pam', role: 'admin' }] });
    expect(said(await world.ask('POST', '/v1/projects', { name: 'shop' }))).toEqual([409, 'ALREADY_EXISTS']);
  });

  test('has tokens whose machines are its own, and found by name in it alone', async () => {
    await world.ask('POST', '/v1/projects', { name: 'north' });
    const { body } = await world.ask('POST', '/v1/operators', { name: 'ned', project: 'north' });
    const key = String(body['api_key']);
    await world.enrolled('twin');
    // Without a word it is the only project that they have.
    const token = (await as(key, 'POST', '/v1/join-tokens', { name: 'twin' })).body;
    const agent = await world.enrolledWith(String(token['token']));
    expect((await as(key, 'GET', '/v1/vms/twin')).body).toMatchObject({ project: 'north', agent: agent.agent });
    // Whoever is in both has to say which one they mean.
    expect(said(await world.ask('GET', '/v1/vms/twin'))).toEqual([400, 'REQUEST_INVALID']);
    const draft = await as(key, 'POST', '/v1/operations', { vm: 'twin', account: { mode: 'generated' } });
    expect(draft.body).toMatchObject({ project: 'north', vm_name: 'twin' });
    const told = await world.store.db.selectFrom('events').selectAll().where('project', '=', 'north').execute();
    expect(told.map(({ type }) => type)).toEqual(
      expect.arrayContaining(['project.created', 'operator.created', 'vm.enrolled', 'operation.created']),
    );
  });
});
