// Logins of programs that wait for a person to let them in (RFC 8628), each by the hash of the code that its program has; and
// tries that are counted. Gone once it was used, and a while after its end.

import { type Right, rights } from '../core/rights.ts';
import type { Db, Write } from './store.ts';

export type DeviceLogin = Readonly<{
  sha256: string;
  user_code: string;
  /** By its own word. */
  host: string;
  address: string;
  scopes: readonly Right[];
  /** How long its key is to be good. */
  ttl_s: number;
  created_at: number;
  expires_at: number;
  interval_s: number;
  polled_at: number | null;
  state: 'pending' | 'approved' | 'denied';
  /** Who decided. */
  operator: string | null;
}>;

export async function insertLogin(trx: Write, login: DeviceLogin): Promise<void> {
  await trx
    .insertInto('device_logins')
    .values({ ...login, scopes: login.scopes.join(' ') })
    .execute();
}

export async function findLogin(db: Db, by: 'sha256' | 'user_code', value: string): Promise<DeviceLogin | null> {
  const row = await db.selectFrom('device_logins').selectAll().where(by, '=', value).executeTakeFirst();
  if (!row) return null;
  const named = row.scopes.split(' ');
  const scopes = rights.filter((right) => named.includes(right));
  return { ...row, scopes, state: row.state as DeviceLogin['state'] };
}

type Decision = Pick<DeviceLogin, 'state' | 'operator' | 'scopes'>;

export async function decideLogin(trx: Write, sha256: string, { state, operator, scopes }: Decision): Promise<void> {
  await trx
    .updateTable('device_logins')
    .set({ state, operator, scopes: scopes.join(' ') })
    .where('sha256', '=', sha256)
    .execute();
}

export async function notePoll(
  trx: Write,
  { sha256, polled_at, interval_s }: Pick<DeviceLogin, 'sha256' | 'polled_at' | 'interval_s'>,
): Promise<void> {
  await trx.updateTable('device_logins').set({ polled_at, interval_s }).where('sha256', '=', sha256).execute();
}

export async function removeLogin(trx: Write, sha256: string): Promise<void> {
  await trx.deleteFrom('device_logins').where('sha256', '=', sha256).execute();
}

export async function forgetLoginsBefore(trx: Write, at: number): Promise<void> {
  await trx.deleteFrom('device_logins').where('expires_at', '<', at).execute();
  await trx.deleteFrom('device_tries').where('at', '<', at).execute();
}

export async function insertTries(trx: Write, who: readonly string[], at: number): Promise<void> {
  await trx
    .insertInto('device_tries')
    .values(who.map((one) => ({ who: one, at })))
    .execute();
}

/** Of whichever of them has most. */
export async function mostTries(db: Db, who: readonly string[], since: number): Promise<number> {
  const rows = await db
    .selectFrom('device_tries')
    .select((eb) => eb.fn.countAll().as('tries'))
    .where('who', 'in', who)
    .where('at', '>', since)
    .groupBy('who')
    .execute();
  return Math.max(0, ...rows.map(({ tries }) => Number(tries)));
}
