// Carries out what core decides to say to a machine: prepare, command, cancel. One machine at a time, and a command is in
// the store as SENT before its first byte leaves.

import { type Code, codes } from '../../protocol/codes.ts';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { INITIALISE_SINCE, LISTS_SINCE } from '../../protocol/version.ts';
import { type Errand, nextErrand } from '../core/dispatch.ts';
import { type Operation, wireOp } from '../core/operation.ts';
import { outsideRequests } from '../request-scope.ts';
import { intentOf, takeTurn } from '../store/bulks.ts';
import { isHeldBy } from '../store/gateways.ts';
import { change, findOperation, openOperations } from '../store/operations.ts';
import type { AgentSession } from './agent-session.ts';
import type { Handover } from './handover.ts';
import type { GatewayParts } from './parts.ts';
import { bringRoots } from './roots.ts';
import type { Switchboard } from './switchboard.ts';

/** One call carries out at most this many errands; more would be a circle. */
const ERRANDS_MAX = 8;

type MintErrand = Extract<Errand, { do: 'mint' }>;

export class Dispatcher {
  readonly #parts: GatewayParts;
  readonly #switchboard: Switchboard;
  readonly #handover: Pick<Handover, 'flush'>;
  readonly #busy = new Set<AgentSession>();
  readonly #again = new Set<AgentSession>();
  readonly #underWay = new Set<Promise<void>>();

  constructor(parts: GatewayParts, switchboard: Switchboard, handover: Pick<Handover, 'flush'>) {
    this.#parts = parts;
    this.#switchboard = switchboard;
    this.#handover = handover;
  }

  /** Looks at what this machine has to be told. Cheap to call, and safe to call at any time. */
  advance(vm: string): Promise<void> {
    const work: Promise<void> = this.#advance(vm).finally(() => this.#underWay.delete(work));
    this.#underWay.add(work);
    return work;
  }

