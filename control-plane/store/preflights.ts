// The newest answer of each machine to "can this be reset now": the signed token as it came, or the code with which it was
// not given. Replaced by the next one; what it meant is read from the token.

import type { Db, Write } from './store.ts';

export type StoredPreflight = Readonly<{
  at: number;
  /** Who asked. */
  operator: string;
  /** An `lk-preflight+jws` that was verified; `null` where there is `code` instead. */
  token: string | null;
  /** The agent's unsigned word why there is no answer. */
  code: string | null;
}>;

export async function putPreflight(trx: Write, vm: string, found: StoredPreflight): Promise<void> {
  await trx
    .insertInto('preflights')
    .values({ vm, ...found })
    .onConflict((conflict) => conflict.column('vm').doUpdateSet(found))
    .execute();
}

export async function findPreflight(db: Db, vm: string): Promise<StoredPreflight | null> {
  const columns = ['at', 'operator', 'token', 'code'] as const;
  return (await db.selectFrom('preflights').select(columns).where('vm', '=', vm).executeTakeFirst()) ?? null;
}
