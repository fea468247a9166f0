// What stands in the store at a moment, counted for whoever watches over the whole.

import type { State } from '../../protocol/lifecycle.ts';
import type { Db } from './store.ts';

export type Census = Readonly<{ vm: string; version: string | null; quarantined: boolean }>;

/** Every machine. */
export async function census(db: Db): Promise<Census[]> {
  const rows = await db.selectFrom('vms').select(['id', 'agent_version', 'quarantined_at']).execute();
  return rows.map(({ id, agent_version, quarantined_at }) => ({
    vm: id,
    version: agent_version,
    quarantined: quarantined_at !== null,
  }));
}

export async function openOperationCounts(db: Db): Promise<ReadonlyMap<State, number>> {
  const rows = await db
    .selectFrom('operations')
    .select(({ fn }) => ['state', fn.countAll<number>().as('count')])
    .where('ended', '=', 0)
    .groupBy('state')
    .execute();
  return new Map(rows.map(({ state, count }) => [state as State, Number(count)]));
}

/** Ended or not, operations whose sealed secrets nobody has collected. */
export async function uncollectedCount(db: Db): Promise<number> {
  const row = await db
    .selectFrom('operations')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('sealed', '=', 1)
    .executeTakeFirst();
  return Number(row?.count ?? 0);
}

/** What the signer's audit has not taken. */
export async function handoverCount(db: Db): Promise<number> {
  const row = await db
    .selectFrom('handover')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirst();
  return Number(row?.count ?? 0);
}
