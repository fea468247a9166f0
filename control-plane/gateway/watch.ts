// The passing of time: every few seconds and at the start, each open operation is asked what is due, silent connections
// are ended, and machines that wait for something are looked at again.

import { codeOf } from '../../protocol/failure.ts';
import { HEARTBEAT_INTERVAL_MS, SILENCE_MS_MAX } from '../../protocol/limits.ts';
import { due } from '../core/due.ts';
import { appendEvent } from '../store/events.ts';
import {
  abandoned,
  BEAT_INTERVAL_MS,
  beat,
  disconnect,
  heldElsewhere,
  isHeldBy,
  removeSilentGateways,
  sessionsOf,
} from '../store/gateways.ts';
import { forgetAnswersBefore } from '../store/kept-answers.ts';
import { forgetNoncesBefore } from '../store/nonces.ts';
import { change, dropReadies, findOperation, operationsUnderWatch } from '../store/operations.ts';
import { forgetQuestions } from '../store/questions.ts';
import { forgetOld } from '../store/retention.ts';
import { updateVm } from '../store/vms.ts';
import { type Dispatcher, nudge } from './dispatcher.ts';
import type { GatewayParts } from './parts.ts';
import type { Questions } from './questions.ts';
import { bringRoots } from './roots.ts';
import type { Switchboard } from './switchboard.ts';

const LOOK_INTERVAL_MS = 2_000;
const NONCE_MEMORY_MS = 90 * 86_400_000;
/** Nobody sends a request again after this long. */
const ANSWER_MEMORY_MS = 86_400_000;
const FORGET_INTERVAL_MS = 3_600_000;

export class Watch {
  readonly #parts: GatewayParts;
  readonly #switchboard: Switchboard;
  readonly #dispatcher: Dispatcher;
  readonly #questions: Questions;
  #timers: NodeJS.Timeout[] = [];
  #looking: Promise<void> = Promise.resolve();

  constructor(
    parts: GatewayParts,
    switchboard: Switchboard,
    { dispatcher, questions }: Readonly<{ dispatcher: Dispatcher; questions: Questions }>,
  ) {
    this.#parts = parts;
    this.#switchboard = switchboard;
    this.#dispatcher = dispatcher;
    this.#questions = questions;
  }

  start(): void {
    const inTurn = (work: () => Promise<void>) => () => {
      this.#looking = this.#looking.then(work).catch((error: unknown) => this.#failed(error));
    };
    const look = inTurn(() => this.look());
    // Out of turn: a look that takes long must not cost the lease.
    const beat = () => this.#beat().catch((error: unknown) => this.#failed(error));
    this.#timers = [
      setInterval(look, LOOK_INTERVAL_MS),
      setInterval(() => void beat(), BEAT_INTERVAL_MS),
      setInterval(
        inTurn(() => this.#pulse()),
        HEARTBEAT_INTERVAL_MS,
      ),
      setInterval(
        inTurn(() => this.#forget()),
        FORGET_INTERVAL_MS,
      ),
    ];
    look();
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#looking;
  }

  /** One look at everything. */
  async look(): Promise<void> {
    const { store, nowMs, log } = this.#parts;
    await this.takeOver();
    await this.#endStrangers();
    await this.#questions.look();
    const waiting = new Set<string>();
    const elsewhere = await heldElsewhere(store.db, this.#parts.id);
    for (const seen of await operationsUnderWatch(store.db)) {
      // What its gateway knows of the connection decides.
      if (elsewhere.has(seen.vm)) continue;
      waiting.add(seen.vm);
      if (!due(seen, this.#switchboard.presence(seen.vm, seen.op), nowMs())) continue;
      await store.write(async (trx) => {
        const now = await findOperation(trx, seen.op);
        const step = now && due(now, this.#switchboard.presence(now.vm, now.op), nowMs());
        if (!now || !step) return;
        await change(trx, now, step, nowMs());
        log.info({ op: now.op, vm: now.vm, step: step.t, code: 'code' in step ? step.code : null }, 'due');
      });
    }
    // A root that withdraws a key must not wait for the next connection.
    for (const session of this.#switchboard.all()) await bringRoots(this.#parts, session);
    for (const vm of waiting) nudge(this.#dispatcher, this.#parts, vm);
  }

  /** Machines of gateways that no longer run are connected nowhere. */
  async takeOver(): Promise<void> {
    const { store, nowMs, log } = this.#parts;
    await store.write((trx) => removeSilentGateways(trx));
    for (const { vm, gateway, session } of await abandoned(store.db)) {
      await store.write(async (trx) => {
        if (!(await isHeldBy(trx, vm, session))) return;
        const at = nowMs();
        await disconnect(trx, { vm, session });
        await dropReadies(trx, vm, at);
        await appendEvent(trx, { at, vm, op: null, type: 'vm.offline', data: {} });
      });
      log.warn({ vm, gateway }, 'its gateway is gone');
    }
  }

  /** Connections that the store no longer has: their machines are connected elsewhere, or held. */
  async #endStrangers(): Promise<void> {
    const known = await sessionsOf(this.#parts.store.db, this.#parts.id);
    for (const session of this.#switchboard.all()) {
      if (session.entered && !known.has(session.id)) session.socket.leave();
    }
  }

  #beat(): Promise<void> {
    return this.#parts.store.write((trx) => beat(trx, this.#parts.id));
  }

  /** Pings everybody, ends who was silent for too long, and writes down in one go who was heard of. */
  async #pulse(): Promise<void> {
    const { store, nowMs } = this.#parts;
    const sessions = this.#switchboard.all();
    for (const { socket } of sessions) {
      if (socket.silentMs() > SILENCE_MS_MAX) socket.terminate();
      else socket.ping();
    }
    if (sessions.length === 0) return;
    await store.write(async (trx) => {
      for (const { vm, socket } of sessions) {
        await updateVm(trx, vm.id, { last_seen: Math.floor(nowMs() - socket.silentMs()) });
      }
    });
  }

  async #forget(): Promise<void> {
    const { store, nowMs, retention } = this.#parts;
    await store.write(async (trx) => {
      await forgetNoncesBefore(trx, nowMs() - NONCE_MEMORY_MS);
      await forgetAnswersBefore(trx, nowMs() - ANSWER_MEMORY_MS);
      await forgetQuestions(trx);
    });
    await forgetOld(store, retention, nowMs());
  }

  #failed(error: unknown): void {
    this.#parts.log.error({ code: codeOf(error) ?? 'INTERNAL', defect: String(error) }, 'watch failed');
  }
}
