// The history that is streamed: appended within the transaction that makes it true, read in order, never changed. What the audit
// has to hear of goes along.

import { sql } from 'kysely';
import type { EventData } from '../core/operation.ts';
import { handOver, noticeOf } from './handover.ts';
import type { Db, Write } from './store.ts';

export type StoredEvent = Readonly<{
  id: number;
  at: number;
  vm: string | null;
  op: string | null;
  type: string;
  data: EventData;
}>;
/** What happens to a machine belongs to its project; what happens to none and names no project, to the installation's own. */
export type NewEvent = Omit<StoredEvent, 'id'> & Readonly<{ project?: string | undefined }>;
/** Without any of these it is everything: for the program itself, never for a caller. */
export type EventScope = Readonly<
  { op: string } | { vm: string } | { projects: readonly string[] } | Record<never, never>
>;

/** The project that an installation is made with. */
const OWN = 'default';

/** Read in pages of this size. */
export const EVENTS_PER_PAGE = 200;

export async function appendEvent(trx: Write, { at, vm, op, type, data, project = OWN }: NewEvent): Promise<void> {
  const owner = sql<string>`coalesce((select project from vms where id = ${vm}), ${project})`;
  const written = await trx
    .insertInto('events')
    .values({ at, vm, op, type, data_json: JSON.stringify(data), project: owner })
    .returning('project')
    .executeTakeFirstOrThrow();
  const notice = noticeOf({ vm, op, type, data: { ...data, project: written.project } });
  if (notice) await handOver(trx, notice);
}

export async function eventsAfter(db: Db, scope: EventScope, id: number): Promise<StoredEvent[]> {
  let query = db.selectFrom('events').selectAll().where('id', '>', id).orderBy('id').limit(EVENTS_PER_PAGE);
  if ('op' in scope) query = query.where('op', '=', scope.op);
  if ('vm' in scope) query = query.where('vm', '=', scope.vm);
  if ('projects' in scope) query = query.where('project', 'in', scope.projects);
  const rows = await query.execute();
  return rows.map(({ data_json, project: _, ...row }) => ({ ...row, data: JSON.parse(data_json) as EventData }));
}

export async function newestOfType(db: Db, type: string): Promise<StoredEvent | null> {
  const row = await db
    .selectFrom('events')
    .selectAll()
    .where('type', '=', type)
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (!row) return null;
  const { data_json, project: _, ...rest } = row;
  return { ...rest, data: JSON.parse(data_json) as EventData };
}

export async function lastEventId(db: Db): Promise<number> {
  const row = await db.selectFrom('events').select('id').orderBy('id', 'desc').limit(1).executeTakeFirst();
  return row?.id ?? 0;
}
