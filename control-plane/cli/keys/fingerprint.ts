// A root's fingerprint: what people compare when they ask whether two of them mean the same root.

import { createHash } from 'node:crypto';
import type { SignedRoot } from '../../../protocol/root.ts';

/** SHA-256 of the root's own bytes: the same whoever signed it, and when. */
export function fingerprintOf({ payload }: Pick<SignedRoot, 'payload'>): string {
  return createHash('sha256').update(payload, 'base64url').digest('base64url');
}
