// A request that makes something, sent again with its key: the thing is there once, and what was answered is answered again, or
// it is said why not. And how many requests are left.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { forgetAnswersBefore } from '../../../control-plane/store/kept-answers.ts';
import { World } from '../world.ts';

let world: World;
beforeAll(async () => {
  world = await World.start();
  await world.machine('web');
});
afterAll(() => world.stop());

const reset = { vm: 'web', account: { mode: 'generated' } };
const post = (path: string, body: unknown, key: string, headers: Record<string, string> = {}) =>
  world.ask('POST', path, body, { 'idempotency-key': key, ...headers });
const count = async (path: string) => ((await world.ask('GET', path)).body['items'] as unknown[]).length;

describe('a request with an idempotency key', () => {
  test('sent again is answered the same, and has made one thing', async () => {
    const first = await post('/v1/operations', reset, 'draft-1');
    await world.ask('POST', `/v1/operations/${first.body['op']}/cancel`);
    world.now += 1_000;
    expect(await post('/v1/operations', reset, 'draft-1')).toMatchObject({ status: 201, body: first.body });
    expect(await count('/v1/operations')).toBe(1);
  });

  test('of what it asks for, to the last member: anything else is 422 and makes nothing', async () => {
    const before = await count('/v1/operations');
    for (const [path, body] of [
      ['/v1/operations', { ...reset, reboot: { grace_s: 1 } }],
      ['/v1/join-tokens', {}],
    ] as const) {
      const { status, body: problem } = await post(path, body, 'draft-1');
      expect([status, problem['code']]).toEqual([422, 'IDEMPOTENCY_KEY_REUSED']);
    }
    expect([await count('/v1/operations'), await count('/v1/join-tokens')]).toEqual([before, 1]);
  });

  test('is one operator’s own', async () => {
    const { headers } = await world.operator('eve');
    const [mine, theirs] = [
      await post('/v1/operations', reset, 'same'),
      await post('/v1/operations', reset, 'same', headers),
    ];
    expect(theirs.status).toBe(201);
    expect(theirs.body['op']).not.toBe(mine.body['op']);
  });

  test('sent while the first is being answered makes one thing, and the others may ask again', async () => {
    const before = await count('/v1/operations');
    const all = await Promise.all(Array.from({ length: 5 }, () => post('/v1/operations', reset, 'at-once')));
    const made = all.filter(({ status }) => status === 201);
    expect(all.filter(({ body }) => body['code'] === 'IDEMPOTENCY_RUNNING')).toHaveLength(5 - made.length);
    expect(made.length).toBeGreaterThan(0);
    expect(new Set(made.map(({ body }) => body['op'])).size).toBe(1);
    expect(await post('/v1/operations', reset, 'at-once')).toMatchObject({ status: 201, body: made[0]?.body });
    expect(await count('/v1/operations')).toBe(before + 1);
  });

  test('that was refused made nothing, and may be sent again', async () => {
    expect((await post('/v1/operators', { name: 'admin' }, 'op-1')).body['code']).toBe('ALREADY_EXISTS');
    expect((await post('/v1/operators', { name: 'ada' }, 'op-1')).status).toBe(201);
  });

  test.each([
    ['/v1/join-tokens', { name: 'once' }, 'token'],
    ['/v1/operators', { name: 'grace' }, 'api_key'],
  ])(
    'whose answer from %s shows a secret is told what was made, and the secret is kept nowhere',
    async (path, body, secret) => {
      const first = await post(path, body, path);
      const again = await post(path, body, path);
      expect([again.status, again.body['code']]).toEqual([409, 'SHOWN_ONCE']);
      expect(again.body['detail']).toBe(`made=${first.body['id'] ?? first.body['name']}`);
      const kept = JSON.stringify(await world.store.db.selectFrom('kept_answers').selectAll().execute());
      expect(kept).not.toContain(first.body[secret]);
      expect(kept).not.toContain(path);
    },
  );

  test('that is no key is refused', async () => {
    for (const key of ['', 'two words', 'x'.repeat(256)]) {
      const { status, body } = await post('/v1/operations', reset, key);
      expect([status, body['code']], key).toEqual([400, 'REQUEST_INVALID']);
    }
  });

  test('is forgotten in time', async () => {
    const first = await post('/v1/operations', reset, 'old');
    await world.store.write((trx) => forgetAnswersBefore(trx, world.now));
    expect((await post('/v1/operations', reset, 'old')).body['op']).toBe(first.body['op']);
    await world.store.write((trx) => forgetAnswersBefore(trx, world.now + 1));
    expect((await post('/v1/operations', reset, 'old')).body['op']).not.toBe(first.body['op']);
  });
});

test('every answer says how many requests are left, and the one too many when to come again', async () => {
  const small = await World.start({ requestsPerMinuteMax: 4 });
  try {
    const left = async () => {
      const { status, headers } = await fetch(`${small.origin}/healthz`);
      return [status, headers.get('ratelimit-limit'), headers.get('ratelimit-remaining')];
    };
    expect([await left(), await left()]).toEqual([
      [200, '4', '3'],
      [200, '4', '2'],
    ]);
    await left();
    await left();
    const { status, body, headers } = await small.ask('GET', '/v1/vms');
    expect([status, body['code'], headers.get('ratelimit-remaining')]).toEqual([429, 'RATE_LIMITED', '0']);
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    expect(Number(headers.get('ratelimit-reset'))).toBeGreaterThan(0);
  } finally {
    await small.stop();
  }
});
