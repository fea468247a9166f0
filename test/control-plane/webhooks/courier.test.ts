// Webhooks from the history to their receivers, over either engine: each message arrives, is signed, comes again where it was
// not taken, and is given up in the end; nobody waits for somebody else, and no program that dies takes a message with it.

import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Pace } from '../../../control-plane/core/webhook.ts';
import type { Place } from '../../../control-plane/store/engine.ts';
import { appendEvent, lastEventId } from '../../../control-plane/store/events.ts';
import { forgetOld } from '../../../control-plane/store/retention.ts';
import { Store } from '../../../control-plane/store/store.ts';
import {
  claimDeliveries,
  type Delivery,
  insertDeliveries,
  insertWebhook,
  listDeliveries,
  recordAttempt,
  redeliver,
  SPREAD_MAX,
} from '../../../control-plane/store/webhooks.ts';
import { type CourierParts, startCourier } from '../../../control-plane/webhooks/courier.ts';
import { newSecret } from '../../../control-plane/webhooks/signature.ts';
import { newId } from '../../../protocol/schema.ts';
import { type Databases, engines } from '../store/engines.ts';
import { vmOf, withVm } from '../store/samples.ts';
import { answer, Receiver, silence } from './receiver.ts';

const kernel = (count: number) => Uint8Array.from(randomBytes(count));
const QUICK: Pace = { attemptsMax: 4, firstMs: 20, factor: 2, longestMs: 100 };
const UNANSWERED_MS = 15_000;

