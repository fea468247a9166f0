// Bulk submissions as the API shows them. Pure.

import { isEnd } from '../../protocol/lifecycle.ts';
import { type Bulk, stateOfBulk } from '../core/bulk.ts';
import type { Operation } from '../core/operation.ts';
import type { BulkResult, BulkView } from './schemas-bulk.ts';

const isoOrNull = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

export function summariseBulk(bulk: Bulk, working: number, now: number): Omit<BulkView, 'results'> {
  const { op, project, operator, draft, concurrency, targets, intent, code, stopped } = bulk;
  const { account, vnc } = draft;
  return {
    bulk: op,
    project,
    operator,
    state: stateOfBulk(bulk, working, now),
    account: account && { name: account.name, unlock: account.unlock },
    vnc: vnc && { server: vnc.server, restart: vnc.restart },
    grace_s: draft.graceS,
    concurrency,
    machines: targets.length,
    working,
    intent_hash: intent?.hash ?? null,
    not_after: isoOrNull(intent && intent.notAfterS * 1000),
    awaits_second: bulk.provenAt !== null && bulk.approvedAt === null && code === null && stopped === null,
    code,
    created_at: new Date(bulk.createdAt).toISOString(),
    approved_at: isoOrNull(bulk.approvedAt),
    stopped_at: isoOrNull(stopped?.at ?? null),
    stopped_by: stopped?.operator ?? null,
  };
}

/** `operations` are those of the bulk, if its proof is there. */
export function viewBulk(bulk: Bulk, operations: readonly Operation[], now: number): BulkView {
  const working = operations.filter(({ state }) => !isEnd(state)).length;
  const head = summariseBulk(bulk, working, now);
  const of = new Map(operations.map((operation) => [operation.vm, operation]));
  const chosen = bulk.targets.map(({ vm, agent, name }): BulkResult => {
    const operation = of.get(vm);
    return {
      ...{ vm, vm_name: name, agent },
      op: operation?.op ?? null,
      state: operation?.state ?? null,
      ended: operation ? isEnd(operation.state) : head.state !== 'DRAFT',
      code: operation?.code ?? null,
      warnings: [...(operation?.warnings ?? [])],
    };
  });
  const leftOut = bulk.leftOut.map(
    ({ vm, name, code }): BulkResult => ({
      ...{ vm, vm_name: name, agent: null, op: null, code },
      ...{ state: 'REFUSED', ended: true, warnings: [] },
    }),
  );
  return { ...head, results: [...chosen, ...leftOut] };
}
