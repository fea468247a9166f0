// Webhooks through the API: registered with a secret that is shown once, listed without it, tried, looked at, and sent again.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WEBHOOKS_MAX } from '../../../control-plane/api/routes-webhooks.ts';
import type { DeliveryView, WebhookView } from '../../../control-plane/api/schemas-webhooks.ts';
import { insertProject, putMember } from '../../../control-plane/store/projects.ts';
import { startCourier } from '../../../control-plane/webhooks/courier.ts';
import { newSecret } from '../../../control-plane/webhooks/signature.ts';
import { answer, Receiver } from '../webhooks/receiver.ts';
import { World } from '../world.ts';

let world: World;
let there: Receiver;
let stopCourier: () => Promise<void>;
beforeAll(async () => {
  world = await World.start();
  there = await Receiver.start();
  const { store } = world;
  const to = { allowed: [['127.0.0.0', 8]] as const, ca: null, timeoutMs: 5_000 };
  const pace = { attemptsMax: 2, firstMs: 10, factor: 1, longestMs: 10 };
  const randomBytes = (count: number) => crypto.getRandomValues(new Uint8Array(count));
  stopCourier = startCourier({ store, to, randomBytes, nowMs: Date.now, log: world.log, pace });
});
afterAll(async () => {
  await stopCourier();
  await there.stop();
  await world.stop();
});

const register = async (body: object = {}) => {
  const { status, body: made } = await world.ask('POST', '/v1/webhooks', { url: there.url, ...body });
  expect(status).toBe(201);
  return made as WebhookView & { secret: string };
};
const deliveries = async (id: string, query = '') =>
  (await world.ask('GET', `/v1/webhooks/${id}/deliveries${query}`)).body as {
    items: DeliveryView[];
    next: string | null;
  };
const reach = (id: string, delivery: string, state: string) =>
  world.eventually(async () => {
    const found = (await deliveries(id)).items.find((one) => one.id === delivery);
    return found?.state === state ? found : null;
  }, `${delivery} to be ${state}`);

describe('a webhook', () => {
  test('gets a message that its secret signs, and the secret is not shown again', async () => {
    const { secret, id, ...made } = await register({ events: ['operation.*', 'vm.online'] });
    expect(made).toMatchObject({ project: 'default', created_by: 'admin', pending: 0, dead: 0 });
    const { status, body } = await world.ask('POST', `/v1/webhooks/${id}/test`, {});
    expect(status).toBe(202);
    await reach(id, String(body['id']), 'delivered');
    const last = there.read(secret).at(-1);
    expect(last).toMatchObject({ type: 'webhook.test', data: { detail: { operator: 'admin' } } });
    for (const path of ['/v1/webhooks', `/v1/webhooks/${id}`, `/v1/webhooks/${id}/deliveries`]) {
      expect(JSON.stringify((await world.ask('GET', path)).body), path).not.toContain(secret);
    }
    expect(world.logged.join('')).not.toContain(secret);
    expect(JSON.stringify(await world.events())).not.toContain(secret);
  });

  test('hears of a machine what was asked for, with what the history says', async () => {
    const { secret, id } = await register({ url: `${there.url}/machine`, events: ['vm.enrolled', 'vm.online'] });
    const { id: vm } = await world.vmOf(await world.machine());
    await world.eventually(async () => ((await deliveries(id)).items.length === 2 ? true : null), 'two messages');
    for (const { id: delivery } of (await deliveries(id)).items) await reach(id, delivery, 'delivered');
    const told = there.read(secret, '/hook/machine');
    expect(told.map(({ type }) => type).toSorted()).toEqual(['vm.enrolled', 'vm.online']);
    expect(told.map(({ data }) => data['vm'])).toEqual([vm, vm]);
  });

  test('that does not take a message has it among the dead, from where it is sent again', async () => {
    const { id } = await register({ events: ['vm.flag'] });
    there.always = answer(500);
    const { body } = await world.ask('POST', `/v1/webhooks/${id}/test`, {});
    const delivery = String(body['id']);
    expect(await reach(id, delivery, 'dead')).toMatchObject({ attempts: 2, status: 500, error: 'STATUS' });
    there.always = undefined;
    expect((await deliveries(id, '?state=dead')).items.map((one) => one.id)).toEqual([delivery]);
    expect((await deliveries(id, '?state=delivered')).items).toEqual([]);
    expect((await world.ask('GET', `/v1/webhooks/${id}`)).body).toMatchObject({ dead: 1 });
    const path = `/v1/webhooks/${id}/deliveries/${delivery}/redeliver`;
    expect((await world.ask('POST', path, {})).status).toBe(202);
    await reach(id, delivery, 'delivered');
    expect(there.received.at(-1)?.id).toBe(delivery);
  });

  test('is gone with its messages when it is removed, and is told nothing more', async () => {
    const { id } = await register();
    await world.ask('POST', `/v1/webhooks/${id}/test`, {});
    expect((await world.ask('DELETE', `/v1/webhooks/${id}`)).body).toMatchObject({ id });
    for (const [method, path] of [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/test'],
      ['GET', '/deliveries'],
    ] as const) {
      const { body } = await world.ask(method, `/v1/webhooks/${id}${path}`, method === 'POST' ? {} : undefined);
      expect(body['code'], `${method} ${path}`).toBe('NOT_FOUND');
    }
    const notes = (await world.events()).filter(({ data }) => data['webhook'] === id);
    expect(notes.map(({ type }) => type)).toEqual(['webhook.created', 'webhook.removed']);
  });
});

