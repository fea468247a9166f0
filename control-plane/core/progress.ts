// The one function through which an operation changes. It follows the lifecycle's table and returns the operation after
// the step with the events that say so; a step that the table does not allow is `STATE_CONFLICT` and changes nothing.

import { Failure } from '../../protocol/failure.ts';
import { type End, isEnd, mayFollow, type State } from '../../protocol/lifecycle.ts';
import { GRACE_S_MAX } from '../../protocol/limits.ts';
import {
  awaitsSecond,
  type CommandRecord,
  type IntentRecord,
  type Operation,
  type OperationEvent,
  type ReadyRecord,
  type ReceiptFacts,
  type Sighting,
} from './operation.ts';
import { type Entered, enteredAt, timeBetween, withTime } from './times.ts';

export type Step =
  | Readonly<{ t: 'ready'; ready: ReadyRecord; seen: Sighting }>
  /** The executor that was ready is gone. */
  | Readonly<{ t: 'unready' }>
  | Readonly<{ t: 'intent'; intent: IntentRecord; operator: string }>
  | Readonly<{ t: 'approved'; method: string; operator: string }>
  /** Proven by the one who asked; another one has to prove it, too. */
  | Readonly<{ t: 'proven'; method: string; operator: string }>
  /** One of a bulk may begin. */
  | Readonly<{ t: 'turn' }>
  | Readonly<{ t: 'sent'; command: CommandRecord }>
  /** A receipt that `judgeReceipt` lets through. */
  | Readonly<{ t: 'receipt'; receipt: ReceiptFacts }>
  | Readonly<{ t: 'end'; state: Extract<End, 'REFUSED' | 'CANCELLED' | 'EXPIRED'>; code: string }>
  | Readonly<{ t: 'reason'; code: string }>
  | Readonly<{ t: 'overdue' }>
  | Readonly<{ t: 'cancel'; operator: string }>
  | Readonly<{ t: 'collected' }>
  | Readonly<{ t: 'uncollected' }>
  | Readonly<{ t: 'alarm'; reason: string; n: number | null; code: string | null }>;

export type Progress = Readonly<{ operation: Operation; events: readonly OperationEvent[] }>;

/** States in which the agent holds the operation. */
export function isHeld(state: State): boolean {
  return state !== 'QUEUED' && state !== 'PREPARED' && state !== 'SENT' && !isEnd(state);
}

/** Approved and not ended: the machine is taken. */
export function isTaken({ approvedAt, state }: Operation): boolean {
  return approvedAt !== null && !isEnd(state);
}

export function progress(before: Operation, step: Step, at: number): Progress {
  switch (step.t) {
    case 'ready':
      return withReady({ ...before, ready: step.ready, seen: step.seen, reason: null }, at);
    case 'unready':
      return before.state === 'PREPARED'
        ? move(withoutTurn({ ...before, ready: null }), 'QUEUED', null, enteredAt(at))
        : quiet(withoutTurn(before), { ready: null }, at);
    case 'intent':
      demandDraft(before);
      if (awaitsSecond(before)) throw new Failure('STATE_CONFLICT', { state: before.state, reason: 'proven' });
      return quiet(before, { intent: step.intent, operator: step.operator }, at);
    case 'approved':
      demandDraft(before);
      return said({ ...before, approvedAt: at, updatedAt: at }, 'operation.approved', {
        method: step.method,
        operator: step.operator,
      });
    case 'proven':
      demandDraft(before);
      return said({ ...before, provenAt: at, updatedAt: at }, 'operation.proven', {
        method: step.method,
        operator: step.operator,
      });
    case 'turn':
      return quiet(before, { bulk: before.bulk ? { ...before.bulk, turn: true } : null }, at);
    case 'sent':
      return withCommand(before, step.command, at);
    case 'receipt':
      return withReceipt(before, step.receipt, at);
    case 'end':
      return move(before, step.state, step.code, enteredAt(at));
    case 'reason':
      return withReason(before, step.code, at);
    case 'overdue':
      return said({ ...before, overdue: true, updatedAt: at }, 'operation.overdue', { code: 'OVERDUE' });
    case 'cancel':
      if (isEnd(before.state)) throw conflict(before, 'CANCELLED');
      return quiet(before, { cancelBy: step.operator }, at);
    case 'collected':
      return said({ ...before, sealed: null, collectedAt: at, updatedAt: at }, 'operation.collected', {});
    case 'uncollected':
      return said(
        { ...before, sealed: null, warnings: union(before.warnings, ['SECRET_NOT_COLLECTED']), updatedAt: at },
        'operation.warning',
        { code: 'SECRET_NOT_COLLECTED' },
      );
    case 'alarm':
      return said(withGap(before, step), 'operation.alarm', { reason: step.reason, n: step.n, code: step.code });
  }
}

