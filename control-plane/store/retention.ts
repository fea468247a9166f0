// What is old is forgotten, a little at a time, so that nobody waits for it: events, webhooks that are over, and operations
// that ended with their receipts, bulk submissions without any. The signer's audit keeps for ever what was signed.

import type { Store, Write } from './store.ts';

export type Retention = Readonly<{ eventsDays: number; operationsDays: number }>;

export const RETENTION_DEFAULT: Retention = { eventsDays: 90, operationsDays: 365 };

const DAY_MS = 86_400_000;
/** In one commit. */
const ROWS_MAX = 500;
/** The newest of this type says up to where the signer's alarms were brought. */
const CURSOR_TYPE = 'operator.alarm';

export async function forgetOld(store: Store, { eventsDays, operationsDays }: Retention, now: number): Promise<void> {
  const [events, operations] = [now - eventsDays * DAY_MS, now - operationsDays * DAY_MS];
  while ((await store.write((trx) => forgetEvents(trx, events))) === ROWS_MAX);
  while ((await store.write((trx) => forgetOperations(trx, operations))) === ROWS_MAX);
  while ((await store.write((trx) => forgetBulks(trx, operations))) === ROWS_MAX);
  while ((await store.write((trx) => forgetDeliveries(trx, events))) === ROWS_MAX);
}

/** Those of operations that are not over stay, so that whoever watches one can read it from its beginning. */
async function forgetEvents(trx: Write, before: number): Promise<number> {
  const cursor = trx
    .selectFrom('events')
    .select((eb) => eb.fn.max('id').as('id'))
    .where('type', '=', CURSOR_TYPE);
  const rows = await trx
    .selectFrom('events')
    .leftJoin('operations', 'operations.op', 'events.op')
    .select('events.id')
    .where('events.at', '<', before)
    .where((eb) => eb.or([eb('operations.ended', 'is', null), eb('operations.ended', '=', 1)]))
    .where((eb) => eb.or([eb('events.type', '<>', CURSOR_TYPE), eb('events.id', 'not in', cursor)]))
    .orderBy('events.id')
    .limit(ROWS_MAX)
    .execute();
  const ids = rows.map(({ id }) => id);
  if (ids.length > 0) await trx.deleteFrom('events').where('id', 'in', ids).execute();
  return ids.length;
}

/** With the last of its operations. */
async function forgetBulks(trx: Write, before: number): Promise<number> {
  const kept = trx.selectFrom('operations').select('bulk').where('bulk', 'is not', null);
  const rows = await trx
    .selectFrom('bulks')
    .select('op')
    .where('created_at', '<', before)
    .where('op', 'not in', kept)
    .orderBy('seq')
    .limit(ROWS_MAX)
    .execute();
  const ops = rows.map(({ op }) => op);
  if (ops.length > 0) await trx.deleteFrom('bulks').where('op', 'in', ops).execute();
  return ops.length;
}

/** Secrets that still wait to be collected keep their operation. */
async function forgetOperations(trx: Write, before: number): Promise<number> {
  const rows = await trx
    .selectFrom('operations')
    .select('op')
    .where('ended', '=', 1)
    .where('sealed', '=', 0)
    .where('updated_at', '<', before)
    .orderBy('seq')
    .limit(ROWS_MAX)
    .execute();
  const ops = rows.map(({ op }) => op);
  if (ops.length > 0) {
    await trx.deleteFrom('receipts').where('op', 'in', ops).execute();
    await trx.deleteFrom('operations').where('op', 'in', ops).execute();
  }
  return ops.length;
}

/** As long as the events that they tell of. */
async function forgetDeliveries(trx: Write, before: number): Promise<number> {
  const rows = await trx
    .selectFrom('deliveries')
    .select('id')
    .where('state', '<>', 'pending')
    .where('updated_at', '<', before)
    .limit(ROWS_MAX)
    .execute();
  const ids = rows.map(({ id }) => id);
  if (ids.length > 0) await trx.deleteFrom('deliveries').where('id', 'in', ids).execute();
  return ids.length;
}
