// What to say next to one connected machine, given its operations. A machine does one thing at a time: what is approved
// goes before every draft, and of the drafts the newest is prepared.

import { isEnd } from '../../protocol/lifecycle.ts';
import { isStranded, readyEndsAt } from './due.ts';
import { type Operation, wireOp } from './operation.ts';
import { isHeld, isTaken } from './progress.ts';

/** What this connection already did. Everything here is lost with it. */
export type Conversation = Readonly<{
  /** The operation that was asked to prepare last, and when it may be asked again. */
  asked: Readonly<{ op: string; againAt: number }> | null;
  /** SENT operations whose command, sent on an earlier connection, was certainly never taken. */
  neverTaken: ReadonlySet<string>;
  /** Operations whose cancel was sent, and when it may be sent again: never, unless it was refused. */
  cancelled: ReadonlyMap<string, number>;
}>;

export type Errand =
  | Readonly<{ do: 'prepare'; operation: Operation }>
  /** `previous`: why no command of the operation that was signed before can act any more. */
  | Readonly<{ do: 'mint'; operation: Operation; previous: 'never_sent' | 'executor_gone' }>
  | Readonly<{ do: 'cancel'; operation: Operation; operator: string }>
  | null;

/** `operations` are the machine's open ones, oldest first. */
export function nextErrand(operations: readonly Operation[], conversation: Conversation, now: number): Errand {
  const taken = operations.find(isTaken);
  if (!taken) {
    const newest = operations.findLast(({ state }) => !isEnd(state));
    return newest?.state === 'QUEUED' ? prepare(newest, conversation, now) : null;
  }
  if (taken.state === 'QUEUED' || taken.state === 'PREPARED') {
    // One that is stranded ends by itself: another executor could not open what was sealed for the first.
    if (isStranded(taken) || !isOpen(taken, now)) return null;
    return taken.state === 'QUEUED' ? prepare(taken, conversation, now) : mint(taken, 'never_sent', now);
  }
  if (
    taken.cancelBy !== null &&
    now >= (conversation.cancelled.get(taken.op) ?? 0) &&
    (isHeld(taken.state) || !conversation.neverTaken.has(taken.op))
  ) {
    return { do: 'cancel', operation: taken, operator: taken.cancelBy };
  }
  if (taken.state !== 'SENT' || taken.chain !== null || !conversation.neverTaken.has(taken.op)) return null;
  return taken.ready === null ? prepare(taken, conversation, now) : mint(taken, 'executor_gone', now);
}

/** Whether the window that was approved has opened: by the intent's own bytes, which core does not read, signer and machine go. */
function isOpen({ draft }: Operation, now: number): boolean {
  return now >= (draft.notBeforeS ?? 0) * 1000;
}

function prepare(operation: Operation, { asked }: Conversation, now: number): Errand {
  if (asked?.op === operation.op && now < asked.againAt) return null;
  return { do: 'prepare', operation };
}

function mint(operation: Operation, previous: 'never_sent' | 'executor_gone', now: number): Errand {
  if (operation.ready === null || now > readyEndsAt(operation.ready.at)) return null;
  return { do: 'mint', operation, previous };
}

/** After `synced`: what becomes of an operation whose command went out before this connection and was never answered. */
export type Fate = 'held' | 'again' | Readonly<{ end: 'READY_EXPIRED' | 'EXPIRED' | 'CANCELLED' }>;

export function fateAfterSync(operation: Operation, openOp: string | null, now: number): Fate {
  if (wireOp(operation) === openOp || operation.chain !== null) return 'held';
  if (operation.cancelBy !== null) return { end: 'CANCELLED' };
  const { draft, intent } = operation;
  // A typed password was sealed to an executor that is gone.
  if (draft.account?.mode === 'typed' || draft.vnc?.mode === 'typed') return { end: 'READY_EXPIRED' };
  return now > (intent?.notAfterS ?? 0) * 1000 ? { end: 'EXPIRED' } : 'again';
}
