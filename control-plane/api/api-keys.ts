// API keys as the API makes and shows them: drawn, kept as a hash with the event that tells of it, and shown once.

import { sha256Text, toBase64url } from '../../protocol/keys.ts';
import type { RandomBytes } from '../config/random-kernel.ts';
import { type ApiKey, apiKeyId, insertApiKey } from '../store/api-keys.ts';
import { appendEvent } from '../store/events.ts';
import type { Write } from '../store/store.ts';

export type NewKey = Omit<ApiKey, 'id' | 'revokedAt'>;
export type Drawn = Readonly<{ api_key: string; sha256: string }>;

export async function drawApiKey(randomBytes: RandomBytes): Promise<Drawn> {
  const api_key = `lk_${toBase64url(randomBytes(32))}`;
  return { api_key, sha256: await sha256Text(api_key) };
}

/** What is answered to whoever made it, with the key itself. */
export async function keepApiKey(trx: Write, { api_key, sha256 }: Drawn, key: NewKey) {
  const { operator, createdAt } = key;
  const id = apiKeyId(sha256);
  await insertApiKey(trx, sha256, key);
  await appendEvent(trx, keyEvent('api_key.created', key, id, operator, createdAt));
  return { ...viewKey({ ...key, id, revokedAt: null }, createdAt), api_key };
}

export function keyEvent(
  type: string,
  { operator: owner, scopes, project }: NewKey,
  id: string,
  operator: string,
  at: number,
) {
  const data = { key: id, owner, operator, scopes: scopes.join(' ') };
  return { at, vm: null, op: null, type, data, project: project ?? undefined };
}

export function viewKey({ id, operator, name, scopes, project, createdAt, expiresAt, revokedAt }: ApiKey, now: number) {
  const iso = (ms: number) => new Date(ms).toISOString();
  const ended = expiresAt !== null && expiresAt <= now ? ('expired' as const) : ('live' as const);
  return {
    ...{ id, operator, name, scopes: [...scopes], project, created_at: iso(createdAt) },
    expires_at: expiresAt === null ? null : iso(expiresAt),
    state: revokedAt === null ? ended : ('revoked' as const),
  };
}
