// What a machine says once it is connected: ready, receipts, refusals, facts. Signed words are verified with that
// machine's own key and stored before they are answered; unsigned ones move nothing.

import { Failure } from '../../protocol/failure.ts';
import { thumbprint } from '../../protocol/keys.ts';
import { isEnd } from '../../protocol/lifecycle.ts';
import { type Receipt, receipt as receiptSchema } from '../../protocol/receipt.ts';
import { parseSchema } from '../../protocol/schema.ts';
import { type Ack, type Facts, type Ready, ready as readySchema, type UpFrame } from '../../protocol/session.ts';
import { onlyKey, signToken, type VerifiedToken, verifyToken } from '../../protocol/token.ts';
import { fateAfterSync } from '../core/dispatch.ts';
import type { Operation } from '../core/operation.ts';
import { judgeReceipt } from '../core/receive.ts';
import { appendEvent } from '../store/events.ts';
import { isHeldBy } from '../store/gateways.ts';
import { handOver } from '../store/handover.ts';
import { rememberNonce } from '../store/nonces.ts';
import { change, findOperation, findSaid, insertReceipt, openOperations, receiptSha256 } from '../store/operations.ts';
import type { Write } from '../store/store.ts';
import { updateVm } from '../store/vms.ts';
import type { AgentSession } from './agent-session.ts';
import type { GatewayParts } from './parts.ts';
import type { Preflights } from './preflights.ts';
import { bringRoots } from './roots.ts';

export class Intake {
  readonly #parts: GatewayParts;
  readonly #preflights: Preflights;

  constructor(parts: GatewayParts, preflights: Preflights) {
    this.#parts = parts;
    this.#preflights = preflights;
  }

  /** Takes one frame; throws the code of a signed word that does not hold, which ends the connection. */
  async take(session: AgentSession, frame: UpFrame): Promise<void> {
    switch (frame.t) {
      case 'ready':
        return this.#ready(session, frame.op, frame.token);
      case 'receipt':
        return this.#receipt(session, frame.token);
      case 'refused':
        return this.#refused(session, frame.op, frame.code);
      case 'synced':
        return this.#synced(session, frame.open);
      case 'facts':
        return this.#facts(session, frame.facts);
      case 'preflight':
        return this.#preflights.answered(session, frame.token);
      case 'no_preflight':
        return this.#preflights.notAnswered(session, frame.nonce, frame.code);
      case 'heartbeat':
        return;
      default:
        throw new Failure('SCHEMA_INVALID', { field: 't', reason: frame.t });
    }
  }

