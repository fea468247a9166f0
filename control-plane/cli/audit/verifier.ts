// Reads an exported audit from its first line to its last and says what holds. Nothing but the file is needed, and nothing that is
// secret: each row is checked as it comes, with what the rows before it said.

import type { AuditRow } from '../../../protocol/audit.ts';
import { Failure } from '../../../protocol/failure.ts';
import { broken } from './broken.ts';
import { Chain, type RootSeen } from './chain.ts';
import { Factors } from './factors.ts';
import { type Gap, Operations } from './operations.ts';

export type Findings = Readonly<{
  rows: number;
  /** Rows at the beginning that are held by the chain alone: a version that sealed none wrote them. */
  unsealed: number;
  head: string;
  endedAt: number;
  iss: string;
  roots: readonly RootSeen[];
  /** The row with the noted head; `null` where none was noted. */
  headAt: number | null;
  proofs: Readonly<{ checked: number; unchecked: number }>;
  counts: Operations['counts'];
  gaps: readonly Gap[];
  open: Readonly<{ count: number; ops: readonly string[] }>;
}>;

/** Throws `AUDIT_BROKEN` with the number of the first row that does not hold. */
export async function verifyAudit(lines: AsyncIterable<string>, notedHead: string | null): Promise<Findings> {
  const chain = new Chain();
  const factors = new Factors();
  const operations = new Operations(factors);
  let headAt: number | null = null;
  for await (const line of lines) {
    const row = await chain.next(line);
    if (!row) continue;
    if (row.hash === notedHead) headAt = row.n;
    if (row.sig !== null) await check(row, chain, { factors, operations });
  }
  chain.close();
  if (notedHead !== null && headAt === null) throw new Failure('AUDIT_HEAD_MISSING', { head: notedHead });
  return {
    rows: chain.n,
    unsealed: chain.unsealed,
    head: chain.head,
    endedAt: chain.endedAt ?? 0,
    iss: chain.root?.iss ?? '',
    roots: chain.roots,
    headAt,
    proofs: { checked: factors.checked, unchecked: factors.unchecked },
    counts: operations.counts,
    gaps: operations.gaps,
    open: operations.open(),
  };
}

type Sides = Readonly<{ factors: Factors; operations: Operations }>;

async function check(row: AuditRow, chain: Chain, sides: Sides): Promise<void> {
  try {
    await checkKind(row, JSON.parse(row.data), chain, sides);
  } catch (error) {
    if (!(error instanceof Failure)) throw broken(row.n, 'unreadable', { kind: row.kind });
    const reason = error.code === 'AUDIT_BROKEN' ? String(error.details['reason']) : error.code;
    throw broken(row.n, reason, { kind: row.kind });
  }
}

/** Rows of other kinds say what nobody outside can check; they are in the chain, and sealed. */
async function checkKind(row: AuditRow, data: unknown, chain: Chain, { factors, operations }: Sides): Promise<void> {
  const earlier = chain.unsealed > 0;
  const { root } = chain;
  if (!root) return;
  switch (row.kind) {
    case 'machine.enrolled':
      return operations.enrolled(row, data);
    case 'factor.added':
      return factors.added(row, data);
    case 'factor.removed':
      return factors.removed(row, data);
    case 'operator.recovered':
      return factors.recovered(row);
    case 'intent.built':
      return operations.built(row, data);
    case 'policy.set':
      return operations.policySet(row, data);
    case 'release.built':
      return operations.releaseBuilt(row, data);
    case 'intent.proven':
    case 'intent.seconded':
      return operations.proven(row, data, earlier);
    case 'command.signed':
      return operations.commanded(row, data, root, earlier);
    case 'cancel.signed':
      return operations.cancelled(row, data, root, earlier);
    case 'receipt.recorded':
    case 'receipt.gap':
    case 'receipt.fork':
      return operations.received(row, data);
  }
}
