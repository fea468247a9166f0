// Operators, by name. Their factors are not here: the signer has them.

import { rights } from '../core/rights.ts';
import { insertApiKey } from './api-keys.ts';
import { type Member, putMember } from './projects.ts';
import type { Db, Write } from './store.ts';

export async function operatorExists(db: Db, name: string): Promise<boolean> {
  return (await db.selectFrom('operators').select('name').where('name', '=', name).executeTakeFirst()) !== undefined;
}

export async function anyOperator(db: Db): Promise<boolean> {
  return (await db.selectFrom('operators').select('name').limit(1).executeTakeFirst()) !== undefined;
}

/** Without a key and without a project. */
export async function insertOperatorAlone(trx: Write, name: string, at: number): Promise<void> {
  await trx.insertInto('operators').values({ name, created_at: at }).execute();
}

/** With a key that may do whatever the operator may. */
export async function insertOperator(trx: Write, member: Member, keySha256: string, at: number): Promise<void> {
  const { operator } = member;
  await insertOperatorAlone(trx, operator, at);
  const unbounded = { name: null, scopes: rights, project: null, expiresAt: null };
  await insertApiKey(trx, keySha256, { operator, createdAt: at, ...unbounded });
  await putMember(trx, member, at);
}
