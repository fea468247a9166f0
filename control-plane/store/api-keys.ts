// API keys: kept as hashes, each an operator's own, for as long and as far as it was made for, until it is revoked.

import { type Right, rights } from '../core/rights.ts';
import type { Db, Write } from './store.ts';

export type ApiKey = Readonly<{
  id: string;
  operator: string;
  name: string | null;
  /** What may be done with it, where the operator's role allows it. */
  scopes: readonly Right[];
  /** It is good for this one alone; `null`: for all of the operator's. */
  project: string | null;
  createdAt: number;
  expiresAt: number | null;
  revokedAt: number | null;
}>;

/** From the hash, which tells nothing of the key. */
export const apiKeyId = (sha256: string): string => `key_${sha256.slice(0, 16)}`;

export async function insertApiKey(trx: Write, sha256: string, key: Omit<ApiKey, 'id' | 'revokedAt'>): Promise<void> {
  const { operator, name, scopes, project, createdAt, expiresAt } = key;
  await trx
    .insertInto('api_keys')
    .values({
      ...{ id: apiKeyId(sha256), sha256, operator, name, project, revoked_at: null },
      ...{ scopes: scopes.join(' '), created_at: createdAt, expires_at: expiresAt },
    })
    .execute();
}

/** The one with that hash, if it is good now. */
export async function livingApiKey(db: Db, sha256: string, now: number): Promise<ApiKey | null> {
  const row = await db
    .selectFrom('api_keys')
    .selectAll()
    .where('sha256', '=', sha256)
    .where('revoked_at', 'is', null)
    .where((eb) => eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', now)]))
    .executeTakeFirst();
  return row ? keyOf(row) : null;
}

export async function findApiKey(db: Db, id: string): Promise<ApiKey | null> {
  const row = await db.selectFrom('api_keys').selectAll().where('id', '=', id).executeTakeFirst();
  return row ? keyOf(row) : null;
}

/** Newest first; of one operator, or of all. */
export async function listApiKeys(db: Db, operator: string | null, limit: number): Promise<ApiKey[]> {
  let query = db.selectFrom('api_keys').selectAll().orderBy('created_at', 'desc').orderBy('id').limit(limit);
  if (operator !== null) query = query.where('operator', '=', operator);
  return (await query.execute()).map(keyOf);
}

export async function revokeApiKey(trx: Write, id: string, at: number): Promise<void> {
  await trx
    .updateTable('api_keys')
    .set({ revoked_at: at })
    .where('id', '=', id)
    .where('revoked_at', 'is', null)
    .execute();
}

type Row = Readonly<{
  id: string;
  operator: string;
  name: string | null;
  scopes: string;
  project: string | null;
  created_at: number;
  expires_at: number | null;
  revoked_at: number | null;
}>;

function keyOf({ id, operator, name, scopes, project, created_at, expires_at, revoked_at }: Row): ApiKey {
  const named = scopes.split(' ');
  return {
    ...{ id, operator, name, project },
    scopes: rights.filter((right) => named.includes(right)),
    ...{ createdAt: created_at, expiresAt: expires_at, revokedAt: revoked_at },
  };
}
