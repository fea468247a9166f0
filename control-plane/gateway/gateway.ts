// The agents' side of the control plane: takes upgraded sockets through the handshake into sessions, feeds what they say
// to the intake, and looks after each operation that a word or the time concerns.

import { codeOf, Failure } from '../../protocol/failure.ts';
import { RECONNECT_MS_MAX, RECONNECT_MS_MIN } from '../../protocol/limits.ts';
import type { UpFrame } from '../../protocol/session.ts';
import { appendEvent } from '../store/events.ts';
import { beat, connect, disconnect, heldElsewhere, removeAllGateways, removeGateway } from '../store/gateways.ts';
import { dropReadies, operationsUnderWatch } from '../store/operations.ts';
import { quarantineVm, updateVm } from '../store/vms.ts';
import type { AgentSession } from './agent-session.ts';
import type { AgentSocket } from './agent-socket.ts';
import { Dispatcher, nudge } from './dispatcher.ts';
import { Handover } from './handover.ts';
import { shakeHands } from './handshake.ts';
import { Intake } from './intake.ts';
import type { GatewayParts } from './parts.ts';
import { Preflights } from './preflights.ts';
import { Questions } from './questions.ts';
import { Switchboard } from './switchboard.ts';
import { Watch } from './watch.ts';

/** What changes nothing about any operation. */
const SMALL_TALK: readonly UpFrame['t'][] = ['heartbeat', 'facts', 'preflight', 'no_preflight'];

/** Full handshakes that a gateway is to be asked for in a second: a quarter of what one core was measured to do. */
const RECONNECTS_PER_SECOND = 250;

/** Within what time that many machines shall come back, so that nobody has to take all of them at once. */
export function restartSpreadMs(machines: number): number {
  const wanted = Math.ceil((machines * 1_000) / RECONNECTS_PER_SECOND);
  return Math.min(RECONNECT_MS_MAX, Math.max(2 * RECONNECT_MS_MIN, wanted));
}

export class Gateway {
  readonly switchboard = new Switchboard();
  readonly preflights: Preflights;
  readonly #parts: GatewayParts;
  readonly #dispatcher: Dispatcher;
  readonly #intake: Intake;
  readonly #handover: Handover;
  readonly #watch: Watch;
  readonly #questions: Questions;
  #deafen: () => void = () => undefined;
  /** Open sockets, each with the promise of its end. */
  readonly #serving = new Map<AgentSocket, Promise<void>>();
  #stopping = false;

  constructor(parts: GatewayParts) {
    this.#parts = parts;
    this.#handover = new Handover(parts);
    this.#dispatcher = new Dispatcher(parts, this.switchboard, this.#handover);
    this.preflights = new Preflights(parts, this.switchboard);
    this.#intake = new Intake(parts, this.preflights);
    this.#questions = new Questions(parts, this);
    this.#watch = new Watch(parts, this.switchboard, { dispatcher: this.#dispatcher, questions: this.#questions });
  }

  get id(): string {
    return this.#parts.id;
  }

  /** A machine that is connected nowhere is not ready, whatever the store says. */
  async start(): Promise<void> {
    const { id, store } = this.#parts;
    await store.write(async (trx) => {
      if (!store.isShared) await removeAllGateways(trx);
      await beat(trx, id);
    });
    await this.#watch.takeOver();
    const elsewhere = await heldElsewhere(store.db, id);
    for (const { vm } of await operationsUnderWatch(store.db)) {
      if (!elsewhere.has(vm)) await store.write((trx) => dropReadies(trx, vm, this.#parts.nowMs()));
    }
    this.#deafen = store.bell.listen((vm) => this.#heard(vm));
    this.#watch.start();
    this.#handover.start();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#deafen();
    await this.#watch.stop();
    const withinMs = restartSpreadMs(this.#serving.size);
    for (const socket of this.#serving.keys()) socket.restart(withinMs);
    await Promise.all(this.#serving.values());
    await this.#dispatcher.settled();
    await this.#questions.stop();
    await this.#parts.store.write((trx) => removeGateway(trx, this.id));
    await this.#handover.stop();
  }

  /** Asks of every operation what is due now; also done every few seconds. */
  look(): Promise<void> {
    return this.#watch.look();
  }

  /** An operator asks once more to cancel: the machine is told once more. */
  cancelAgain(vm: string, op: string): void {
    this.switchboard.of(vm)?.cancelled.delete(op);
    this.#nudge(vm);
  }

  #nudge(vm: string): void {
    nudge(this.#dispatcher, this.#parts, vm);
  }

  /** Something about this machine changed, here or elsewhere; `null`: about any. */
  #heard(vm: string | null): void {
    const session = vm === null ? undefined : this.switchboard.of(vm);
    if (vm !== null && !session) return;
    this.#questions.nudge();
    for (const concerned of session ? [session] : this.switchboard.all()) this.#nudge(concerned.vm.id);
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
        if (!SMALL_TALK.includes(frame.t)) this.#nudge(session.vm.id);
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
    const twinsHere = older?.socket.open ?? false;
    older?.socket.terminate();
    const connection = { vm: vm.id, gateway: this.id, session: session.id };
    const twins = await this.#parts.store.write(async (trx) => {
      await dropReadies(trx, vm.id, at);
      if (twinsHere || !(await connect(trx, connection, at, session.replaces))) return true;
      await appendEvent(trx, { at, vm: vm.id, op: null, type: 'vm.online', data: {} });
      return false;
    });
    session.entered = true;
    if (twins) {
      await this.#parts.store.write((trx) => quarantineVm(trx, vm.id, 'CLONE_SUSPECTED', at));
      this.switchboard.leave(session);
      throw new Failure('CLONE_SUSPECTED', { vm: vm.id });
    }
    this.#parts.log.info({ vm: vm.id, name: vm.name }, 'connected');
  }

  async #leave(session: AgentSession): Promise<void> {
    const { vm } = session;
    this.preflights.left(session);
    // A session that was replaced says nothing: the machine is online through the newer one.
    if (!this.switchboard.leave(session)) return;
    const at = this.#parts.nowMs();
    await this.#parts.store.write(async (trx) => {
      // It is connected elsewhere by now, and may be ready there.
      if (!(await disconnect(trx, { vm: vm.id, session: session.id }))) return;
      await dropReadies(trx, vm.id, at);
      await updateVm(trx, vm.id, { last_seen: Math.floor(at - session.socket.silentMs()) });
      await appendEvent(trx, { at, vm: vm.id, op: null, type: 'vm.offline', data: {} });
    });
    this.#parts.log.info({ vm: vm.id, name: vm.name }, 'disconnected');
  }
}
