// Bulk submissions: which machines one proof covers, how far that proof is, and how many of them may be at work at a time. Each
// machine's own part is an operation like any other, made when the proof is there.

import type { Bulk } from '../core/bulk.ts';
import type { Operation } from '../core/operation.ts';
import { change, findOperation, readOperation } from './operations.ts';
import type { Db, Store, Write } from './store.ts';

const columnsOf = (bulk: Bulk) => ({
  open: bulk.approvedAt === null && bulk.code === null ? 1 : 0,
  intent: bulk.intent?.bytes ?? null,
  record_json: JSON.stringify({ ...bulk, intent: bulk.intent && { ...bulk.intent, bytes: '' } }),
});

type Row = Readonly<{ intent: string | null; record_json: string }>;

function read({ intent, record_json }: Row): Bulk {
  const bulk = JSON.parse(record_json) as Bulk;
  return { ...bulk, intent: bulk.intent && { ...bulk.intent, bytes: intent ?? '' } };
}

export async function insertBulk(trx: Write, bulk: Bulk): Promise<void> {
  const { op, project, concurrency, createdAt: created_at } = bulk;
  await trx
    .insertInto('bulks')
    .values({ op, project, concurrency, created_at, ...columnsOf(bulk) })
    .execute();
}

export async function putBulk(trx: Write, bulk: Bulk): Promise<void> {
  await trx.updateTable('bulks').set(columnsOf(bulk)).where('op', '=', bulk.op).execute();
}

export async function findBulk(db: Db, op: string): Promise<Bulk | null> {
  const row = await db.selectFrom('bulks').select(['intent', 'record_json']).where('op', '=', op).executeTakeFirst();
  return row ? read(row) : null;
}

export type ListedBulk = Readonly<{ seq: number; bulk: Bulk }>;

/** Newest first. */
export async function listBulks(
  db: Db,
  { projects, after, limit }: Readonly<{ projects: readonly string[]; after?: number | undefined; limit: number }>,
): Promise<ListedBulk[]> {
  let query = db.selectFrom('bulks').select(['seq', 'intent', 'record_json']).where('project', 'in', projects);
  if (after !== undefined) query = query.where('seq', '<', after);
  const rows = await query.orderBy('seq', 'desc').limit(limit).execute();
  return rows.map(({ seq, ...row }) => ({ seq, bulk: read(row) }));
}

/** Those whose proof is missing here. */
export async function openBulks(db: Db): Promise<Bulk[]> {
  const rows = await db.selectFrom('bulks').select(['intent', 'record_json']).where('open', '=', 1).execute();
  return rows.map(read);
}

/** Its operations, in the order of the intent. */
export async function operationsOfBulk(db: Db, bulk: string): Promise<Operation[]> {
  const rows = await db
    .selectFrom('operations')
    .select('record_json')
    .where('bulk', '=', bulk)
    .orderBy('seq')
    .execute();
  return rows.map(readOperation);
}

/** How many operations of each have not ended. */
export async function workingIn(db: Db, bulks: readonly string[]): Promise<ReadonlyMap<string, number>> {
  if (bulks.length === 0) return new Map();
  const rows = await db
    .selectFrom('operations')
    .select(['bulk', (eb) => eb.fn.countAll<number>().as('count')])
    .where('bulk', 'in', bulks)
    .where('ended', '=', 0)
    .groupBy('bulk')
    .execute();
  return new Map(rows.map(({ bulk, count }) => [bulk ?? '', Number(count)]));
}

/** The bytes that every command of it names by their hash. */
export async function intentOf(db: Db, bulk: string): Promise<string> {
  const { intent } = await db.selectFrom('bulks').select('intent').where('op', '=', bulk).executeTakeFirstOrThrow();
  return intent ?? '';
}

/** Whether the operation may begin now: as many of its bulk are at work at a time as was said, on whichever gateways. */
export async function takeTurn(
  store: Store,
  { op, bulk }: Readonly<{ op: string; bulk: string }>,
  at: number,
): Promise<boolean> {
  if (!(await isFree(store.db, bulk))) return false;
  return store.write(async (trx) => {
    const now = await findOperation(trx, op);
    if (now?.state !== 'QUEUED' || !now.bulk || !(await isFree(trx, bulk))) return false;
    await change(trx, now, { t: 'turn' }, at);
    return true;
  });
}

async function isFree(db: Db, bulk: string): Promise<boolean> {
  const found = await db
    .selectFrom('bulks')
    .select('concurrency')
    .select((eb) =>
      eb
        .selectFrom('operations')
        .select((inner) => inner.fn.countAll<number>().as('count'))
        .where('bulk', '=', bulk)
        .where('turn', '=', 1)
        .where('ended', '=', 0)
        .as('busy'),
    )
    .where('op', '=', bulk)
    .executeTakeFirst();
  return found !== undefined && Number(found.busy) < found.concurrency;
}
