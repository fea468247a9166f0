// Receivers of webhooks, and the messages for them. A message is made from an event in the transaction that moves its
// receiver's cursor past that event, so there is one for each, however many programs look; and it is in hand with whoever
// holds its lease, by the database's clock, so a program that dies leaves it to another.

import { type ExpressionBuilder, sql } from 'kysely';
import { type After, type Attempt, wants } from '../core/webhook.ts';
import type { StoredEvent } from './events.ts';
import type { Db, Write } from './store.ts';
import type { DeliveryTable, Tables, WebhookTable } from './tables.ts';

export type Webhook = Readonly<Omit<WebhookTable, 'events_json'> & { events: readonly string[] }>;
export type Delivery = Readonly<Omit<DeliveryTable, 'seq'> & { seq: number }>;
type DeliveryState = Delivery['state'];

const now = sql<number>`clock_ms()`;
const inFuture = (ms: number) => sql<number>`clock_ms() + ${sql.val(ms)}`;
/** Events that are looked at in one commit, for each receiver. */
export const SPREAD_MAX = 200;

const read = ({ events_json, ...row }: WebhookTable): Webhook => ({ ...row, events: JSON.parse(events_json) });

export async function insertWebhook(trx: Write, { events, ...webhook }: Webhook): Promise<void> {
  await trx
    .insertInto('webhooks')
    .values({ ...webhook, events_json: JSON.stringify(events) })
    .execute();
}

export async function findWebhook(db: Db, id: string): Promise<Webhook | null> {
  const row = await db.selectFrom('webhooks').selectAll().where('id', '=', id).executeTakeFirst();
  return row ? read(row) : null;
}

export async function listWebhooks(db: Db, projects: readonly string[]): Promise<Webhook[]> {
  const rows = await db
    .selectFrom('webhooks')
    .selectAll()
    .where('project', 'in', projects)
    .orderBy('created_at')
    .orderBy('id')
    .execute();
  return rows.map(read);
}

/** With its messages. */
export async function removeWebhook(trx: Write, id: string): Promise<void> {
  await trx.deleteFrom('webhooks').where('id', '=', id).execute();
}

/** How many messages of each receiver are in that state. */
export async function countDeliveries(db: Db, webhooks: readonly string[], state: DeliveryState) {
  if (webhooks.length === 0) return new Map<string, number>();
  const rows = await db
    .selectFrom('deliveries')
    .select((eb) => ['webhook', eb.fn.countAll<number>().as('count')])
    .where('webhook', 'in', webhooks)
    .where('state', '=', state)
    .groupBy('webhook')
    .execute();
  return new Map(rows.map(({ webhook, count }) => [webhook, Number(count)]));
}

type NewDelivery = Pick<Delivery, 'id' | 'webhook' | 'type' | 'body'>;

export async function insertDeliveries(trx: Write, made: readonly NewDelivery[]): Promise<void> {
  if (made.length === 0) return;
  const fresh = {
    ...{ state: 'pending' as const, attempts: 0, lease: null, lease_until: 0, status: null, error: null },
    ...{ next_at: now, created_at: now, updated_at: now },
  };
  await trx
    .insertInto('deliveries')
    .values(made.map((one) => ({ ...one, ...fresh })))
    .execute();
}

/** Makes the messages of events that came since; whether there may be more. `describe` writes one. */
export async function spreadEvents(
  trx: Write,
  describe: (event: StoredEvent) => Pick<NewDelivery, 'id' | 'body'>,
): Promise<boolean> {
  let more = false;
  for (const webhook of await waitingWebhooks(trx)) {
    const events = await eventsFor(trx, webhook);
    const wanted = events.filter(({ type }) => wants(webhook.events, type));
    await insertDeliveries(
      trx,
      wanted.map((event) => ({ ...describe(event), webhook: webhook.id, type: event.type })),
    );
    more ||= events.length === SPREAD_MAX;
    // Behind its last event nothing of its project is left but what is of others.
    const cursor = events.length === SPREAD_MAX ? (events.at(-1)?.id ?? 0) : await newestEvent(trx);
    await trx.updateTable('webhooks').set({ cursor }).where('id', '=', webhook.id).execute();
  }
  return more;
}

/** Those for whom there are events that were not looked at. */
export async function waitingWebhooks(db: Db): Promise<Webhook[]> {
  const newest = (eb: ExpressionBuilder<Tables, 'webhooks'>) =>
    eb.selectFrom('events').select((inner) => inner.fn.max('events.id').as('id'));
  return (await db.selectFrom('webhooks').selectAll().where('cursor', '<', newest).execute()).map(read);
}

async function newestEvent(db: Db): Promise<number> {
  const row = await db
    .selectFrom('events')
    .select((eb) => eb.fn.max('id').as('id'))
    .executeTakeFirst();
  return row?.id ?? 0;
}

async function eventsFor(db: Db, { project, cursor }: Webhook): Promise<StoredEvent[]> {
  const rows = await db
    .selectFrom('events')
    .selectAll()
    .where('project', '=', project)
    .where('id', '>', cursor)
    .orderBy('id')
    .limit(SPREAD_MAX)
    .execute();
  return rows.map(({ data_json, project: _, ...row }) => ({ ...row, data: JSON.parse(data_json) }));
}

