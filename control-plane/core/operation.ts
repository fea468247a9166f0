// An operation as the control plane knows it, and what may happen to it. Values only; times are milliseconds since 1970
// unless a name says otherwise. It must never hold a plaintext secret.

import { isEnd, type State } from '../../protocol/lifecycle.ts';
import type { ReceiptDetail, Verified, VncState } from '../../protocol/receipt.ts';
import type { Ready } from '../../protocol/session.ts';
import { type Entered, enteredAt, type StateTime } from './times.ts';

export type SecretMode = 'generated' | 'typed';

/** What was asked for, before anything was proven. */
export type Draft = Readonly<{
  account: Readonly<{ name: string | null; unlock: boolean; mode: SecretMode }> | null;
  vnc: Readonly<{ server: string | null; restart: boolean; mode: SecretMode | 'same' }> | null;
  graceS: number;
  /** When its window opens; absent where it may go at once. */
  notBeforeS?: number;
  /** First passwords, for the machine that enrols with that join token; absent of a reset. */
  joinSha256?: string;
}>;

/** Compact JWEs: typed secrets on their way to the agent, or generated ones on their way to the operator. */
export type Sealed = Readonly<{ account?: string | undefined; vnc?: string | undefined }>;

export type IntentRecord = Readonly<{
  bytes: string;
  hash: string;
  notAfterS: number;
  /** Typed secrets, and the ready whose executor alone can open them. */
  sealed: Sealed | null;
  sealedFor: string | null;
}>;
/** The executor that waits for the command, as long as it does. */
export type ReadyRecord = Readonly<{ token: string; at: number }>;
/** What the last executor that was ready saw of the machine. */
export type Sighting = Readonly<{
  account: Ready['account'];
  accountCode: string | null;
  vnc: Ready['vnc'];
  warnings: readonly string[];
}>;
export type CommandRecord = Readonly<{ token: string; sha256: string; cn: string; expS: number; sentAt: number }>;
/** The last receipt of the chain. */
/** A receipt came that follows another one than the last of the chain: those in between are missing. */
export type Gap = Readonly<{ after: number; n: number }>;
export type ChainHead = Readonly<{ n: number; sha256: string; at: number }>;

/** One of many that one proof covers: `op` is that of the intent, which every machine of it hears. */
export type InBulk = Readonly<{
  op: string;
  /** The machine's place in the intent. */
  index: number;
  /** Whether it may begin: so many at a time, and one that cannot gives its turn to another. */
  turn: boolean;
}>;

export type Operation = Readonly<{
  op: string;
  /** Absent in records of earlier versions. */
  bulk?: InBulk | null;
  vm: string;
  agent: string;
  project: string;
  state: State;
  code: string | null;
  warnings: readonly string[];
  overdue: boolean;
  reason: string | null;
  operator: string;
  draft: Draft;
  intent: IntentRecord | null;
  /** When one operator had proven it and another one was still wanted. Absent in records of earlier versions. */
  provenAt?: number | null;
  approvedAt: number | null;
  ready: ReadyRecord | null;
  seen: Sighting | null;
  command: CommandRecord | null;
  /** Payload hashes of every command that was ever sent for it. */
  sentSha256: readonly string[];
  cancelBy: string | null;
  chain: ChainHead | null;
  /** While it is open. Absent in records of earlier versions. */
  gap?: Gap | null;
  sealed: Sealed | null;
  collectedAt: number | null;
  verified: Verified | null;
  /** Where the VNC secret stands; absent in what was stored before that was said. */
  vncState?: VncState | null;
  account: string | null;
  bootBefore: string | null;
  bootAfter: string | null;
  graceUntil: number | null;
  /** When the present state was entered, and how long the ones before it lasted. */
  entered: Entered;
  times: readonly StateTime[];
  createdAt: number;
  updatedAt: number;
  endedAt: number | null;
}>;

export type EventData = Readonly<Record<string, string | number | boolean | null>>;
export type OperationEvent = Readonly<{
  type:
    | 'operation.created'
    | 'operation.state'
    | 'operation.approved'
    | 'operation.proven'
    | 'operation.reason'
    | 'operation.overdue'
    | 'operation.warning'
    | 'operation.collected'
    | 'operation.alarm';
  data: EventData;
}>;

export type ReceiptFacts = Readonly<{
  n: number;
  sha256: string;
  state: State;
  code: string | null;
  warnings: readonly string[];
  detail: ReceiptDetail;
  sealed: Sealed | null;
  /** By the machine's own clock. */
  machine: NonNullable<Entered['machine']>;
  late: boolean;
}>;

export type NewOperation = Pick<Operation, 'bulk' | 'op' | 'vm' | 'agent' | 'project' | 'operator' | 'draft'>;

/** What the machine and the signer know it by. */
export function wireOp({ op, bulk }: Pick<Operation, 'op' | 'bulk'>): string {
  return bulk?.op ?? op;
}

export function awaitsSecond({ provenAt, approvedAt, state }: Operation): boolean {
  return provenAt != null && approvedAt === null && !isEnd(state);
}

/** A fresh draft: QUEUED, unapproved. */
export function newOperation(given: NewOperation, at: number): Operation {
  return {
    ...given,
    state: 'QUEUED',
    code: null,
    warnings: [],
    overdue: false,
    reason: null,
    intent: null,
    provenAt: null,
    approvedAt: null,
    ready: null,
    seen: null,
    command: null,
    sentSha256: [],
    cancelBy: null,
    chain: null,
    gap: null,
    sealed: null,
    collectedAt: null,
    verified: null,
    vncState: null,
    account: null,
    bootBefore: null,
    bootAfter: null,
    graceUntil: null,
    entered: enteredAt(at),
    times: [],
    createdAt: at,
    updatedAt: at,
    endedAt: null,
  };
}
