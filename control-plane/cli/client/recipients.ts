// The private keys to which generated passwords are sealed: one file for each operation, written before the operation is
// proven and deleted once its passwords were shown. Without the file nobody can read them any more.

import { join } from 'node:path';
import * as z from 'zod/mini';
import { Failure } from '../../../protocol/failure.ts';
import { fromBase64url, type SealingKey, sealingKeyFromSeed, toBase64url } from '../../../protocol/keys.ts';
import { INTENT_TTL_S_MAX } from '../../../protocol/limits.ts';
import { agentId, bytes32, operationId } from '../../../protocol/schema.ts';
import { namesIn, readIfThere, removeFile, writePrivate } from './private-files.ts';

const recipientFile = z.strictObject({
  v: z.literal(1),
  op: operationId,
  /** `null`: of any machine of a bulk submission. */
  agent: z.nullable(agentId),
  seed: bytes32,
  created_at: z.string(),
});

/** The control plane drops a ciphertext a day after the intent's end, which is a day after its making at most. */
const KEPT_MS_MAX = (2 * INTENT_TTL_S_MAX + 3_600) * 1_000;

export type Recipient = Readonly<{ agent: string | null; key: SealingKey }>;

const pathOf = (stateFolder: string, op: string): string => join(stateFolder, 'recipients', `${op}.json`);

/** Makes the operation's recipient key and stores it before anyone learns of it. */
export async function createRecipient(
  stateFolder: string,
  { op, agent }: { op: string; agent: string | null },
  from: { randomBytes: (count: number) => Uint8Array; now: Date },
): Promise<Recipient> {
  const seed = from.randomBytes(32);
  const content = { v: 1, op, agent, seed: toBase64url(seed), created_at: from.now.toISOString() };
  await writePrivate(pathOf(stateFolder, op), `${JSON.stringify(content)}\n`);
  const key = await sealingKeyFromSeed(seed);
  seed.fill(0);
  return { agent, key };
}

/** The operation's recipient, where this user started it here and its passwords were not shown yet. */
export async function findRecipient(stateFolder: string, op: string): Promise<Recipient | undefined> {
  const path = pathOf(stateFolder, op);
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  try {
    const { agent, seed } = z.parse(recipientFile, JSON.parse(text));
    return { agent, key: await sealingKeyFromSeed(fromBase64url(seed)) };
  } catch (cause) {
    throw new Failure('CONFIG_INVALID', { path, reason: 'damaged' }, cause);
  }
}

export function dropRecipient(stateFolder: string, op: string): Promise<void> {
  return removeFile(pathOf(stateFolder, op));
}

/** Deletes keys whose ciphertext can no longer exist. */
export async function dropStaleRecipients(stateFolder: string, now: Date): Promise<void> {
  for (const name of await namesIn(join(stateFolder, 'recipients'))) {
    const path = join(stateFolder, 'recipients', name);
    const text = await readIfThere(path).catch(() => undefined);
    const createdMs = Date.parse(/"created_at":"([^"]+)"/.exec(text ?? '')?.[1] ?? '');
    if (now.getTime() - createdMs > KEPT_MS_MAX) await removeFile(path);
  }
}