  async #ready(session: AgentSession, said: string, token: string): Promise<void> {
    const ready = parseSchema(readySchema, (await this.#verify(session, token, 'lk-ready+jws')).payload);
    if (ready.agent !== session.vm.agent || ready.op !== said) throw new Failure('AUD_MISMATCH', { vm: session.vm.id });
    const op = await this.#meant(session, said);
    await this.#parts.store.write(async (trx) => {
      const at = this.#parts.nowMs();
      if (!(await rememberNonce(trx, ready.cn, at))) {
        return this.#alarm(trx, session, { reason: 'nonce_repeated', op });
      }
      const operation = await findOperation(trx, op);
      // An answer to an older question, or to one that this machine was not asked.
      if (!operation || isEnd(operation.state) || session.asked?.op !== op) return;
      if (operation.chain !== null) return;
      // By now the machine may be connected elsewhere.
      if (!(await isHeldBy(trx, session.vm.id, session.id))) return;
      await change(trx, operation, { t: 'ready', ready: { token, at }, seen: sightingOf(ready) }, at);
    });
    session.prepareAnswered(op);
  }

  async #receipt(session: AgentSession, token: string): Promise<void> {
    const verified = await this.#verify(session, token, 'lk-receipt+jws');
    const receipt = parseSchema(receiptSchema, verified.payload);
    const op = await this.#meant(session, receipt.op);
    const meant = { ...receipt, op };
    const stored = await this.#parts.store.write((trx) => this.#store(trx, session, meant, token, verified));
    if (!stored) return;
    session.neverTaken.delete(op);
    const payload: Ack = { v: 1, agent: session.vm.agent, op: receipt.op, n: receipt.n };
    await bringRoots(this.#parts, session);
    const { key } = await this.#parts.authority.current();
    session.socket.send({ t: 'ack', token: await signToken('lk-ack+jws', payload, key) });
  }

  /** Whether it is to be acknowledged: it is stored now, was before, or can never be. */
  async #store(
    trx: Write,
    session: AgentSession,
    receipt: Receipt,
    token: string,
    { payloadSha256 }: VerifiedToken,
  ): Promise<boolean> {
    const { op, n } = receipt;
    const operation = await findOperation(trx, op);
    if (!operation) {
      // As after a backup was restored: it can never be of use here, and kept back it would hold up all that follow it.
      await this.#alarm(trx, session, { reason: 'unknown_operation', op, n, state: receipt.state, code: receipt.code });
      return true;
    }
    if (operation.vm !== session.vm.id) {
      await this.#alarm(trx, session, { reason: 'foreign_operation', op, n });
      return false;
    }
    const judged = judgeReceipt(operation, receipt, payloadSha256, await receiptSha256(trx, op, n));
    if (judged.verdict === 'duplicate') return true;
    const at = this.#parts.nowMs();
    if (judged.verdict === 'refused') {
      this.#parts.log.warn({ vm: session.vm.id, op, n, reason: judged.reason }, 'receipt not taken');
      const alarm = { t: 'alarm', reason: judged.reason, n, code: receipt.code } as const;
      if (!session.mayAlarm()) return false;
      await change(trx, operation, alarm, at);
      // What the machine signed is evidence of what is missing.
      if (judged.reason === 'gap' || judged.reason === 'fork') await handOver(trx, { t: 'receipt', token });
      return false;
    }
    const { state, code, warnings, detail, sealed = null, boot, mono } = receipt;
    // What comes before `synced` had waited in the machine.
    const facts = {
      n,
      sha256: payloadSha256,
      state,
      code,
      warnings,
      detail,
      sealed,
      machine: { boot, mono },
      late: !session.synced,
    };
    await insertReceipt(trx, receipt, token, payloadSha256, at);
    const moved = await change(trx, operation, { t: 'receipt', receipt: facts }, at);
    // Nothing here can build such a command: whoever signed it had the key and another program.
    if (code === 'REROOT_REFUSED') {
      this.#parts.log.warn({ vm: session.vm.id, op, reason: detail.reason }, 'alarm: a reset by reroot was asked for');
      await change(trx, moved, { t: 'alarm', reason: 'reroot_refused', n, code }, at);
    }
    return true;
  }

  async #refused(session: AgentSession, said: string, code: string): Promise<void> {
    const op = await this.#meant(session, said);
    this.#parts.log.info({ vm: session.vm.id, op, code }, 'refused by the agent');
    session.prepareRefused(op, this.#parts.nowMs());
    session.cancelRefused(op, this.#parts.nowMs());
    await this.#parts.store.write(async (trx) => {
      const operation = await findOperation(trx, op);
      if (operation?.vm !== session.vm.id || isEnd(operation.state)) return;
      const at = this.#parts.nowMs();
      // Unsigned, so it moves nothing; of what the machine holds it still tells why that does not go on.
      const waiting = operation.ready === null ? operation : await change(trx, operation, { t: 'unready' }, at);
      await change(trx, waiting, { t: 'reason', code }, at);
    });
  }

  /** The machine has said all it had to say: what it does not know of was never taken. */
  async #synced(session: AgentSession, open: string | null): Promise<void> {
    const isUnsettled = ({ state, op }: Operation) => state === 'SENT' && !session.sent.has(op);
    // Most have none, and a fleet that comes back at once must not wait for a commit each for it: nothing becomes SENT meanwhile.
    if ((await openOperations(this.#parts.store.db, session.vm.id)).some(isUnsettled)) {
      await this.#parts.store.write(async (trx) => {
        const at = this.#parts.nowMs();
        for (const operation of await openOperations(trx, session.vm.id)) {
          if (isUnsettled(operation)) await this.#settle(trx, session, operation, open, at);
        }
      });
    }
    session.synced = true;
  }

  async #settle(trx: Write, session: AgentSession, operation: Operation, open: string | null, at: number) {
    const fate = fateAfterSync(operation, open, at);
    if (fate === 'held') return;
    if (fate === 'again') session.neverTaken.add(operation.op);
    else await change(trx, operation, { t: 'end', state: 'EXPIRED', code: fate.end }, at);
    this.#parts.log.info({ vm: session.vm.id, op: operation.op, fate }, 'command was never taken');
  }

  async #facts({ vm }: AgentSession, facts: Facts): Promise<void> {
    await this.#parts.store.write(async (trx) => {
      await updateVm(trx, vm.id, { facts_json: JSON.stringify(facts), boot: facts.boot });
      const data = { hostname: facts.hostname, boot: facts.boot };
      await appendEvent(trx, { at: this.#parts.nowMs(), vm: vm.id, op: null, type: 'vm.facts', data });
    });
  }

  /** Here each machine of a bulk has an operation of its own; what is said of none is judged as it is. */
  async #meant({ vm }: AgentSession, said: string): Promise<string> {
    return (await findSaid(this.#parts.store.db, vm.id, said))?.op ?? said;
  }

  async #verify({ vm }: AgentSession, token: string, typ: 'lk-ready+jws' | 'lk-receipt+jws'): Promise<VerifiedToken> {
    return verifyToken(token, typ, onlyKey(await thumbprint(vm.ek), vm.ek));
  }

  async #alarm(
    trx: Write,
    session: AgentSession,
    data: Readonly<{ reason: string; op: string; n?: number; state?: string; code?: string | null }>,
  ): Promise<void> {
    this.#parts.log.warn({ vm: session.vm.id, ...data }, 'alarm');
    if (!session.mayAlarm()) return;
    await appendEvent(trx, { at: this.#parts.nowMs(), vm: session.vm.id, op: null, type: 'operation.alarm', data });
  }
}

function sightingOf({ account, account_code, vnc, warnings }: Ready) {
  return { account, accountCode: account_code, vnc, warnings };
}
