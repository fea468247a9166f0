// Operators and the hashes of their API keys. Factors are not here: the signer has them.

import { type Member, putMember } from './projects.ts';
import type { Db, Write } from './store.ts';

/** Whose key has that SHA-256. */
export async function operatorOfKey(db: Db, sha256: string): Promise<string | null> {
  const row = await db.selectFrom('api_keys').select('operator').where('sha256', '=', sha256).executeTakeFirst();
  return row?.operator ?? null;
}

export async function operatorExists(db: Db, name: string): Promise<boolean> {
  return (await db.selectFrom('operators').select('name').where('name', '=', name).executeTakeFirst()) !== undefined;
}

export async function anyOperator(db: Db): Promise<boolean> {
  return (await db.selectFrom('operators').select('name').limit(1).executeTakeFirst()) !== undefined;
}

export async function insertOperator(trx: Write, member: Member, keySha256: string, at: number): Promise<void> {
  const { operator } = member;
  await trx.insertInto('operators').values({ name: operator, created_at: at }).execute();
  await trx.insertInto('api_keys').values({ sha256: keySha256, operator, created_at: at }).execute();
  await putMember(trx, member, at);
}
