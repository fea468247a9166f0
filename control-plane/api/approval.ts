// Proofs of an operation's intent: what one needs before it, the proof itself, and the approval that follows from it. The signer
// says whether a proof holds; this says whether there is anything to prove, and records the outcome.

import type { Code } from '../../protocol/codes.ts';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { isEnd } from '../../protocol/lifecycle.ts';
import { isStranded } from '../core/due.ts';
import { awaitsSecond, type Operation } from '../core/operation.ts';
import type { Step } from '../core/progress.ts';
import type { Proof, Result, SignerMethods } from '../signer/requests.ts';
import { change } from '../store/operations.ts';
import type { Vm } from '../store/vms.ts';
import { bringAlarms } from './alarms.ts';
import type { ApiParts } from './parts.ts';
import type { IntentView, MailedView, SubmitRequest } from './schemas.ts';
import { demandDraft, demandFree, demandFreeIdentity, demandOperation, summarise } from './submission.ts';

/** What whoever's proof is missing has to see first. */
export async function viewIntent(
  { signer }: ApiParts,
  operation: Operation,
  vm: Vm,
  operator: string,
): Promise<IntentView> {
  demandIntent(operation);
  const { op } = operation;
  const { intent, intent_hash, methods, awaits } = await signer('intent.show', { op, operator });
  return { intent, intent_hash, summary: summarise(intent, vm, operation), methods, awaits };
}

export async function mailCode(
  { signer }: ApiParts,
  operation: Operation,
  vm: Vm,
  operator: string,
): Promise<MailedView> {
  demandDraft(operation);
  const asked = { op: operation.op, intent_hash: demandIntent(operation).hash, operator, vm_name: vm.name };
  return mailedViewOf(await signer('factor.email', asked));
}

export function mailedViewOf({ sent_to, expires_at }: Result<SignerMethods, 'factor.email'>): MailedView {
  return { sent_to, expires_at: new Date(expires_at * 1000).toISOString() };
}

export async function passkeyOptions({ signer }: ApiParts, operation: Operation, operator: string) {
  demandDraft(operation);
  return signer('factor.passkey', { op: operation.op, intent_hash: demandIntent(operation).hash, operator });
}

export async function submit(
  parts: ApiParts,
  operation: Operation,
  machine: Vm,
  operator: string,
  { intent_hash, ...proof }: SubmitRequest,
): Promise<void> {
  const { op, vm } = operation;
  // What made it void stays the answer.
  if (operation.code === 'FACTOR_LOCKED' || operation.code === 'AUTHZ_INVALID') throw new Failure(operation.code);
  demandDraft(operation);
  const { hash } = demandIntent(operation);
  // It may have come to be held since the draft: nobody's proof is spent on that.
  demandFreeIdentity(machine);
  await demandFree(parts.store.db, operation);
  if (isStranded(operation)) throw new Failure('READY_EXPIRED', { reason: 'typed' });
  const asked = { op, intent_hash: intent_hash ?? hash, operator, proof: proof as Proof };
  const complete = await prove(parts, asked, (code) => endDraft(parts, op, code));
  await record(parts, op, { method: proof.method, operator, complete });
  parts.log.info({ op, vm, operator, method: proof.method, complete }, complete ? 'approved' : 'proven');
  if (complete) parts.agents.nudge(vm);
}

function demandIntent({ intent }: Operation): NonNullable<Operation['intent']> {
  if (intent === null) throw new Failure('AUTHZ_INVALID', { reason: 'no_intent' });
  return intent;
}

type Proven = Readonly<{ method: string; operator: string; complete: boolean }>;

/**
 * The proof is spent by now. Where another operation took the machine in the meantime this one ends: left as it is, it
 * would come to life later, when nobody expects it.
 */
async function record(
  { store, nowMs }: Pick<ApiParts, 'store' | 'nowMs'>,
  op: string,
  { method, operator, complete }: Proven,
): Promise<void> {
  const taken = await store.write(async (trx) => {
    const now = await demandOperation(trx, op);
    const busy = await demandFree(trx, now).then(
      () => null,
      (error: unknown) => (error instanceof Failure ? error : Promise.reject(error)),
    );
    const proven: Step = { t: complete ? 'approved' : 'proven', method, operator };
    await change(trx, now, busy ? { t: 'end', state: 'REFUSED', code: 'BUSY' } : proven, nowMs());
    return busy;
  });
  if (taken) throw taken;
}

type Asked = Readonly<{ op: string; intent_hash: string; operator: string; proof: Proof }>;

/** Whether the intent has every proof that it needs. `end` is called where nothing can prove it any more. */
export async function prove(parts: ApiParts, asked: Asked, end: (code: Code) => Promise<void>): Promise<boolean> {
  const { signer } = parts;
  try {
    return (await signer('intent.prove', asked)).complete;
  } catch (error) {
    const code = codeOf(error);
    // Proven before, by this operator, and the answer was lost on its way to us: the proof stands.
    if (code === 'STATE_CONFLICT') {
      const status = await signer('intent.status', { op: asked.op });
      if (status.intent_hash === asked.intent_hash && status.complete) return true;
    }
    const why = error instanceof Failure ? voidBy(error) : null;
    if (why !== null) await end(why);
    // A reused code is an alarm: it should be seen now and not in a while.
    await bringAlarms(parts).catch(() => undefined);
    throw error;
  }
}

function voidBy({ code, details }: Failure): Code | null {
  if (details['void'] === true) return code;
  const isLocked = (code === 'FACTOR_LOCKED' && details['reason'] === undefined) || details['left'] === 0;
  return isLocked ? 'FACTOR_LOCKED' : null;
}

async function endDraft({ store, nowMs }: ApiParts, op: string, code: Code): Promise<void> {
  await store.write(async (trx) => {
    const now = await demandOperation(trx, op);
    if (!isEnd(now.state)) await change(trx, now, { t: 'end', state: 'REFUSED', code }, nowMs());
  });
}

/**
 * At the start: proofs that the signer accepted and that a crash kept from being recorded. Machines are told later, when
 * they connect.
 */
export async function recoverApprovals(
  { store, signer, nowMs, log }: Pick<ApiParts, 'store' | 'signer' | 'nowMs' | 'log'>,
  operations: readonly Operation[],
): Promise<void> {
  for (const operation of operations) {
    const { op, intent, approvedAt, state, operator } = operation;
    if (intent === null || approvedAt !== null || isEnd(state)) continue;
    const { intent_hash, proven, complete } = await signer('intent.status', { op });
    if (intent_hash !== intent.hash || !proven || (!complete && awaitsSecond(operation))) continue;
    const refused = await record({ store, nowMs }, op, { method: proven.method, operator, complete }).then(
      () => null,
      (error: unknown) => codeOf(error) ?? Promise.reject(error),
    );
    log.warn({ op, refused }, 'approval recovered');
  }
}
