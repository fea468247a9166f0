// The way of an operation from a wish to an approval, and back: draft, intent, proof, cancel, collection. The signer says
// whether a proof holds; this says whether there is anything to prove, and records the outcome.

import { codeOf, Failure } from '../../protocol/failure.ts';
import { readIntent } from '../../protocol/intent.ts';
import { isEnd } from '../../protocol/lifecycle.ts';
import { INTENT_TTL_S } from '../../protocol/limits.ts';
import { newId } from '../../protocol/schema.ts';
import { demandMatching, isTyped } from '../core/draft.ts';
import { isStranded } from '../core/due.ts';
import { newOperation, type Operation } from '../core/operation.ts';
import { isTaken } from '../core/progress.ts';
import { change, findOperation, insertOperation, openOperations } from '../store/operations.ts';
import type { Db, Write } from '../store/store.ts';
import type { Vm } from '../store/vms.ts';
import type { ApiParts } from './parts.ts';
import type { IntentRequest, IntentResponse, IntentSummary, OperationRequest, SubmitRequest } from './schemas.ts';

export async function createDraft(
  { store, gateway, randomBytes, nowMs }: ApiParts,
  vm: Vm,
  operator: string,
  { account, vnc, reboot }: OperationRequest,
): Promise<Operation> {
  demandFreeIdentity(vm);
  const draft = {
    account: account ? { name: account.name ?? null, unlock: account.unlock ?? false, mode: account.mode } : null,
    vnc: vnc ? { server: vnc.server ?? null, restart: vnc.restart ?? false, mode: vnc.mode } : null,
    graceS: reboot?.grace_s ?? 0,
  };
  const { id, agent, project } = vm;
  const operation = newOperation({ op: newId('op', randomBytes), vm: id, agent, project, operator, draft }, nowMs());
  await store.write(async (trx) => {
    await demandFree(trx, operation);
    await insertOperation(trx, operation);
  });
  gateway.nudge(id);
  return operation;
}

/** What a held identity says, nobody can rely on: nothing is started on it. */
function demandFreeIdentity({ name, quarantine }: Vm): void {
  if (quarantine) throw new Failure('AGENT_QUARANTINED', { vm: name, reason: quarantine.code });
}

/** A machine does one thing at a time. */
async function demandFree(db: Db, { op, vm }: Operation): Promise<void> {
  const other = (await openOperations(db, vm)).find((open) => open.op !== op && isTaken(open));
  if (!other) return;
  const since = new Date(other.approvedAt ?? other.createdAt).toISOString();
  throw new Failure('BUSY', { op: other.op, operator: other.operator, state: other.state, since });
}

export async function buildIntent(
  parts: ApiParts,
  vm: Vm,
  operation: Operation,
  operator: string,
  request: IntentRequest,
): Promise<IntentResponse> {
  demandDraft(operation);
  demandFreeIdentity(vm);
  demandMatching(operation, request, parts.gateway.switchboard.isOnline(vm.id), parts.nowMs());
  const { op, project, agent, draft, ready, seen } = operation;
  const { account, vnc } = request;
  const built = await parts.signer('intent.build', {
    op,
    project,
    agent,
    operator,
    ...(draft.account && account
      ? {
          account: {
            name: draft.account.name,
            uid: ready === null ? null : (seen?.account?.uid ?? null),
            unlock: draft.account.unlock,
            secret: account.secret,
          },
        }
      : {}),
    ...(draft.vnc && vnc ? { vnc: { server: draft.vnc.server, restart: draft.vnc.restart, secret: vnc.secret } } : {}),
    grace_s: draft.graceS,
    valid_s: request.valid_s ?? INTENT_TTL_S,
  });
  const sealed = sealedOf(request);
  const sealedFor = isTyped(draft) ? (ready?.token ?? null) : null;
  const intent = { bytes: built.intent, hash: built.intent_hash, notAfterS: built.not_after, sealed, sealedFor };
  await parts.store.write(async (trx) => {
    const now = await demandOperation(trx, op);
    await change(trx, now, { t: 'intent', intent, operator }, parts.nowMs());
  });
  const { intent: bytes, intent_hash, methods } = built;
  return { intent: bytes, intent_hash, summary: summarise(bytes, vm, operation), methods };
}

function sealedOf({ account, vnc }: IntentRequest): Operation['sealed'] {
  const [forAccount, forVnc] = [account?.secret, vnc?.secret];
  const sealed = {
    ...(forAccount?.mode === 'typed' ? { account: forAccount.sealed } : {}),
    ...(forVnc?.mode === 'typed' ? { vnc: forVnc.sealed } : {}),
  };
  return Object.keys(sealed).length === 0 ? null : sealed;
}

/** From the intent's bytes, so that what is shown is what is proven. */
function summarise(bytes: string, vm: Vm, { seen }: Operation): IntentSummary {
  const intent = readIntent(bytes);
  if (intent.act !== 'reset' || intent.agent === undefined) throw new Failure('INTERNAL', { reason: 'act' });
  const accountState = seen?.account?.state;
  const found = [
    ...(seen?.warnings ?? []),
    ...(seen?.accountCode ? [seen.accountCode] : []),
    ...(accountState === 'locked' && !intent.account?.unlock ? ['ACCOUNT_LOCKED'] : []),
    ...(accountState === 'expired' ? ['ACCOUNT_EXPIRED'] : []),
    ...(intent.account ? ['DATA_KEYS_AT_RISK'] : []),
  ];
  return {
    vm_name: vm.name,
    agent: intent.agent,
    operator: intent.operator,
    act: 'reset',
    account: intent.account ?? null,
    vnc: intent.vnc ?? null,
    reboot: intent.reboot,
    not_after: new Date(intent.not_after * 1000).toISOString(),
    warnings: [...new Set(found)],
  };
}

