// The way of an operation from a wish to an intent, and back: draft, intent, cancel, collection. Its approval is approval.ts.

import { Failure } from '../../protocol/failure.ts';
import { readIntent } from '../../protocol/intent.ts';
import { isEnd } from '../../protocol/lifecycle.ts';
import { INTENT_TTL_S, INTENT_TTL_S_MAX } from '../../protocol/limits.ts';
import { newId } from '../../protocol/schema.ts';
import { demandMatching, isTyped } from '../core/draft.ts';
import { newOperation, type Operation } from '../core/operation.ts';
import { isTaken } from '../core/progress.ts';
import { change, findOperation, insertOperation, openOperations } from '../store/operations.ts';
import type { Db, Write } from '../store/store.ts';
import { isEnrolled, type Vm } from '../store/vms.ts';
import type { ApiParts } from './parts.ts';
import type { IntentRequest, IntentResponse, IntentSummary, OperationRequest } from './schemas.ts';

/** How long a machine to come may take: its join token's life. */
const JOIN_S = 3_600;

export async function createDraft(
  { store, agents, randomBytes, nowMs }: ApiParts,
  vm: Vm,
  operator: string,
  { account, vnc, reboot, not_before }: OperationRequest,
  made: (trx: Write, operation: Operation) => Promise<void>,
): Promise<Operation> {
  demandFreeIdentity(vm);
  // One to come is given its first passwords and nothing else.
  if (!isEnrolled(vm)) throw new Failure('NOT_ENROLLED', { vm: vm.name });
  const window = not_before === undefined ? {} : { notBeforeS: windowOf(not_before, { account, vnc }, nowMs()) };
  const draft = {
    ...window,
    account: account ? { name: account.name ?? null, unlock: account.unlock ?? false, mode: account.mode } : null,
    vnc: vnc ? { server: vnc.server ?? null, restart: vnc.restart ?? false, mode: vnc.mode } : null,
    graceS: reboot?.grace_s ?? 0,
  };
  const { id, agent, project } = vm;
  const operation = newOperation({ op: newId('op', randomBytes), vm: id, agent, project, operator, draft }, nowMs());
  await store.write(async (trx) => {
    await demandFree(trx, operation);
    await insertOperation(trx, operation);
    await made(trx, operation);
  });
  agents.nudge(id);
  return operation;
}

/** Throws `REQUEST_INVALID` for a window that an intent cannot wait for, or a password that only the executor of now can open. */
function windowOf(notBefore: string, { account, vnc }: Pick<OperationRequest, 'account' | 'vnc'>, now: number): number {
  const opensS = Math.ceil(Date.parse(notBefore) / 1000);
  if (opensS * 1000 > now + INTENT_TTL_S_MAX * 1000) throw new Failure('REQUEST_INVALID', { field: 'not_before' });
  if (account?.mode === 'typed' || vnc?.mode === 'typed') {
    throw new Failure('REQUEST_INVALID', { field: 'not_before', reason: 'typed' });
  }
  return opensS;
}

/** What a held identity says, nobody can rely on: nothing is started on it. */
export function demandFreeIdentity({ name, quarantine }: Vm): void {
  if (quarantine) throw new Failure('AGENT_QUARANTINED', { vm: name, reason: quarantine.code });
}

/** A machine does one thing at a time. */
export async function demandFree(db: Db, { op, vm }: Operation): Promise<void> {
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
  demandMatching(operation, request, await parts.agents.isOnline(vm.id), parts.nowMs());
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
            // First passwords were asked for when there was nobody to name a uid.
            uid: ready === null || draft.joinSha256 !== undefined ? null : (seen?.account?.uid ?? null),
            unlock: draft.account.unlock,
            secret: account.secret,
          },
        }
      : {}),
    ...vncOf(draft, vnc),
    ...(draft.joinSha256 === undefined ? {} : { join_sha256: draft.joinSha256 }),
    ...(draft.notBeforeS === undefined ? {} : { not_before: draft.notBeforeS }),
    grace_s: draft.graceS,
    valid_s: validS(operation, request, parts.nowMs()),
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

function vncOf({ vnc: drafted }: Operation['draft'], given: IntentRequest['vnc']) {
  const secret = drafted?.mode === 'same' ? ('same' as const) : given?.secret;
  return drafted && secret ? { vnc: { server: drafted.server, restart: drafted.restart, secret } } : {};
}

/** From now on. By default a reset has its time from when its window opens, and first passwords from when the machine must have come. */
function validS({ draft, createdAt }: Operation, { valid_s }: IntentRequest, now: number): number {
  const opensS = (draft.notBeforeS ?? 0) - Math.floor(now / 1000);
  const comesS = draft.joinSha256 === undefined ? 0 : JOIN_S + Math.ceil((createdAt - now) / 1000);
  const wanted = valid_s ?? Math.min(INTENT_TTL_S + Math.max(0, opensS, comesS), INTENT_TTL_S_MAX);
  if (wanted <= opensS) throw new Failure('REQUEST_INVALID', { field: 'valid_s', reason: 'not_before' });
  return wanted;
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
export function summarise(bytes: string, vm: Vm, { seen }: Operation): IntentSummary {
  const intent = readIntent(bytes);
  if (intent.act === 'cancel' || intent.agent === undefined) throw new Failure('INTERNAL', { reason: 'act' });
  const accountState = seen?.account?.state;
  const found = [
    ...(seen?.warnings ?? []),
    ...(seen?.accountCode ? [seen.accountCode] : []),
    ...(accountState === 'locked' && !intent.account?.unlock ? ['ACCOUNT_LOCKED'] : []),
    ...(accountState === 'expired' ? ['ACCOUNT_EXPIRED'] : []),
    ...(intent.act === 'reset' && intent.account ? ['DATA_KEYS_AT_RISK'] : []),
    // Where the server turns out to be one that reads 8 characters, whoever reads its file has those of the account.
    ...(intent.act === 'initialise' && intent.vnc?.secret === 'same' ? ['VNC_SHARES_ACCOUNT_PASSWORD'] : []),
  ];
  return {
    vm_name: vm.name,
    agent: intent.agent,
    operator: intent.operator,
    act: intent.act,
    account: intent.account ?? null,
    vnc: intent.vnc ?? null,
    reboot: intent.reboot,
    not_before:
      intent.act === 'reset' && intent.not_before !== undefined
        ? new Date(intent.not_before * 1000).toISOString()
        : null,
    not_after: new Date(intent.not_after * 1000).toISOString(),
    warnings: [...new Set(found)],
  };
}

export async function cancel(
  { store, agents, nowMs }: ApiParts,
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
  agents.nudge(vm);
  await agents.cancelAgain(vm, op);
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

export function demandDraft({ state, approvedAt }: Operation): void {
  if (approvedAt !== null || isEnd(state)) {
    throw new Failure('STATE_CONFLICT', { state, approved: approvedAt !== null });
  }
}

export async function demandOperation(trx: Write, op: string): Promise<Operation> {
  const operation = await findOperation(trx, op);
  if (!operation) throw new Failure('NOT_FOUND', { op });
  return operation;
}
