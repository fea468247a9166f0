// The way of a bulk submission: draft, intent, proof, stop. The proof makes one operation for each machine; from there on they
// are operations like any other.

import { codeOf, Failure } from '../../protocol/failure.ts';
import { isEnd } from '../../protocol/lifecycle.ts';
import { INTENT_TTL_S, TARGETS_MAX } from '../../protocol/limits.ts';
import { newId } from '../../protocol/schema.ts';
import { type Bulk, operationOf, stateOfBulk } from '../core/bulk.ts';
import type { Proof } from '../signer/requests.ts';
import { findBulk, insertBulk, openBulks, operationsOfBulk, putBulk } from '../store/bulks.ts';
import { appendEvent } from '../store/events.ts';
import { change, insertOperation } from '../store/operations.ts';
import { listVms } from '../store/selection.ts';
import type { Db, Write } from '../store/store.ts';
import { findVm, isEnrolled, type Vm, vmsMeant } from '../store/vms.ts';
import { prove } from './approval.ts';
import type { ApiParts } from './parts.ts';
import type { SubmitRequest } from './schemas.ts';
import { type BulkIntent, type BulkIntentRequest, type BulkRequest, CONCURRENCY } from './schemas-bulk.ts';
import { labelsOf } from './selectors.ts';
import { demandFree } from './submission.ts';

type Asked = Readonly<{ operator: string; project: string }>;

export async function draftBulk(
  { store, randomBytes, nowMs }: ApiParts,
  { operator, project }: Asked,
  request: BulkRequest,
  made: (trx: Write, bulk: Bulk) => Promise<void>,
): Promise<Bulk> {
  const vms = await chosen(store.db, project, request);
  const { account, vnc, reboot, concurrency = CONCURRENCY } = request;
  const mode = 'generated' as const;
  const draft = {
    account: account ? { name: account.name ?? null, unlock: account.unlock ?? false, mode } : null,
    vnc: vnc ? { server: vnc.server ?? null, restart: vnc.restart ?? false, mode } : null,
    graceS: reboot?.grace_s ?? 0,
  };
  const bulk: Bulk = {
    ...{ op: newId('op', randomBytes), project, operator, draft, concurrency },
    targets: vms.filter((vm) => whyNot(vm) === null).map(({ id, agent, name }) => ({ vm: id, agent, name })),
    leftOut: vms.flatMap((vm) => {
      const code = whyNot(vm);
      return code === null ? [] : [{ vm: vm.id, name: vm.name, code }];
    }),
    ...{ intent: null, provenAt: null, approvedAt: null, stopped: null, code: null },
    createdAt: nowMs(),
  };
  const [first] = bulk.leftOut;
  if (bulk.targets.length === 0 && first) throw new Failure(first.code, { reason: 'all' });
  await store.write(async (trx) => {
    await insertBulk(trx, bulk);
    await tell(trx, bulk, 'bulk.created', { operator, machines: bulk.targets.length }, bulk.createdAt);
    await made(trx, bulk);
  });
  return bulk;
}

/** Why the intent does not name it: what a held identity says, nobody can rely on, and one to come has none. */
function whyNot(vm: Vm): 'AGENT_QUARANTINED' | 'NOT_ENROLLED' | null {
  if (vm.quarantine) return 'AGENT_QUARANTINED';
  return isEnrolled(vm) ? null : 'NOT_ENROLLED';
}

