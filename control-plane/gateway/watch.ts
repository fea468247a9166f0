// The passing of time: every few seconds and at the start, each open operation is asked what is due, silent connections
// are ended, and machines that wait for something are looked at again.

import { codeOf } from '../../protocol/failure.ts';
import { HEARTBEAT_INTERVAL_MS, SILENCE_MS_MAX } from '../../protocol/limits.ts';
import { due } from '../core/due.ts';
import { forgetNoncesBefore } from '../store/nonces.ts';
import { change, findOperation, operationsUnderWatch } from '../store/operations.ts';
import { updateVm } from '../store/vms.ts';
import { type Dispatcher, nudge } from './dispatcher.ts';
import type { GatewayParts } from './parts.ts';
import { bringRoots } from './roots.ts';
import type { Switchboard } from './switchboard.ts';

const LOOK_INTERVAL_MS = 2_000;
const NONCE_MEMORY_MS = 90 * 86_400_000;
const FORGET_INTERVAL_MS = 3_600_000;

export class Watch {
  readonly #parts: GatewayParts;
  readonly #switchboard: Switchboard;
  readonly #dispatcher: Dispatcher;
  #timers: NodeJS.Timeout[] = [];
  #looking: Promise<void> = Promise.resolve();

  constructor(parts: GatewayParts, switchboard: Switchboard, dispatcher: Dispatcher) {
    this.#parts = parts;
    this.#switchboard = switchboard;
    this.#dispatcher = dispatcher;
  }

  start(): void {
    const look = () => {
      this.#looking = this.#looking.then(() => this.look()).catch((error: unknown) => this.#failed(error));
    };
    const beat = () => {
      this.#looking = this.#looking.then(() => this.#beat()).catch((error: unknown) => this.#failed(error));
    };
    const forget = () => {
      this.#looking = this.#looking.then(() => this.#forget()).catch((error: unknown) => this.#failed(error));
    };
    this.#timers = [
      setInterval(look, LOOK_INTERVAL_MS),
      setInterval(beat, HEARTBEAT_INTERVAL_MS),
      setInterval(forget, FORGET_INTERVAL_MS),
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
    const waiting = new Set<string>();
    for (const seen of await operationsUnderWatch(store.db)) {
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

  /** Pings everybody, ends who was silent for too long, and writes down in one go who was heard of. */
  async #beat(): Promise<void> {
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

  #forget(): Promise<void> {
    const { store, nowMs } = this.#parts;
    return store.write((trx) => forgetNoncesBefore(trx, nowMs() - NONCE_MEMORY_MS));
  }

  #failed(error: unknown): void {
    this.#parts.log.error({ code: codeOf(error) ?? 'INTERNAL', defect: String(error) }, 'watch failed');
  }
}
