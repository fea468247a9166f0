// Operations and journal entries for tests of the core, made from plain values. A test changes what it is about.

import { apply, type Entry, type Operation, type StoredReceipt, type Work } from '../../../agent/core/ledger.ts';
import type { AgentState } from '../../../protocol/lifecycle.ts';
import { BOOT, bytes32Text, OP } from '../../protocol/samples.ts';

export const storedReceipt = (n: number): StoredReceipt => ({ n, token: `token-${n}`, sha256: bytes32Text(n) });

export const vncServer = {
  id: 'tigervnc:5901',
  kind: 'vncauth',
  effective: 8,
  port: 5901,
  owner: { uid: 1000, gid: 1000 },
  source: '/home/ada/.vnc/passwd',
} as const;

export function work(changes: Partial<Work> = {}): Work {
  return {
    cmdSha256: bytes32Text(0x61),
    cn: bytes32Text(0x60),
    boot: BOOT,
    graceS: 0,
    account: { name: 'root', uid: 0, unlock: false, secret: 'generated' },
    vnc: { server: vncServer, secret: 'generated' },
    vncAbsent: false,
    warnings: [],
    ...changes,
  };
}

export const accepted = (changes: Partial<Work> = {}): Entry => ({
  kind: 'accepted',
  op: OP,
  work: work(changes),
  receipt: storedReceipt(1),
});

export function stated(
  state: AgentState,
  n: number,
  more: Partial<Extract<Entry, { kind: 'state' }>> = {},
): Extract<Entry, { kind: 'state' }> {
  return { kind: 'state', op: OP, state, code: null, boot: BOOT, finding: {}, receipt: storedReceipt(n), ...more };
}

/** The operation that these entries make. */
export function operationOf(...entries: readonly Entry[]): Operation {
  let operation: Operation | undefined;
  for (const entry of entries) operation = apply(operation, entry);
  if (!operation) throw new Error('these entries make no operation');
  return operation;
}