/** Each once, in the order of their ids. */
export async function chosen(
  db: Db,
  project: string,
  { label, vms }: Pick<BulkRequest, 'label' | 'vms'>,
): Promise<Vm[]> {
  const found = vms
    ? await Promise.all([...new Set(vms)].map((named) => oneOf(db, project, named)))
    : await listVms(db, { projects: [project], labels: labelsOf(label), limit: TARGETS_MAX + 1 });
  const each = [...new Map(found.map((vm) => [vm.id, vm])).values()];
  if (each.length === 0) throw new Failure('NOT_FOUND', { what: 'vm' });
  if (each.length > TARGETS_MAX) throw new Failure('REQUEST_INVALID', { field: 'label', reason: 'too_many_machines' });
  return each.toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

async function oneOf(db: Db, project: string, named: string): Promise<Vm> {
  const [meant] = await vmsMeant(db, [project], named);
  const vm = meant ? await findVm(db, meant.id) : null;
  if (!vm) throw new Failure('NOT_FOUND', { what: 'vm' });
  return vm;
}

export async function buildBulkIntent(
  { signer, store, nowMs }: ApiParts,
  { op }: Bulk,
  operator: string,
  request: BulkIntentRequest,
): Promise<BulkIntent> {
  const { draft, project, targets } = await demandOpen(store.db, op, nowMs());
  for (const slot of ['account', 'vnc'] as const) {
    const isAsDrafted = (draft[slot] === null) === (request[slot] === undefined);
    if (!isAsDrafted) throw new Failure('REQUEST_INVALID', { field: slot, reason: 'not_as_in_the_draft' });
  }
  const { account, vnc, valid_s = INTENT_TTL_S } = request;
  const built = await signer('intent.build', {
    op,
    project,
    targets: targets.map(({ agent }) => agent),
    operator,
    ...(draft.account && account
      ? { account: { name: draft.account.name, uid: null, unlock: draft.account.unlock, secret: account.secret } }
      : {}),
    ...(draft.vnc && vnc ? { vnc: { server: draft.vnc.server, restart: draft.vnc.restart, secret: vnc.secret } } : {}),
    grace_s: draft.graceS,
    valid_s,
  });
  const { intent, intent_hash, not_after, methods } = built;
  await store.write(async (trx) => {
    const now = await demandOpen(trx, op, nowMs());
    if (now.provenAt !== null) throw new Failure('STATE_CONFLICT', { reason: 'proven' });
    await putBulk(trx, { ...now, operator, intent: { bytes: intent, hash: intent_hash, notAfterS: not_after } });
  });
  return { intent, intent_hash, not_after: isoOf(not_after), awaits: 'first', methods };
}

/** What whoever's proof is missing has to see first. */
export async function viewBulkIntent(
  { signer }: ApiParts,
  { op, intent }: Bulk,
  operator: string,
): Promise<BulkIntent> {
  if (intent === null) throw new Failure('AUTHZ_INVALID', { reason: 'no_intent' });
  const { not_after, ...shown } = await signer('intent.show', { op, operator });
  return { ...shown, not_after: isoOf(not_after) };
}

const isoOf = (seconds: number): string => new Date(seconds * 1000).toISOString();

/** What a method that needs something first is asked with. */
export async function provableBulk({ store, nowMs }: ApiParts, { op }: Bulk, operator: string) {
  const { intent } = await demandOpen(store.db, op, nowMs());
  if (intent === null) throw new Failure('AUTHZ_INVALID', { reason: 'no_intent' });
  return { op, intent_hash: intent.hash, operator };
}

export async function submitBulk(
  parts: ApiParts,
  bulk: Bulk,
  operator: string,
  { intent_hash, ...proof }: SubmitRequest,
): Promise<void> {
  const { store, nowMs } = parts;
  // What made it void stays the answer.
  if (bulk.code === 'FACTOR_LOCKED' || bulk.code === 'AUTHZ_INVALID') throw new Failure(bulk.code);
  const asked = await provableBulk(parts, bulk, operator);
  const end = (code: string) =>
    store.write(async (trx) => {
      const now = await findBulk(trx, bulk.op);
      if (now?.approvedAt === null) await putBulk(trx, { ...now, code });
    });
  const complete = await prove(
    parts,
    { ...asked, intent_hash: intent_hash ?? asked.intent_hash, proof: proof as Proof },
    end,
  );
  await record(parts, bulk.op, { operator, method: proof.method, complete }, nowMs());
  parts.log.info({ op: bulk.op, operator, method: proof.method, complete }, complete ? 'approved' : 'proven');
  if (complete) for (const { vm } of bulk.targets) parts.agents.nudge(vm);
}

type Proven = Readonly<{ operator: string; method: string; complete: boolean }>;
type Recording = Pick<ApiParts, 'store' | 'randomBytes'>;

/** The proof is spent by now. Machines that another operation took meanwhile, or whose identity came to be held, are refused. */
async function record({ store, randomBytes }: Recording, op: string, proven: Proven, at: number): Promise<void> {
  const { complete, ...by } = proven;
  await store.write(async (trx) => {
    const now = await findBulk(trx, op);
    if (!now || now.approvedAt !== null) return;
    if (now.stopped) throw new Failure('STATE_CONFLICT', { reason: 'stopped' });
    await putBulk(trx, { ...now, ...(complete ? { approvedAt: at } : { provenAt: at }) });
    await tell(trx, now, complete ? 'bulk.approved' : 'bulk.proven', by, at);
    if (!complete) return;
    for (const index of now.targets.keys()) await begin(trx, now, index, { op: newId('op', randomBytes), at });
  });
}

async function begin(trx: Write, bulk: Bulk, index: number, { op, at }: Readonly<{ op: string; at: number }>) {
  const operation = operationOf(bulk, index, op, at);
  const vm = await findVm(trx, operation.vm);
  const code = (vm && whyNot(vm)) ?? (await demandFree(trx, operation).then(() => null, refusalOf));
  await insertOperation(trx, operation);
  if (code !== null) await change(trx, operation, { t: 'end', state: 'REFUSED', code }, at);
}

const refusalOf = (error: unknown) => codeOf(error) ?? Promise.reject(error);

/** Ends what has not been sent; what a machine has, goes on. */
export async function stopBulk({ store, nowMs }: ApiParts, { op }: Bulk, operator: string): Promise<void> {
  const at = nowMs();
  await store.write(async (trx) => {
    const now = await findBulk(trx, op);
    if (!now || now.stopped) return;
    const operations = await operationsOfBulk(trx, op);
    const waiting = operations.filter(({ state }) => state === 'QUEUED' || state === 'PREPARED');
    const state = stateOfBulk(now, operations.filter((operation) => !isEnd(operation.state)).length, at);
    if (state !== 'DRAFT' && state !== 'RUNNING') throw new Failure('STATE_CONFLICT', { state });
    await putBulk(trx, { ...now, stopped: { at, operator } });
    await tell(trx, now, 'bulk.stopped', { operator, ended: waiting.length }, at);
    for (const operation of waiting) {
      await change(trx, operation, { t: 'end', state: 'CANCELLED', code: 'CANCELLED' }, at);
    }
  });
}

async function demandOpen(db: Db, op: string, now: number): Promise<Bulk> {
  const bulk = await findBulk(db, op);
  if (!bulk) throw new Failure('NOT_FOUND', { what: 'bulk' });
  const state = stateOfBulk(bulk, 1, now);
  if (state === 'EXPIRED') throw new Failure('EXPIRED', { reason: 'intent' });
  if (state !== 'DRAFT') throw new Failure('STATE_CONFLICT', { state, approved: bulk.approvedAt !== null });
  return bulk;
}

/** At the start: proofs that the signer accepted and that a crash kept from being recorded. */
export async function recoverBulks(parts: Recording & Pick<ApiParts, 'signer' | 'nowMs' | 'log'>): Promise<void> {
  for (const { op, intent, provenAt, operator, stopped } of await openBulks(parts.store.db)) {
    if (intent === null || stopped !== null) continue;
    const { intent_hash, proven, complete } = await parts.signer('intent.status', { op });
    if (intent_hash !== intent.hash || !proven || (!complete && provenAt !== null)) continue;
    await record(parts, op, { operator, method: proven.method, complete }, parts.nowMs());
    parts.log.warn({ op }, 'approval recovered');
  }
}

type Kind = 'bulk.created' | 'bulk.proven' | 'bulk.approved' | 'bulk.stopped';

function tell(trx: Write, { op, project }: Bulk, type: Kind, data: Record<string, string | number>, at: number) {
  return appendEvent(trx, { at, vm: null, op, type, data, project });
}