export async function submit(
  parts: ApiParts,
  operation: Operation,
  operator: string,
  proof: SubmitRequest,
): Promise<void> {
  const { op, vm, intent } = operation;
  if (operation.code === 'FACTOR_LOCKED') throw new Failure('FACTOR_LOCKED');
  demandDraft(operation);
  if (intent === null) throw new Failure('AUTHZ_INVALID', { reason: 'no_intent' });
  await demandFree(parts.store.db, operation);
  if (isStranded(operation)) throw new Failure('READY_EXPIRED', { reason: 'typed' });
  await prove(parts, operation, { op, intent_hash: intent.hash, operator, proof });
  await recordApproval(parts, op, proof.method);
  parts.log.info({ op, vm, operator, method: proof.method }, 'approved');
  parts.gateway.nudge(vm);
}

/**
 * The proof is spent by now. Where another operation took the machine in the meantime this one ends: left as it is, it
 * would come to life later, when nobody expects it.
 */
async function recordApproval(
  { store, nowMs }: Pick<ApiParts, 'store' | 'nowMs'>,
  op: string,
  method: string,
): Promise<void> {
  const taken = await store.write(async (trx) => {
    const now = await demandOperation(trx, op);
    const busy = await demandFree(trx, now).then(
      () => null,
      (error: unknown) => (error instanceof Failure ? error : Promise.reject(error)),
    );
    const step = busy ? ({ t: 'end', state: 'REFUSED', code: 'BUSY' } as const) : ({ t: 'approved', method } as const);
    await change(trx, now, step, nowMs());
    return busy;
  });
  if (taken) throw taken;
}

type ProveParams = Parameters<typeof submit>[3];

async function prove(
  { signer, store, nowMs }: ApiParts,
  { op }: Operation,
  asked: Readonly<{ op: string; intent_hash: string; operator: string; proof: ProveParams }>,
): Promise<void> {
  try {
    await signer('intent.prove', asked);
  } catch (error) {
    const code = codeOf(error);
    const details = error instanceof Failure ? error.details : {};
    // Proven before, by this operator, and the answer was lost on its way to us: the proof stands.
    if (code === 'STATE_CONFLICT' && (await isProven(signer, op, asked.intent_hash))) return;
    const isVoid = (code === 'FACTOR_LOCKED' && details['reason'] === undefined) || details['left'] === 0;
    if (isVoid) {
      await store.write(async (trx) => {
        await change(
          trx,
          await demandOperation(trx, op),
          { t: 'end', state: 'REFUSED', code: 'FACTOR_LOCKED' },
          nowMs(),
        );
      });
    }
    throw error;
  }
}

async function isProven(signer: ApiParts['signer'], op: string, hash: string): Promise<boolean> {
  const status = await signer('intent.status', { op });
  return status.intent_hash === hash && status.proven !== null;
}

/**
 * At the start: approvals that the signer gave and that a crash kept from being recorded. Machines are told later, when
 * they connect.
 */
export async function recoverApprovals(
  { store, signer, nowMs, log }: Pick<ApiParts, 'store' | 'signer' | 'nowMs' | 'log'>,
  operations: readonly Operation[],
): Promise<void> {
  for (const { op, intent, approvedAt, state } of operations) {
    if (intent === null || approvedAt !== null || isEnd(state)) continue;
    const status = await signer('intent.status', { op });
    const { proven } = status;
    if (status.intent_hash !== intent.hash || !proven) continue;
    const refused = await recordApproval({ store, nowMs }, op, proven.method).then(
      () => null,
      (error: unknown) => codeOf(error) ?? Promise.reject(error),
    );
    log.warn({ op, refused }, 'approval recovered');
  }
}

export async function cancel(
  { store, gateway, nowMs }: ApiParts,
  { op, vm }: Operation,
  operator: string,
): Promise<void> {
  await store.write(async (trx) => {
    const now = await demandOperation(trx, op);
    if (now.state === 'CANCELLED') return;
    if (isEnd(now.state)) throw new Failure('STATE_CONFLICT', { state: now.state });
    const isOurs = now.state === 'QUEUED' || now.state === 'PREPARED';
    const step = isOurs
      ? ({ t: 'end', state: 'CANCELLED', code: 'CANCELLED' } as const)
      : ({ t: 'cancel', operator } as const);
    await change(trx, now, step, nowMs());
  });
  gateway.cancelAgain(vm, op);
}

/** The client has the secrets: the ciphertext goes. */
export async function collect({ store, nowMs }: ApiParts, { op }: Operation): Promise<void> {
  await store.write(async (trx) => {
    const now = await demandOperation(trx, op);
    if (now.collectedAt !== null) return;
    if (now.sealed === null) throw new Failure('STATE_CONFLICT', { state: now.state, reason: 'nothing_to_collect' });
    await change(trx, now, { t: 'collected' }, nowMs());
  });
}

function demandDraft({ state, approvedAt }: Operation): void {
  if (approvedAt !== null || isEnd(state)) {
    throw new Failure('STATE_CONFLICT', { state, approved: approvedAt !== null });
  }
}

async function demandOperation(trx: Write, op: string): Promise<Operation> {
  const operation = await findOperation(trx, op);
  if (!operation) throw new Failure('NOT_FOUND', { op });
  return operation;
}