/** Literally, or SQLite would not see that the index has all of them. */
const isPending = (eb: ExpressionBuilder<Tables, 'deliveries'>) => eb('state', '=', sql.lit('pending'));
const isDue = (eb: ExpressionBuilder<Tables, 'deliveries'>) =>
  eb.and([isPending(eb), eb('next_at', '<=', now), eb('lease_until', '<=', now)]);

/** Receivers with messages that may be tried now. */
export async function dueWebhooks(db: Db): Promise<string[]> {
  const rows = await db.selectFrom('deliveries').select('webhook').distinct().where(isDue).execute();
  return rows.map(({ webhook }) => webhook);
}

/** How long until the next message may be tried, of other receivers than these; `null` where none waits. */
export async function nextDueMs(db: Db, except: readonly string[]): Promise<number | null> {
  let query = db
    .selectFrom('deliveries')
    .select((eb) => [
      eb.fn.min<number | null>(sql`CASE WHEN lease_until > next_at THEN lease_until ELSE next_at END`).as('at'),
      now.as('now'),
    ])
    .where(isPending);
  if (except.length > 0) query = query.where('webhook', 'not in', except);
  const row = await query.executeTakeFirst();
  return row?.at == null ? null : Math.max(0, row.at - row.now);
}

/** How many more messages of that receiver may be in hand. */
export async function freeHands(db: Db, webhook: string, inHandMax: number): Promise<number> {
  const { count } = await db
    .selectFrom('deliveries')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('webhook', '=', webhook)
    .where(isPending)
    .where('lease_until', '>', now)
    .executeTakeFirstOrThrow();
  return Math.max(0, inHandMax - Number(count));
}

type Claim = Readonly<{ lease: string; leaseMs: number; inHandMax: number }>;
export type Claimed = Delivery & Pick<Webhook, 'url' | 'secret'>;

/** Takes messages of that receiver in hand, so many that no more than `inHandMax` are, here and elsewhere. */
export async function claimDeliveries(
  trx: Write,
  webhook: string,
  { lease, leaseMs, inHandMax }: Claim,
): Promise<Claimed[]> {
  const free = await freeHands(trx, webhook, inHandMax);
  const rows = await trx
    .selectFrom('deliveries')
    .innerJoin('webhooks', 'webhooks.id', 'deliveries.webhook')
    .selectAll('deliveries')
    .select(['webhooks.url', 'webhooks.secret'])
    .where('webhook', '=', webhook)
    .where(isDue)
    .orderBy('next_at')
    .orderBy('seq')
    .limit(free)
    .execute();
  if (rows.length === 0) return [];
  const ids = rows.map(({ id }) => id);
  const held = { lease, lease_until: inFuture(leaseMs) };
  await trx.updateTable('deliveries').set(held).where('id', 'in', ids).execute();
  return rows;
}

/** What came of an attempt; nothing where somebody else has it in hand by now. */
export async function recordAttempt(
  trx: Write,
  { id, attempts }: Delivery,
  lease: string,
  { status, error }: Attempt,
  { state, delayMs }: After,
): Promise<void> {
  const over = { attempts: attempts + 1, status, error, state, next_at: inFuture(delayMs), updated_at: now };
  await heldBy(trx, id, lease)
    .set({ ...over, lease: null, lease_until: 0 })
    .execute();
}

/** Gives it back without an attempt. */
export async function releaseDelivery(trx: Write, id: string, lease: string): Promise<void> {
  await heldBy(trx, id, lease).set({ lease: null, lease_until: 0 }).execute();
}

const heldBy = (trx: Write, id: string, lease: string) =>
  trx.updateTable('deliveries').where('id', '=', id).where('lease', '=', lease);

type DeliveryFilter = Readonly<{
  state?: DeliveryState | undefined;
  /** The number of the one before the first. */
  after?: number | undefined;
  limit: number;
}>;

/** Newest first. */
export async function listDeliveries(
  db: Db,
  webhook: string,
  { state, after, limit }: DeliveryFilter,
): Promise<Delivery[]> {
  let query = db
    .selectFrom('deliveries')
    .selectAll()
    .where('webhook', '=', webhook)
    .orderBy('seq', 'desc')
    .limit(limit);
  if (state !== undefined) query = query.where('state', '=', state);
  if (after !== undefined) query = query.where('seq', '<', after);
  return query.execute();
}

export async function findDelivery(db: Db, webhook: string, id: string): Promise<Delivery | null> {
  const query = db.selectFrom('deliveries').selectAll().where('webhook', '=', webhook).where('id', '=', id);
  return (await query.executeTakeFirst()) ?? null;
}

/** From the beginning: the same id and the same body, and all attempts anew. */
export async function redeliver(trx: Write, id: string): Promise<void> {
  await trx
    .updateTable('deliveries')
    .set({ state: 'pending', attempts: 0, next_at: now, updated_at: now })
    .where('id', '=', id)
    .where('state', '<>', 'pending')
    .execute();
}