describe.each(engines)('$name', ({ start }) => {
  let databases: Databases;
  let place: Place;
  let store: Store;
  let undo: (() => unknown)[];
  beforeAll(async () => {
    databases = await start();
  });
  afterAll(() => databases.stop());
  beforeEach(async (context) => {
    undo = [];
    place = await databases.place(context);
    store = await opened();
  });
  afterEach(async () => {
    for (const step of undo.reverse()) await step();
  });

  async function opened(): Promise<Store> {
    const one = await Store.open(place);
    undo.push(() => one.close());
    return one;
  }

  function courier(over: Store = store, change: Partial<CourierParts> = {}): () => Promise<void> {
    const to = { allowed: [['127.0.0.0', 8]] as const, ca: null, timeoutMs: UNANSWERED_MS };
    const around = { randomBytes: kernel, nowMs: () => Date.now(), log: pino({ level: 'silent' }) };
    const stop = startCourier({ store: over, to, ...around, pace: QUICK, ...change });
    undo.push(stop);
    return stop;
  }

  async function receiver(events: readonly string[] = ['*'], project = 'default') {
    const there = await Receiver.start();
    undo.push(() => there.stop());
    const webhook = { id: newId('whk', kernel), secret: newSecret(kernel), url: there.url, events, project };
    const made = { created_by: 'admin', created_at: Date.now() };
    await store.write(async (trx) => insertWebhook(trx, { ...webhook, ...made, cursor: await lastEventId(trx) }));
    return { there, ...webhook };
  }

  async function happen(type: string, data: Record<string, string | number> = {}, vm: string | null = null) {
    await store.write((trx) => appendEvent(trx, { at: Date.now(), vm, op: null, type, data }));
  }

  async function until<T>(probe: () => Promise<T | null | false> | T | null | false, what: string): Promise<T> {
    for (const end = performance.now() + 20_000; performance.now() < end; ) {
      const found = await probe();
      if (found !== null && found !== false) return found;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`waited in vain for ${what}`);
  }

  const deliveries = (webhook: string) => listDeliveries(store.db, webhook, { limit: 500 });
  const settled = (webhook: string, count: number, state: Delivery['state']) =>
    until(async () => {
      const found = await deliveries(webhook);
      return found.length === count && found.every((one) => one.state === state) && found;
    }, `${count} to be ${state}`);

  test('what happens is told, signed, to whoever asked for it, from then on', async () => {
    await happen('vm.flag');
    const { id, there, secret } = await receiver(['vm.*', 'operator.created']);
    courier();
    await happen('operator.created', { operator: 'ada' });
    await happen('join_token.created');
    await happen('vm.online');
    await settled(id, 2, 'delivered');
    const messages = there.read(secret);
    expect(messages.map(({ type }) => type).toSorted()).toEqual(['operator.created', 'vm.online']);
    const told = messages.find(({ type }) => type === 'operator.created');
    expect(told?.data).toEqual({ event: expect.any(Number), vm: null, op: null, detail: { operator: 'ada' } });
    expect(Date.parse(String(told?.timestamp))).not.toBeNaN();
    expect(() => there.read(newSecret(kernel))).toThrow();
  });

  test('a project hears of its own machines alone, and the first of the installation as well', async () => {
    const mine = await withVm(store, vmOf({ project: 'other' }));
    const [here, other] = [await receiver(), await receiver(['*'], 'other')];
    courier();
    await happen('vm.online', {}, mine.id);
    await happen('operator.created');
    await settled(here.id, 1, 'delivered');
    await settled(other.id, 1, 'delivered');
    expect(here.there.read(here.secret).map(({ type }) => type)).toEqual(['operator.created']);
    expect(other.there.read(other.secret)).toMatchObject([{ type: 'vm.online', data: { vm: mine.id } }]);
  });

  test('what was not taken comes again with its id and its words, and a signature of its own time', async () => {
    const { id, there, secret } = await receiver();
    there.answers.push(answer(500), answer(302, { location: 'http://127.0.0.1:1/' }));
    courier();
    await happen('vm.online');
    const [done] = await settled(id, 1, 'delivered');
    expect(done).toMatchObject({ attempts: 3, status: 204, error: null });
    there.read(secret);
    expect(new Set(there.received.map(({ id: message, text }) => `${message} ${text}`)).size).toBe(1);
    expect(there.received.map(({ id: message }) => message)).toEqual(Array(3).fill(done?.id));
  });

  test('what is never taken is dead after its last attempt, and sent again when somebody asks', async () => {
    const { id, there } = await receiver();
    there.always = answer(503);
    courier();
    await happen('vm.online');
    const [dead] = await settled(id, 1, 'dead');
    expect(dead).toMatchObject({ attempts: QUICK.attemptsMax, status: 503, error: 'STATUS' });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(there.received).toHaveLength(QUICK.attemptsMax);
    there.always = undefined;
    await store.write((trx) => redeliver(trx, String(dead?.id)));
    expect(await settled(id, 1, 'delivered')).toMatchObject([{ id: dead?.id, attempts: 1 }]);
  });

  test('a receiver that says nothing holds up itself alone, and has few attempts under way', async () => {
    const [slow, quick] = [await receiver(), await receiver()];
    slow.there.always = silence;
    courier();
    for (let n = 0; n < 20; n += 1) await happen('vm.online', { n });
    await settled(quick.id, 20, 'delivered');
    expect(quick.there.received).toHaveLength(20);
    expect(slow.there.received.length).toBeLessThanOrEqual(8);
  });

  test('more than one look sees is told, each once, however many programs look', async () => {
    const { id, there } = await receiver();
    const rows = Array.from({ length: SPREAD_MAX + 10 }, (_, n) => ({ at: n, data: { n } }));
    await store.write(async (trx) => {
      for (const row of rows) await appendEvent(trx, { ...row, vm: null, op: null, type: 'vm.facts' });
    });
    courier();
    if (store.isShared) courier(await opened());
    await settled(id, rows.length, 'delivered');
    const told = there.received.map(({ text }) => JSON.parse(text).data.detail.n as number);
    expect(told.toSorted((a, b) => a - b)).toEqual(rows.map(({ data }) => data.n));
  });

  test('an end in the middle of an attempt gives the message back, and it is told after the next start', async () => {
    const { id, there } = await receiver();
    there.answers.push(silence);
    const stop = courier();
    await happen('vm.online');
    await until(() => there.received.length === 1, 'the attempt');
    await stop();
    expect(await deliveries(id)).toMatchObject([{ state: 'pending', attempts: 0, lease: null }]);
    courier();
    await settled(id, 1, 'delivered');
    expect(there.received.map(({ id: message }) => message)).toEqual(Array(2).fill(there.received[0]?.id));
  });

  test('a program that dies with a message in hand leaves it to the next, after its lease', async () => {
    const { id: webhook, there } = await receiver();
    const message = { id: newId('msg', kernel), webhook, type: 'webhook.test', body: '{}' };
    await store.write((trx) => insertDeliveries(trx, [message]));
    const claim = { lease: 'of the dead', leaseMs: 700, inHandMax: 4 };
    expect(await store.write((trx) => claimDeliveries(trx, webhook, claim))).toMatchObject([{ id: message.id }]);
    expect(await store.write((trx) => claimDeliveries(trx, webhook, claim))).toEqual([]);
    courier();
    await settled(webhook, 1, 'delivered');
    expect(there.received).toHaveLength(1);
    // Should it live after all, its word comes too late.
    const [taken] = await deliveries(webhook);
    const late = { state: 'dead', delayMs: 0 } as const;
    const failure = { status: null, error: 'TIMEOUT' };
    await store.write((trx) => recordAttempt(trx, taken as Delivery, 'of the dead', failure, late));
    expect(await deliveries(webhook)).toMatchObject([{ state: 'delivered' }]);
  });

  test('messages that are over are forgotten with the events that they tell of', async () => {
    const { id } = await receiver();
    courier();
    await happen('vm.online');
    await settled(id, 1, 'delivered');
    const days = { eventsDays: 1, operationsDays: 1 };
    await forgetOld(store, days, Date.now());
    expect(await deliveries(id)).toHaveLength(1);
    await forgetOld(store, days, Date.now() + 2 * 86_400_000);
    expect(await deliveries(id)).toEqual([]);
  });
});
