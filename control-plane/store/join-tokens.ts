// Join tokens: kept as hashes, used once, or as often as they were made for. Taking one is part of the transaction that makes the machine.

import type { Db, Write } from './store.ts';
import type { JoinTokenTable } from './tables.ts';

export type JoinToken = Readonly<JoinTokenTable>;
export type JoinTokenState = 'live' | 'used' | 'expired' | 'revoked';

export async function insertJoinToken(trx: Write, token: JoinToken): Promise<void> {
  await trx.insertInto('join_tokens').values(token).execute();
}

type TokenFilter = Readonly<{
  projects: readonly string[];
  after?: readonly [number, string] | undefined;
  limit: number;
}>;

/** Newest first; after the one that was made at that time and has that id. */
export async function listJoinTokens(db: Db, { projects, after, limit }: TokenFilter): Promise<JoinToken[]> {
  let query = db
    .selectFrom('join_tokens')
    .selectAll()
    .where('project', 'in', projects)
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(limit);
  if (after !== undefined) {
    const [at, id] = after;
    query = query.where((eb) =>
      eb.or([eb('created_at', '<', at), eb.and([eb('created_at', '=', at), eb('id', '<', id)])]),
    );
  }
  return query.execute();
}

export function stateOf({ uses, uses_max, revoked_at, expires_at }: JoinToken, now: number): JoinTokenState {
  if (uses >= uses_max) return 'used';
  if (revoked_at !== null) return 'revoked';
  return now > expires_at ? 'expired' : 'live';
}

export async function joinTokenBySha256(db: Db, sha256: string): Promise<JoinToken | null> {
  const row = await db.selectFrom('join_tokens').selectAll().where('sha256', '=', sha256).executeTakeFirst();
  return row ?? null;
}

export async function findJoinToken(db: Db, id: string): Promise<JoinToken | null> {
  const row = await db.selectFrom('join_tokens').selectAll().where('id', '=', id).executeTakeFirst();
  return row ?? null;
}

/** Takes one use, in the transaction that makes the machine. */
export async function takeUse(trx: Write, { id, uses }: JoinToken, vm: string, at: number): Promise<void> {
  await trx
    .updateTable('join_tokens')
    .set({ used_at: at, vm, uses: uses + 1 })
    .where('id', '=', id)
    .execute();
}

export async function markRevoked(trx: Write, id: string, at: number): Promise<void> {
  await trx.updateTable('join_tokens').set({ revoked_at: at }).where('id', '=', id).execute();
}