/** What cannot begin now must not keep others of its bulk from it. What was sent goes on, and counts. */
function withoutTurn(before: Operation): Operation {
  const isWaiting = before.state === 'QUEUED' || before.state === 'PREPARED';
  return before.bulk?.turn && isWaiting ? { ...before, bulk: { ...before.bulk, turn: false } } : before;
}

function withReason(before: Operation, code: string, at: number): Progress {
  const waiting = withoutTurn(before);
  if (before.reason === code) return waiting === before ? { operation: before, events: [] } : quiet(waiting, {}, at);
  return said({ ...waiting, reason: code, updatedAt: at }, 'operation.reason', { code });
}

/** A new nonce for a command that was never taken leaves the operation SENT; else being ready is PREPARED. */
function withReady(after: Operation, at: number): Progress {
  if (after.state === 'PREPARED' || (after.state === 'SENT' && after.chain === null)) return quiet(after, {}, at);
  return move(after, 'PREPARED', null, enteredAt(at));
}

function withCommand(before: Operation, command: CommandRecord, at: number): Progress {
  if (before.approvedAt === null) throw new Failure('STATE_CONFLICT', { state: before.state, reason: 'not_approved' });
  // The nonce is spent with the command.
  const after = { ...before, command, ready: null, sentSha256: union(before.sentSha256, [command.sha256]) };
  if (before.state === 'SENT' && before.chain === null) return quiet(after, {}, at);
  return move(after, 'SENT', null, enteredAt(at));
}

/** Signed by the machine, and not next in its chain: shown as what it is, and moves nothing. */
function withGap(before: Operation, { reason, n }: Extract<Step, { t: 'alarm' }>): Operation {
  return reason === 'gap' && n !== null ? { ...before, gap: { after: before.chain?.n ?? 0, n } } : before;
}

function withReceipt(before: Operation, receipt: ReceiptFacts, at: number): Progress {
  const { n, sha256, state, code, detail } = receipt;
  // What was missing is there when the one before the receipt that showed it is.
  const gap = before.gap && n + 1 < before.gap.n ? before.gap : null;
  const chained = { ...before, chain: { n, sha256, at }, gap, updatedAt: at };
  if (!mayFollow(before.state, state)) {
    // The chain is whole and the word is signed, but it makes no sense here: it is kept, shown, and moves nothing.
    return said(chained, 'operation.alarm', { reason: 'move_refused', n, code, state });
  }
  const after: Operation = {
    ...chained,
    overdue: false,
    reason: null,
    ready: null,
    warnings: union(before.warnings, receipt.warnings),
    sealed: receipt.sealed && before.collectedAt === null ? { ...before.sealed, ...receipt.sealed } : before.sealed,
    verified: detail.verified ?? before.verified,
    vncState: detail.vnc_state ?? before.vncState ?? null,
    account: detail.account ?? before.account,
    bootBefore: detail.boot_before ?? before.bootBefore,
    bootAfter: detail.boot_after ?? before.bootAfter,
    graceUntil: detail.grace_s === undefined ? before.graceUntil : at + Math.min(detail.grace_s, GRACE_S_MAX) * 1000,
  };
  return move(after, state, code, { at, machine: receipt.machine, late: receipt.late }, n);
}

function move(
  before: Operation,
  state: State,
  code: string | null,
  entered: Entered,
  n: number | null = null,
): Progress {
  const { state: from, times } = before;
  if (!mayFollow(from, state)) throw conflict(before, state);
  const { at } = entered;
  const time = timeBetween(before.entered, entered);
  const operation: Operation = {
    ...before,
    state,
    code,
    entered,
    times: withTime(times, { state: from, ...time, to: state, n }),
    updatedAt: at,
    endedAt: isEnd(state) ? at : null,
  };
  const data = { from, state, code, n, spent_ms: time.ms, measured_by: time.measuredBy };
  return said(operation, 'operation.state', data);
}

function quiet(before: Operation, change: Partial<Operation>, at: number): Progress {
  return { operation: { ...before, ...change, updatedAt: at }, events: [] };
}

function said(operation: Operation, type: OperationEvent['type'], data: OperationEvent['data']): Progress {
  return { operation, events: [{ type, data }] };
}

function demandDraft({ state, approvedAt }: Operation): void {
  if (approvedAt !== null || (state !== 'QUEUED' && state !== 'PREPARED')) {
    throw new Failure('STATE_CONFLICT', { state, approved: approvedAt !== null });
  }
}

function conflict({ state }: Operation, wanted: State): Failure {
  return new Failure('STATE_CONFLICT', { state, wanted });
}

function union(a: readonly string[], b: readonly string[]): readonly string[] {
  return [...new Set([...a, ...b])];
}
