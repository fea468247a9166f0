// Whether an intent may be asked for a draft, and what it then says. The draft fixed the slots and modes; the request
// brings the keys or the sealed secrets, and nothing else.

import { Failure } from '../../protocol/failure.ts';
import type { X25519Jwk } from '../../protocol/schema.ts';
import { readyEndsAt } from './due.ts';
import type { Draft, Operation } from './operation.ts';

export type SecretInput =
  | Readonly<{ mode: 'generated'; recipient_jwk: X25519Jwk }>
  | Readonly<{ mode: 'typed'; sealed: string }>;
type Slot = Readonly<{ secret: SecretInput }>;
export type SecretInputs = Readonly<{ account?: Slot | undefined; vnc?: Slot | undefined }>;

/** Throws `REQUEST_INVALID` where slots or modes differ from the draft's, and `READY_EXPIRED` or `AGENT_OFFLINE` for typed ones. */
export function demandMatching(operation: Operation, inputs: SecretInputs, online: boolean, now: number): void {
  const { draft, ready } = operation;
  for (const slot of ['account', 'vnc'] as const) {
    const mode = draft[slot]?.mode ?? null;
    // The account's password needs no secret of its own.
    if ((mode === 'same' ? null : mode) !== (inputs[slot]?.secret.mode ?? null)) {
      throw new Failure('REQUEST_INVALID', { field: slot, reason: 'not_as_in_the_draft' });
    }
  }
  if (!isTyped(draft)) return;
  if (!online) throw new Failure('AGENT_OFFLINE', { reason: 'typed' });
  if (operation.state !== 'PREPARED' || ready === null || now > readyEndsAt(ready.at)) {
    throw new Failure('READY_EXPIRED', { reason: 'typed' });
  }
}

export function isTyped({ account, vnc }: Draft): boolean {
  return account?.mode === 'typed' || vnc?.mode === 'typed';
}
