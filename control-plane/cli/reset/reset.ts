// One reset from the request to its end, as a program drives it: draft, readiness, confirmation, approval, watch. People's
// words, prompts and screens are the observer's; this never prints.

import { isCode } from '../../../protocol/codes.ts';
import { Failure } from '../../../protocol/failure.ts';
import type { OperationView, VmView } from '../../api/schemas.ts';
import type { Client } from '../client/client.ts';
import { meetAgent } from '../client/known-agents.ts';
import { dropRecipient, dropStaleRecipients } from '../client/recipients.ts';
import { approve, type Draft } from './approval.ts';
import { demandPossible, readReady } from './readiness.ts';
import {
  draftOf,
  isTyped,
  type ResetEnd,
  type ResetObserver,
  type ResetOutcome,
  type ResetRequest,
  type ResetSummary,
} from './request.ts';
import { watchOperation } from './watch.ts';

/** An agent that is online answers a `prepare` long before this. */
const READY_WAIT_MS = 20_000;

/**
 * Runs a reset. Where it throws, nothing was approved and the draft is cancelled; where it returns, the operation was
 * approved, and `openSecrets` then opens what was generated.
 */
export async function runReset(client: Client, request: ResetRequest, observer: ResetObserver): Promise<ResetOutcome> {
  const { api } = client;
  const [vm, { operator }] = await Promise.all([api.vm(request.vm), api.whoami()]);
  if (vm.name !== request.vm && vm.id !== request.vm) throw new Failure('NOT_FOUND', { vm: request.vm });
  const { ek } = vm;
  if (!ek) throw new Failure('NOT_ENROLLED', { vm: vm.name });
  await dropStaleRecipients(client.stateFolder, client.now());
  const acquaintance = await meetAgent(client.stateFolder, { agent: vm.agent, vm: vm.id, ek }, client.now());
  if (isTyped(request) && !vm.online) throw new Failure('AGENT_OFFLINE', { vm: vm.name });

  const operation = await api.createOperation(draftOf({ ...request, vm: vm.id }));
  const addressee = { op: operation.op, agent: vm.agent, ek };
  const draft: Draft = { request, operation, addressee, shown: null, project: vm.project, operator };
  let approved: OperationView;
  try {
    observer.onEvent({ event: 'created', operation });
    const summary = { ...(await prepare(client, draft, { vm, observer })), acquaintance };
    throwIfAborted(request);
    if (!(await observer.confirm(summary))) throw new Failure('CANCELLED', { op: operation.op });
    throwIfAborted(request);
    approved = await approve(client, { ...draft, shown: summary.ready }, observer);
  } catch (error) {
    await discard(client, operation.op);
    throw error;
  }
  if (request.detach) return { end: 'detached', operation: approved };
  return follow(client, approved, { request, observer });
}

function throwIfAborted({ signal }: ResetRequest): void {
  if (signal?.aborted) throw new Failure('CANCELLED');
}

/** Waits for the executor's word, as long as one can come, and refuses what it makes pointless. */
async function prepare(
  client: Client,
  { request, operation, addressee }: Draft,
  { vm, observer }: { vm: VmView; observer: ResetObserver },
): Promise<Omit<ResetSummary, 'acquaintance'>> {
  const view = vm.online ? await waitForReady(client, operation, request.signal) : operation;
  if (view.ended) throw endFailure(view);
  const ready = await readReady(view, addressee);
  const { reason } = view;
  const warnings = [...new Set([...(ready?.warnings ?? []), ...view.warnings])];
  if (ready) {
    demandPossible(ready, request);
    observer.onEvent({ event: 'ready', operation: view, ready });
  } else {
    if (isTyped(request)) throw new Failure(reason && isCode(reason) ? reason : 'READY_EXPIRED', { vm: vm.name });
    observer.onEvent({ event: 'waiting', operation: view, online: vm.online, reason });
  }
  return { request, operation: view, online: vm.online, ready, reason, warnings };
}

async function waitForReady(client: Client, operation: OperationView, signal?: AbortSignal): Promise<OperationView> {
  const patience = AbortSignal.timeout(READY_WAIT_MS);
  const latest = await watchOperation(client.api, operation.op, {
    isOver: (view) => view.ready !== null || view.ended || view.reason !== null,
    signal: signal ? AbortSignal.any([signal, patience]) : patience,
    listener: { onProgress() {}, onUnreachable() {}, onReachable() {} },
  });
  return latest ?? operation;
}

/** An operation that ended before its approval, as the failure that it is. */
function endFailure({ code, op }: OperationView): Failure {
  return new Failure(code !== null && isCode(code) ? code : 'STATE_CONFLICT', { op });
}

/** Cancels a draft that will not be approved. Whether that works changes nothing: a draft ends by itself. */
async function discard(client: Client, op: string): Promise<void> {
  const view = await client.api.operation(op).catch(() => undefined);
  // Where the answer to a submission was lost, the operation may go on, and its passwords must stay readable.
  if (!view || view.approved) return;
  await client.api.cancel(op).catch(() => undefined);
  await dropRecipient(client.stateFolder, op).catch(() => undefined);
}

export type FollowRequest = Pick<ResetRequest, 'timeoutMs' | 'waitWhileOverdue' | 'signal'>;

/** Follows an operation to its end, or to the end of the caller's patience. */
export async function follow(
  client: Client,
  operation: OperationView,
  { request, observer }: { request: FollowRequest; observer: Pick<ResetObserver, 'onEvent'> },
): Promise<ResetOutcome> {
  const patience = request.timeoutMs === undefined ? undefined : AbortSignal.timeout(request.timeoutMs);
  const signals = [request.signal, patience].filter((signal) => signal !== undefined);
  const latest = await watchOperation(client.api, operation.op, {
    isOver: (view) => view.ended || (view.overdue && !request.waitWhileOverdue),
    ...(signals.length > 0 ? { signal: AbortSignal.any(signals) } : {}),
    listener: {
      onProgress: (view) => observer.onEvent({ event: 'progress', operation: view }),
      onUnreachable: (code) => observer.onEvent({ event: 'unreachable', code }),
      onReachable: () => observer.onEvent({ event: 'reachable' }),
    },
  });
  const last = latest ?? operation;
  return { end: endOf(last, { interrupted: request.signal?.aborted, late: patience?.aborted }), operation: last };
}

function endOf(
  view: OperationView,
  { interrupted, late }: { interrupted: boolean | undefined; late: boolean | undefined },
): ResetEnd {
  if (view.ended) return 'ended';
  if (interrupted) return 'interrupted';
  return late ? 'timeout' : 'overdue';
}
