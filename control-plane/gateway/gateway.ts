// The agents' side of the control plane: takes upgraded sockets through the handshake into sessions, feeds what they say
// to the intake, and looks after each operation that a word or the time concerns.

import { codeOf, Failure } from '../../protocol/failure.ts';
import type { UpFrame } from '../../protocol/session.ts';
import { appendEvent } from '../store/events.ts';
import { change, openOperations, operationsUnderWatch } from '../store/operations.ts';
import { quarantineVm, updateVm } from '../store/vms.ts';
import type { AgentSession } from './agent-session.ts';
import type { AgentSocket } from './agent-socket.ts';
import { Dispatcher, nudge } from './dispatcher.ts';
import { Handover } from './handover.ts';
import { shakeHands } from './handshake.ts';
import { Intake } from './intake.ts';
import type { GatewayParts } from './parts.ts';
import { Preflights } from './preflights.ts';
import { Switchboard } from './switchboard.ts';
import { Watch } from './watch.ts';

/** What changes nothing about any operation. */
const SMALL_TALK: readonly UpFrame['t'][] = ['heartbeat', 'facts', 'preflight', 'no_preflight'];

export class Gateway {
  readonly switchboard = new Switchboard();
  readonly preflights: Preflights;
  readonly #parts: GatewayParts;
  readonly #dispatcher: Dispatcher;
  readonly #intake: Intake;
  readonly #handover: Handover;
  readonly #watch: Watch;
  /** Open sockets, each with the promise of its end. */
  readonly #serving = new Map<AgentSocket, Promise<void>>();
  #stopping = false;

  constructor(parts: GatewayParts) {
    this.#parts = parts;
    this.#handover = new Handover(parts);
    this.#dispatcher = new Dispatcher(parts, this.switchboard, this.#handover);
    this.preflights = new Preflights(parts, this.switchboard);
    this.#intake = new Intake(parts, this.preflights);
    this.#watch = new Watch(parts, this.switchboard, this.#dispatcher);
  }

  /** No machine is connected at the start, so none is ready, whatever the store says. */
  async start(): Promise<void> {
    const { store, nowMs } = this.#parts;
    for (const { vm } of await operationsUnderWatch(store.db)) await this.#dropReadies(vm, nowMs());
    this.#watch.start();
    this.#handover.start();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#watch.stop();
    for (const socket of this.#serving.keys()) socket.leave();
    await Promise.all(this.#serving.values());
    await this.#handover.stop();
  }

  /** Asks of every operation what is due now; also done every few seconds. */
  look(): Promise<void> {
    return this.#watch.look();
  }

  /** Something about this machine's operations changed. */
  nudge(vm: string): void {
    nudge(this.#dispatcher, this.#parts, vm);
  }

  /** An operator asks once more to cancel: the machine is told once more. */
  cancelAgain(vm: string, op: string): void {
    this.switchboard.of(vm)?.cancelled.delete(op);
    this.nudge(vm);
  }

  /** Serves one socket until its end. `onProven` is called once the peer has proven itself. */
  serve(socket: AgentSocket, onProven: () => void): void {
    const serving: Promise<void> = this.#serve(socket, onProven)
      .catch((error: unknown) => {
        const code = codeOf(error) ?? 'INTERNAL';
        const details = error instanceof Failure ? error.details : { defect: String(error) };
        this.#parts.log.warn({ code, details }, 'connection ended');
        socket.refuse();
      })
      .finally(() => this.#serving.delete(socket));
    this.#serving.set(socket, serving);
  }

  async #serve(socket: AgentSocket, onProven: () => void): Promise<void> {
    const session = this.#stopping ? null : await shakeHands(this.#parts, this.switchboard, socket, onProven);
    if (!session) return socket.refuse();
    await this.#enter(session);
    try {
      for (let frame = await socket.next(); frame; frame = await socket.next()) {
        await session.allowance();
        await this.#intake.take(session, frame);
        if (!SMALL_TALK.includes(frame.t)) this.nudge(session.vm.id);
      }
      if (socket.refusal) throw socket.refusal;
    } finally {
      await this.#leave(session);
    }
  }

  async #enter(session: AgentSession): Promise<void> {
    const { vm } = session;
    const at = this.#parts.nowMs();
    const older = this.switchboard.of(vm.id);
    this.switchboard.enter(session);
    // Both proved themselves at the same time: neither saw the other during its handshake.
    const twins = older?.socket.open ?? false;
    older?.socket.terminate();
    await this.#dropReadies(vm.id, at);
    if (twins) {
      await this.#parts.store.write((trx) => quarantineVm(trx, vm.id, 'CLONE_SUSPECTED', at));
      this.switchboard.leave(session);
      throw new Failure('CLONE_SUSPECTED', { vm: vm.id });
    }
    await this.#parts.store.write(async (trx) => {
      await appendEvent(trx, { at, vm: vm.id, op: null, type: 'vm.online', data: {} });
    });
    this.#parts.log.info({ vm: vm.id, name: vm.name }, 'connected');
  }

  async #leave(session: AgentSession): Promise<void> {
    const { vm } = session;
    this.preflights.left(session);
    // A session that was replaced says nothing: the machine is online through the newer one.
    if (!this.switchboard.leave(session)) return;
    const at = this.#parts.nowMs();
    await this.#dropReadies(vm.id, at);
    await this.#parts.store.write(async (trx) => {
      await updateVm(trx, vm.id, { last_seen: Math.floor(at - session.socket.silentMs()) });
      await appendEvent(trx, { at, vm: vm.id, op: null, type: 'vm.offline', data: {} });
    });
    this.#parts.log.info({ vm: vm.id, name: vm.name }, 'disconnected');
  }

  /** A ready belongs to the connection on which it was said. */
  async #dropReadies(vm: string, at: number): Promise<void> {
    await this.#parts.store.write(async (trx) => {
      for (const operation of await openOperations(trx, vm)) {
        if (operation.ready !== null) await change(trx, operation, { t: 'unready' }, at);
      }
    });
  }
}
