// A bulk submission as the control plane knows it: one intent for many machines, what is left out of it, and what becomes of
// each when its proof is there. Values only.

import type { Code } from '../../protocol/codes.ts';
import { type Draft, type IntentRecord, newOperation, type Operation } from './operation.ts';

export type Target = Readonly<{ vm: string; agent: string; name: string }>;
export type LeftOut = Readonly<{ vm: string; name: string; code: Code }>;

export type Bulk = Readonly<{
  /** The intent's, which every machine hears. */
  op: string;
  project: string;
  operator: string;
  draft: Draft;
  /** In the order of the intent. */
  targets: readonly Target[];
  leftOut: readonly LeftOut[];
  /** So many at work at a time. */
  concurrency: number;
  intent: Pick<IntentRecord, 'bytes' | 'hash' | 'notAfterS'> | null;
  /** When one operator had proven it, and another one was still wanted. */
  provenAt: number | null;
  approvedAt: number | null;
  stopped: Readonly<{ at: number; operator: string }> | null;
  /** Why nothing can prove it any more. */
  code: string | null;
  createdAt: number;
}>;

export const bulkStates = ['DRAFT', 'RUNNING', 'ENDED', 'EXPIRED', 'VOID'] as const;
export type BulkState = (typeof bulkStates)[number];

/** A draft that nobody proves is of no use after this long. */
const DRAFT_TTL_MS = 900_000;

/** `working`: of its operations, those that have not ended. */
export function stateOfBulk(bulk: Bulk, working: number, now: number): BulkState {
  if (bulk.code !== null) return 'VOID';
  if (bulk.approvedAt !== null) return working === 0 ? 'ENDED' : 'RUNNING';
  if (bulk.stopped !== null) return 'ENDED';
  const endsAt = bulk.intent === null ? bulk.createdAt + DRAFT_TTL_MS : bulk.intent.notAfterS * 1000;
  return now > endsAt ? 'EXPIRED' : 'DRAFT';
}

/** What the proof allows on one of the machines, waiting for its turn. */
export function operationOf(bulk: Bulk, index: number, op: string, at: number): Operation {
  const { vm, agent } = bulk.targets[index] as Target;
  const { project, operator, draft, intent } = bulk;
  const made = newOperation({ op, vm, agent, project, operator, draft, bulk: { op: bulk.op, index, turn: false } }, at);
  // The bytes stand with the bulk, once.
  const record = intent && { ...intent, bytes: '', sealed: null, sealedFor: null };
  return { ...made, intent: record, approvedAt: at };
}
