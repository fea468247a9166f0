// Which gateways run, and through which of them a machine is connected. A gateway that does not beat loses its machines: by
// the database's clock, the only one that all of them share. A connection whose row is gone or another's must end.

import { sql } from 'kysely';
import type { Db, Write } from './store.ts';

/** Several beats may be late. */
export const BEAT_INTERVAL_MS = 3_000;
const LEASE_MS = 12_000;

const now = sql<number>`clock_ms()`;
const leaseBegin = sql<number>`clock_ms() - ${sql.lit(LEASE_MS)}`;

export type Holder = Readonly<{ gateway: string; session: string }>;
export type Connection = Readonly<{ vm: string } & Holder>;

export async function beat(trx: Write, gateway: string): Promise<void> {
  await trx
    .insertInto('gateways')
    .values({ id: gateway, seen_at: now })
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ seen_at: now }))
    .execute();
}

export async function removeGateway(trx: Write, gateway: string): Promise<void> {
  await trx.deleteFrom('gateways').where('id', '=', gateway).execute();
}

/** Where there is one program, those before it are gone when it starts. */
export async function removeAllGateways(trx: Write): Promise<void> {
  await trx.deleteFrom('gateways').execute();
}

/** Removes those whose lease is over: their machines are `abandoned`. */
export async function removeSilentGateways(trx: Write): Promise<void> {
  await trx.deleteFrom('gateways').where('seen_at', '<=', leaseBegin).execute();
}

/** Whether it is the one that does what one is enough for. */
export async function isFirst(db: Db, gateway: string): Promise<boolean> {
  const first = await db
    .selectFrom('gateways')
    .select('id')
    .where('seen_at', '>', leaseBegin)
    .orderBy('id')
    .executeTakeFirst();
  return first?.id === gateway;
}

const living = (db: Db) =>
  db
    .selectFrom('connections')
    .innerJoin('gateways', 'gateways.id', 'connections.gateway')
    .where('gateways.seen_at', '>', leaseBegin);

/** The ids of all machines that are connected, as a part of a query. */
export const connected = (db: Db) => living(db).select('connections.vm');

/** Through which living gateway that machine is connected. */
export async function holderOf(db: Db, vm: string): Promise<Holder | null> {
  const columns = ['connections.gateway', 'connections.session'] as const;
  return (await living(db).where('vm', '=', vm).select(columns).executeTakeFirst()) ?? null;
}

/** Which of these machines are connected. */
export async function onlineVms(db: Db, vms: readonly string[]): Promise<ReadonlySet<string>> {
  if (vms.length === 0) return new Set();
  const rows = await living(db).where('vm', 'in', vms).select('vm').execute();
  return new Set(rows.map(({ vm }) => vm));
}

export async function allOnlineVms(db: Db): Promise<ReadonlySet<string>> {
  const rows = await living(db).select('vm').execute();
  return new Set(rows.map(({ vm }) => vm));
}

/** Machines that are connected through other living gateways. */
export async function heldElsewhere(db: Db, gateway: string): Promise<ReadonlySet<string>> {
  const rows = await living(db).where('connections.gateway', '<>', gateway).select('vm').execute();
  return new Set(rows.map(({ vm }) => vm));
}

/** Sessions of this gateway that are still the ones of their machines. */
export async function sessionsOf(db: Db, gateway: string): Promise<ReadonlySet<string>> {
  const rows = await db.selectFrom('connections').select('session').where('gateway', '=', gateway).execute();
  return new Set(rows.map(({ session }) => session));
}

/** Connections through gateways that no longer run. */
export function abandoned(db: Db): Promise<Connection[]> {
  return db
    .selectFrom('connections')
    .leftJoin('gateways', 'gateways.id', 'connections.gateway')
    .where('gateways.id', 'is', null)
    .select(['connections.vm', 'connections.gateway', 'connections.session'])
    .execute();
}

/**
 * The machine is connected here from now on. `false`, and nothing is changed, where it is connected through another living
 * gateway by a session that is not `replaces`: then it is there twice.
 */
export async function connect(trx: Write, at: Connection, since: number, replaces: string | null): Promise<boolean> {
  const holder = await holderOf(trx, at.vm);
  if (holder && holder.gateway !== at.gateway && holder.session !== replaces) return false;
  await trx
    .insertInto('connections')
    .values({ ...at, since })
    .onConflict((conflict) => conflict.column('vm').doUpdateSet({ ...at, since }))
    .execute();
  return true;
}

/** Whether the machine is no longer connected: `false` where another session took its place. */
export async function disconnect(trx: Write, { vm, session }: Pick<Connection, 'vm' | 'session'>): Promise<boolean> {
  await trx.deleteFrom('connections').where('vm', '=', vm).where('session', '=', session).execute();
  return (await trx.selectFrom('connections').select('vm').where('vm', '=', vm).executeTakeFirst()) === undefined;
}

/** Whoever the machine is connected through must end it. */
export async function cutOff(trx: Write, vm: string): Promise<void> {
  await trx.deleteFrom('connections').where('vm', '=', vm).execute();
}

export async function isHeldBy(db: Db, vm: string, session: string): Promise<boolean> {
  const row = await db.selectFrom('connections').select('session').where('vm', '=', vm).executeTakeFirst();
  return row?.session === session;
}
