// What makes this machine itself: its machine-id(5) and the UUID that its platform gave it (SMBIOS). A disk that wakes up in
// another machine, or was copied, finds others, and must not use the keys that lie on it.

import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Failure } from '../protocol/failure.ts';
import { instanceSha256 } from '../protocol/instance.ts';
import { sha256Text } from '../protocol/keys.ts';

const MACHINE_ID = '/etc/machine-id';
/** Readable by root alone. */
const SYSTEM_UUID = '/sys/class/dmi/id/product_uuid';

/** An empty text where there is none, or none that this user may read. */
export type Machine = Readonly<{ id: string; uuid: string }>;

export async function readMachine(): Promise<Machine> {
  const [id = '', uuid = ''] = await Promise.all(
    [MACHINE_ID, SYSTEM_UUID].map(async (path) => (await readFile(path, 'utf8').catch(() => '')).trim()),
  );
  return { id, uuid };
}

/** For the control plane, which may compare and not read: machine-id(5) asks not to be told to others as it is. */
export function hashMachine({ id, uuid }: Machine): Promise<string> {
  return sha256Text(`latchkey-agent machine\n${id}\n${uuid}`);
}

export function hashInstance({ uuid }: Machine): Promise<string | null> {
  return instanceSha256(uuid);
}

/** For this machine's own files: says nothing to whoever lacks the key that lies beside it. Base64url, 32 bytes. */
export function fingerprint(key: Uint8Array, ...parts: readonly string[]): string {
  return createHmac('sha256', key).update(JSON.stringify(parts)).digest('base64url');
}

/**
 * Throws `CLONE_SUSPECTED` where the keys were made in another machine. Exact, and not by resemblance: a copy differs in one
 * part of two. An identity from before fingerprints were kept has none, and is not doubted.
 */
export function demandOwn(kept: string | undefined, now: string): void {
  if (kept !== undefined && kept !== now) throw new Failure('CLONE_SUSPECTED', { reason: 'other_machine' });
}
