// What the journal says of operations: its entries, and the state that follows from reading them in order. The state is
// never kept anywhere else, so a restarted executor knows exactly what the one before it made durable.

import type { AgentState } from '../../protocol/lifecycle.ts';
import type { Verified, VncState } from '../../protocol/receipt.ts';

/** Keyed hashes of account entries, by name. */
export type AccountsEvidence = Readonly<Record<string, string>>;

/** A receipt as stored: `token` is what the link sends until the control plane acknowledges `n`. */
export type StoredReceipt = Readonly<{ n: number; token: string; sha256: string }>;

/** One credential file of the VNC server with its keyed hash. */
export type FileEvidence = Readonly<{ role: 'source' | 'live'; path: string; hash: string }>;

/** The VNC server as its adapter described it, kept so that its credential is found again before it is up. */
export type VncRecord = Readonly<{
  id: string;
  kind: 'vncauth' | 'login' | 'account';
  effective: number;
  port: number | null;
  owner: Readonly<{ uid: number; gid: number }>;
  source: string | null;
  reads?: 'start';
  display?: 'own';
}>;

/** What was accepted: all that later steps and a later boot need, and no secret. */
export type Work = Readonly<{
  cmdSha256: string;
  cn: string;
  boot: string;
  graceS: number;
  account: Readonly<{ name: string; uid: number; unlock: boolean; secret: 'typed' | 'generated' }> | null;
  /** `server` is `null` where none was found although one was asked for. */
  vnc: Readonly<{
    server: VncRecord | null;
    /** `same`: the account's. */
    secret: 'typed' | 'generated' | 'same';
    /** The operator agreed to a restart of the server; absent in records of before that could be said. */
    restart?: boolean;
  }> | null;
  /** No VNC server exists and none was asked for. */
  vncAbsent: boolean;
  warnings: readonly string[];
}>;

/** What a state's entry adds to what is known. */
export type Finding = Readonly<{
  /** Keyed hash of the account's entry with the new password in it. */
  accountEntry?: string;
  vncFiles?: readonly FileEvidence[];
  verified?: Verified;
  vncState?: VncState;
  /** The server took the new secret and the old one as well, so that what it takes proves nothing. */
  vncTakesBoth?: true;
  warnings?: readonly string[];
  bootAfter?: string;
}>;

export type Entry =
  | Readonly<{ kind: 'accepted'; op: string; work: Work; receipt: StoredReceipt }>
  | Readonly<{ kind: 'begin'; op: string; effect: 'account'; before: AccountsEvidence }>
  | Readonly<{ kind: 'begin'; op: string; effect: 'vnc'; before: readonly FileEvidence[] }>
  /** `boot` is the one in which it was written: for REBOOTING, the boot that shall end. */
  | Readonly<{
      kind: 'state';
      op: string;
      state: AgentState;
      code: string | null;
      boot: string;
      finding: Finding;
      receipt: StoredReceipt;
    }>
  | Readonly<{ kind: 'refused'; op: string; code: string; cmdSha256: string; receipt: StoredReceipt }>
  | Readonly<{ kind: 'acked'; op: string; n: number }>;

export type Operation = Readonly<{
  op: string;
  /** `null` for an operation that was refused before it was accepted. */
  work: Work | null;
  cmdSha256: string;
  state: AgentState;
  code: string | null;
  /** Announced and without an outcome yet. */
  begun: Extract<Entry, { kind: 'begin' }> | null;
  /** How often the reboot was asked for, and in which boot last. */
  reboots: number;
  rebootAskedIn: string | null;
  finding: Finding;
  warnings: readonly string[];
  receipts: readonly StoredReceipt[];
  acked: number;
}>;

export type Ledger = ReadonlyMap<string, Operation>;

export function readLedger(entries: readonly Entry[]): Ledger {
  const ledger = new Map<string, Operation>();
  for (const entry of entries) {
    const before = ledger.get(entry.op);
    const after = apply(before, entry);
    if (after) ledger.set(entry.op, after);
  }
  return ledger;
}

/** The operation after one more entry. */
export function apply(operation: Operation | undefined, entry: Entry): Operation | undefined {
  if (entry.kind === 'accepted')
    return {
      ...begin(entry.op, entry.work.cmdSha256),
      work: entry.work,
      warnings: entry.work.warnings,
      receipts: [entry.receipt],
    };
  if (entry.kind === 'refused') {
    return { ...begin(entry.op, entry.cmdSha256), state: 'REFUSED', code: entry.code, receipts: [entry.receipt] };
  }
  if (!operation) return undefined;
  if (entry.kind === 'acked') return { ...operation, acked: Math.max(operation.acked, entry.n) };
  if (entry.kind === 'begin') return { ...operation, begun: entry };
  const rebooting = entry.state === 'REBOOTING';
  return {
    ...operation,
    state: entry.state,
    code: entry.code,
    begun: null,
    reboots: operation.reboots + (rebooting ? 1 : 0),
    rebootAskedIn: rebooting ? entry.boot : operation.rebootAskedIn,
    finding: { ...operation.finding, ...entry.finding },
    warnings: [...new Set([...operation.warnings, ...(entry.finding.warnings ?? [])])],
    receipts: [...operation.receipts, entry.receipt],
  };
}

function begin(op: string, cmdSha256: string): Operation {
  return {
    op,
    work: null,
    cmdSha256,
    state: 'ACCEPTED',
    code: null,
    begun: null,
    reboots: 0,
    rebootAskedIn: null,
    finding: {},
    warnings: [],
    receipts: [],
    acked: 0,
  };
}

const ended: readonly AgentState[] = ['DONE', 'PARTIAL', 'FAILED', 'REFUSED', 'INTERRUPTED', 'CANCELLED'];

export function isEnded(operation: Operation): boolean {
  return ended.includes(operation.state);
}

/** The operation that is under way, if any. There is one at most: a second is refused as `BUSY`. */
export function openOperation(ledger: Ledger): Operation | undefined {
  return [...ledger.values()].find((operation) => !isEnded(operation));
}

/** Receipts that no acknowledgement has covered, in the order in which they were made. */
export function unacknowledged(ledger: Ledger): readonly StoredReceipt[] {
  return [...ledger.values()].flatMap(({ receipts, acked }) => receipts.filter(({ n }) => n > acked));
}
