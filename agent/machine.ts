// What makes this machine itself: its own id (machine-id(5), MachineGuid) and the UUID that its platform gave it (SMBIOS). A
// disk that wakes up in another machine, or was copied, finds others, and must not use the keys that lie on it.

import { createHmac } from 'node:crypto';
import { Failure } from '../protocol/failure.ts';
import { instanceSha256 } from '../protocol/instance.ts';
import { sha256Text } from '../protocol/keys.ts';
import type { Machine } from './ports/host.ts';

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