describe('what is refused, and registers nothing', () => {
  test.each([
    ['an address inside', { url: 'https://169.254.169.254/' }, 'REQUEST_INVALID', 'address'],
    ['no TLS', { url: 'http://hooks.example/' }, 'REQUEST_INVALID', 'https'],
    ['a password in the URL', { url: 'https://me:pass-word-1@hooks.example/' }, 'REQUEST_INVALID', 'credentials'],
    ['a type that never happens', { events: ['operation.sate'] }, 'REQUEST_INVALID', 'events'],
    ['no type at all', { events: [] }, 'REQUEST_INVALID', 'events'],
    ['something more', { secret: newSecret(() => new Uint8Array(32)) }, 'REQUEST_INVALID', ''],
  ])('%s', async (_, body, code, detail) => {
    const before = (await world.ask('GET', '/v1/webhooks')).body;
    const answered = await world.ask('POST', '/v1/webhooks', { url: 'https://hooks.example/', ...body });
    expect(answered.body).toMatchObject({ code });
    expect(String(answered.body['detail'])).toContain(detail);
    expect(JSON.stringify(answered.body)).not.toContain('pass-word-1');
    expect((await world.ask('GET', '/v1/webhooks')).body).toEqual(before);
  });

  test('a message that waits is not sent again', async () => {
    const { id } = await register({ url: 'https://hooks.invalid/' });
    const { body } = await world.ask('POST', `/v1/webhooks/${id}/test`, {});
    const again = await world.ask('POST', `/v1/webhooks/${id}/deliveries/${String(body['id'])}/redeliver`, {});
    expect(again.body['code']).toBe('STATE_CONFLICT');
  });

  test('more than so many', async () => {
    const { items } = (await world.ask('GET', '/v1/webhooks')).body as { items: WebhookView[] };
    for (let n = items.length; n < WEBHOOKS_MAX; n += 1) await register({ events: ['vm.released'] });
    const { body } = await world.ask('POST', '/v1/webhooks', { url: there.url });
    expect(body['code']).toBe('STATE_CONFLICT');
  });
});

test('a webhook is its project’s', async () => {
  await world.store.write(async (trx) => {
    await insertProject(trx, 'other', world.now);
    await putMember(trx, { operator: 'admin', project: 'other', role: 'admin' }, world.now);
  });
  const before = (await world.ask('GET', '/v1/webhooks')).body['items'] as unknown[];
  expect(await register({ project: 'other' })).toMatchObject({ project: 'other' });
  expect((await world.ask('GET', '/v1/webhooks')).body['items']).toHaveLength(before.length + 1);
  expect((await world.ask('GET', '/v1/webhooks?project=other')).body['items']).toHaveLength(1);
});

test('asked for twice with one key, it is there once, and its secret is not shown again', async () => {
  const key = { 'idempotency-key': 'once-and-no-more' };
  const body = { url: there.url, project: 'other' };
  const first = await world.ask('POST', '/v1/webhooks', body, key);
  const again = await world.ask('POST', '/v1/webhooks', body, key);
  expect([first.status, again.body['code']]).toEqual([201, 'SHOWN_ONCE']);
  expect((await world.ask('GET', '/v1/webhooks?project=other')).body['items']).toHaveLength(2);
});
