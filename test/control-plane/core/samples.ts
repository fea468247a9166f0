// Operations and receipts for tests of the core: each option that a test sets is one that it is about.

import { newOperation, type Operation, type ReceiptFacts } from '../../../control-plane/core/operation.ts';
import type { AgentState } from '../../../protocol/lifecycle.ts';
import { RECEIPT_GENESIS, type Receipt } from '../../../protocol/receipt.ts';

export const OP = `op_${'0'.repeat(26)}`;
export const AGENT = `agt_${'0'.repeat(26)}`;
export const CN = 'A'.repeat(43);
export const COMMAND_SHA256 = `B${'A'.repeat(42)}`;
export const T0 = Date.UTC(2026, 10, 23);

const draft = { account: { name: null, unlock: false, mode: 'generated' as const }, vnc: null, graceS: 0 };

export function draftOf(change: Partial<Operation> = {}): Operation {
  const given = { op: OP, vm: `vm_${'0'.repeat(26)}`, agent: AGENT, project: 'default', operator: 'admin', draft };
  return { ...newOperation(given, T0), ...change };
}

export function approvedOf(change: Partial<Operation> = {}): Operation {
  const intent = { bytes: 'e30', hash: CN, notAfterS: T0 / 1000 + 900, sealed: null, sealedFor: null };
  return draftOf({ intent, approvedAt: T0, ...change });
}

export function sentOf(change: Partial<Operation> = {}): Operation {
  const command = { token: 'a.b.c', sha256: COMMAND_SHA256, cn: CN, expS: T0 / 1000 + 120, sentAt: T0 };
  return approvedOf({ state: 'SENT', command, sentSha256: [COMMAND_SHA256], ...change });
}

/** A stand-in for the hash of the n-th receipt's payload. */
export const shaOf = (n: number): string => String(n).padStart(43, 'C');

export function receiptOf(n: number, state: AgentState, change: Partial<Receipt> = {}): Receipt {
  return {
    v: 1,
    op: OP,
    agent: AGENT,
    n,
    prev: n === 1 ? RECEIPT_GENESIS : shaOf(n - 1),
    state,
    code: null,
    warnings: [],
    cmd_sha256: COMMAND_SHA256,
    cn: CN,
    boot: '00000000-0000-4000-8000-000000000000',
    mono: n,
    detail: {},
    ...change,
  };
}

export function factsOf(receipt: Receipt, late = false): ReceiptFacts {
  const { n, state, code, warnings, detail, sealed = null, boot, mono } = receipt;
  return { n, sha256: shaOf(n), state, code, warnings, detail, sealed, machine: { boot, mono }, late };
}
