// What time alone does to an operation. Asked every few seconds and at the start; it decides and does nothing itself.

import { isEnd } from '../../protocol/lifecycle.ts';
import { INTENT_TTL_S, READY_TTL_S } from '../../protocol/limits.ts';
import { awaitsSecond, type Operation } from './operation.ts';
import type { Step } from './progress.ts';

/** A draft nobody proved is dropped after this long. */
export const DRAFT_TTL_MS = INTENT_TTL_S * 1000;
/** A ready that ends sooner than this is not worth typing for. */
export const READY_MARGIN_MS = 30_000;
/** Past its command's end by this much, an unanswered operation was not taken. */
export const UNANSWERED_MS = 30_000;
export const OVERDUE_MS = 600_000;
export const SILENT_MS = 86_400_000;
/** A generated secret waits for its recipient this long past the intent's and the operation's end. */
export const COLLECT_MS = 86_400_000;

/** The agent's connection, as far as the decisions need it. */
export type Presence = Readonly<{
  online: boolean;
  synced: boolean;
  /** Its command was certainly never taken, and it is being given a new one. */
  again: boolean;
}>;

export function due(operation: Operation, presence: Presence, now: number): Step | null {
  if (isEnd(operation.state)) return secretDue(operation, now);
  if (operation.approvedAt === null) return draftDue(operation, now);
  switch (operation.state) {
    case 'QUEUED':
    case 'PREPARED':
      return waitingDue(operation, presence, now);
    case 'SENT':
      return sentDue(operation, presence, now);
    default:
      return heldDue(operation, now);
  }
}

/** When a ready stops being offered. */
export function readyEndsAt(readyAt: number): number {
  return readyAt + READY_TTL_S * 1000 - READY_MARGIN_MS;
}

function draftDue(operation: Operation, now: number): Step | null {
  // One who has proven it is not made to do so again because the other one takes their time.
  const ended = awaitsSecond(operation)
    ? now > (operation.intent?.notAfterS ?? 0) * 1000 || isStranded(operation)
    : now - operation.createdAt > DRAFT_TTL_MS;
  if (ended) return { t: 'end', state: 'EXPIRED', code: 'PROOF_MISSING' };
  return readyDue(operation, now);
}

function waitingDue(operation: Operation, presence: Presence, now: number): Step | null {
  const notAfter = (operation.intent?.notAfterS ?? 0) * 1000;
  if (now > notAfter) {
    return { t: 'end', state: 'EXPIRED', code: whyItWaited(operation, presence) };
  }
  if (operation.state !== 'SENT' && isStranded(operation)) return { t: 'end', state: 'EXPIRED', code: 'READY_EXPIRED' };
  return readyDue(operation, now);
}

function whyItWaited({ reason }: Operation, { online, synced }: Presence): string {
  if (!online) return 'AGENT_OFFLINE';
  return reason ?? (synced ? 'EXPIRED' : 'EXECUTOR_UNAVAILABLE');
}

/** A typed password was sealed to one executor: with that one gone, nobody can open it. */
export function isStranded({ intent, ready }: Operation): boolean {
  return intent !== null && intent.sealedFor !== null && intent.sealedFor !== ready?.token;
}

function readyDue({ state, ready }: Operation, now: number): Step | null {
  return state === 'PREPARED' && (ready === null || now > readyEndsAt(ready.at)) ? { t: 'unready' } : null;
}

function sentDue(operation: Operation, presence: Presence, now: number): Step | null {
  const { online, synced, again } = presence;
  if (again) return waitingDue(operation, presence, now);
  const { command, reason, updatedAt } = operation;
  const expired = now > (command?.expS ?? 0) * 1000 + UNANSWERED_MS;
  if (online && synced && expired) return { t: 'end', state: 'EXPIRED', code: reason ?? 'EXPIRED' };
  if (now - updatedAt > SILENT_MS) return { t: 'end', state: 'EXPIRED', code: 'AGENT_SILENT' };
  return null;
}

function heldDue({ state, overdue, chain, graceUntil, updatedAt }: Operation, now: number): Step | null {
  const heardAt = Math.max(chain?.at ?? updatedAt, graceUntil ?? 0);
  if (now - heardAt > SILENT_MS) {
    return { t: 'end', state: 'EXPIRED', code: state === 'REBOOTING' ? 'REBOOT_TIMEOUT' : 'AGENT_SILENT' };
  }
  if (state === 'REBOOTING' && !overdue && now - heardAt > OVERDUE_MS) return { t: 'overdue' };
  return null;
}

function secretDue({ sealed, intent, collectedAt, endedAt }: Operation, now: number): Step | null {
  if (sealed === null || collectedAt !== null) return null;
  // A machine that was away may bring it late; the wait begins when it is here.
  return now > Math.max((intent?.notAfterS ?? 0) * 1000, endedAt ?? 0) + COLLECT_MS ? { t: 'uncollected' } : null;
}