  /** Returns once nothing is under way: a command that the signer was asked for is in the store, or was not given. */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
  }

  async #advance(vm: string): Promise<void> {
    const session = this.#switchboard.of(vm);
    if (session?.entered && !(await isHeldBy(this.#parts.store.db, vm, session.id))) return session.socket.leave();
    if (!session?.synced || !session.socket.open) return;
    if (this.#busy.has(session)) {
      this.#again.add(session);
      return;
    }
    this.#busy.add(session);
    try {
      do {
        this.#again.delete(session);
        await this.#errands(session);
      } while (this.#again.has(session));
    } finally {
      this.#busy.delete(session);
      this.#again.delete(session);
    }
  }

  async #errands(session: AgentSession): Promise<void> {
    await bringRoots(this.#parts, session);
    for (let count = 0; count < ERRANDS_MAX && session.socket.open; count += 1) {
      const open = await openOperations(this.#parts.store.db, session.vm.id);
      const errand = nextErrand(open, session, this.#parts.nowMs());
      if (!errand || !(await this.#run(session, errand))) return;
    }
  }

  /** Whether there may be more to do at once. */
  async #run(session: AgentSession, errand: NonNullable<Errand>): Promise<boolean> {
    switch (errand.do) {
      case 'prepare':
        await this.#prepare(session, errand.operation);
        return false;
      case 'mint':
        return this.#command(session, errand);
      case 'cancel':
        return this.#cancel(session, errand.operation, errand.operator);
    }
  }

  /** The machine keeps one executor ready: whatever else it was ready for, it no longer is. */
  async #prepare(session: AgentSession, operation: Operation): Promise<void> {
    const { op, draft, bulk } = operation;
    const at = this.#parts.nowMs();
    if (needsVersion(operation) > session.version) {
      await this.#parts.store.write(async (trx) => {
        const now = await findOperation(trx, op);
        if (now?.state !== 'QUEUED') return;
        await change(trx, now, { t: 'end', state: 'REFUSED', code: 'VERSION_UNSUPPORTED' }, at);
      });
      return;
    }
    // One of a bulk waits for its turn; the next look asks again.
    if (bulk && !bulk.turn && !(await takeTurn(this.#parts.store, { op, bulk: bulk.op }, at))) return;
    await this.#parts.store.write(async (trx) => {
      for (const other of await openOperations(trx, session.vm.id)) {
        if (other.op !== op && other.ready !== null) await change(trx, other, { t: 'unready' }, at);
      }
    });
    session.prepareSent(op, at);
    session.socket.send({ t: 'prepare', op: wireOp(operation), account: draft.account?.name ?? null });
  }

  async #command(session: AgentSession, { operation, previous }: MintErrand): Promise<boolean> {
    const { op, bulk, intent, ready } = operation;
    if (intent === null || ready === null) return false;
    try {
      // The signer goes by the key that the machine was enrolled with, so it has to have heard of that.
      await this.#handover.flush();
      const minted = await this.#parts.signer('command.mint', {
        op: wireOp(operation),
        ...(bulk ? { index: bulk.index } : {}),
        intent_hash: intent.hash,
        ready: ready.token,
        sealed: intent.sealed,
        previous,
      });
      const sent = await this.#persistSent(session, op, ready.token, {
        token: minted.token,
        sha256: minted.cmd_sha256,
        cn: minted.cn,
        expS: minted.exp,
        sentAt: this.#parts.nowMs(),
      });
      if (sent) {
        session.neverTaken.delete(op);
        session.sent.add(op);
        const carried = bulk ? { intent: await intentOf(this.#parts.store.db, bulk.op) } : {};
        session.socket.send({ t: 'command', op: wireOp(operation), token: minted.token, ...carried });
        this.#parts.log.info({ vm: session.vm.id, op, exp: minted.exp }, 'command sent');
      }
      return sent;
    } catch (error) {
      await this.#notSigned(operation, error);
      return false;
    }
  }

  /** Only if nothing happened to the operation while the signer worked: a cancel in between wins. */
  #persistSent(
    session: AgentSession,
    op: string,
    readyToken: string,
    command: NonNullable<Operation['command']>,
  ): Promise<boolean> {
    return this.#parts.store.write(async (trx) => {
      const now = await findOperation(trx, op);
      const current = this.#switchboard.of(session.vm.id) === session;
      // Elsewhere the machine may be connected, too, by now.
      if (!current || !(await isHeldBy(trx, session.vm.id, session.id))) return false;
      if (now?.ready?.token !== readyToken || now.cancelBy !== null) return false;
      await change(trx, now, { t: 'sent', command }, command.sentAt);
      return true;
    });
  }

  /** A signer that is away is asked again later; one that refuses ends the operation. */
  async #notSigned({ op, vm }: Operation, error: unknown): Promise<void> {
    const code = codeOf(error);
    if (!code) throw error;
    this.#parts.log.warn({ vm, op, code, details: (error as Failure).details }, 'command not signed');
    if (isSpent(error)) return this.#prepareAnew(op);
    // The signer has no turn for it yet, or its clock is behind ours: the next look asks again.
    if (code === 'RATE_LIMITED' || code === 'NOT_YET_VALID') return;
    if (codes[code].kind !== 'refusal') return;
    const state = code === 'EXPIRED' ? 'EXPIRED' : 'REFUSED';
    await this.#parts.store.write(async (trx) => {
      const now = await findOperation(trx, op);
      if (now && (now.state === 'PREPARED' || now.state === 'SENT') && now.chain === null) {
        await change(trx, now, { t: 'end', state, code }, this.#parts.nowMs());
      }
    });
  }

  /** Signed for this ready before, and lost on its way to us: nobody was sent it, so another executor takes its place. */
  #prepareAnew(op: string): Promise<void> {
    return this.#parts.store.write(async (trx) => {
      const now = await findOperation(trx, op);
      if (now && (now.state === 'PREPARED' || now.state === 'SENT') && now.ready !== null) {
        await change(trx, now, { t: 'unready' }, this.#parts.nowMs());
      }
    });
  }

  async #cancel(session: AgentSession, operation: Operation, operator: string): Promise<boolean> {
    const { op, vm } = operation;
    try {
      const { agent } = operation;
      const { token } = await this.#parts.signer('cancel.mint', { op: wireOp(operation), operator, agent });
      session.cancelSent(op);
      session.socket.send({ t: 'cancel', op: wireOp(operation), token });
      this.#parts.log.info({ vm, op, operator }, 'cancel sent');
      return true;
    } catch (error) {
      const code: Code | undefined = codeOf(error);
      if (!code) throw error;
      this.#parts.log.warn({ vm, op, code }, 'cancel not signed');
      return false;
    }
  }
}

/** What an older machine would not understand it is not asked. */
function needsVersion({ draft: { joinSha256, notBeforeS }, bulk }: Operation): number {
  if (joinSha256 !== undefined || notBeforeS !== undefined) return INITIALISE_SINCE;
  return bulk ? LISTS_SINCE : 0;
}

/** The signer has used this ready's nonce already. */
function isSpent(error: unknown): boolean {
  return error instanceof Failure && error.code === 'NONCE_UNKNOWN' && error.details['reason'] === 'used';
}

/** For callers that do not wait for the machine: what goes wrong is logged, and the next look tries again. */
export function nudge(dispatcher: Dispatcher, parts: Pick<GatewayParts, 'log'>, vm: string): void {
  outsideRequests(() => dispatcher.advance(vm)).catch((error: unknown) => {
    parts.log.error(
      { vm, code: codeOf(error) ?? 'INTERNAL', defect: error instanceof Failure ? null : String(error) },
      'dispatch failed',
    );
  });
}
