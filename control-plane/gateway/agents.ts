// What the API asks of agents, wherever they are connected: through a gateway of this program, or through another's, which
// is then asked through the store.

import { Failure } from '../../protocol/failure.ts';
import { holderOf, onlineVms } from '../store/gateways.ts';
import type { StoredPreflight } from '../store/preflights.ts';
import { askGateway } from '../store/questions.ts';
import type { Store } from '../store/store.ts';
import type { Vm } from '../store/vms.ts';
import { type Answer, foundIn } from './answers.ts';
import type { Gateway } from './gateway.ts';
import { PREFLIGHT_PATIENCE_MS } from './preflights.ts';

/** The gateway hears of the question, and we of its answer, a little later. */
const WAY_MS = 3_000;

export class Agents {
  readonly #store: Store;
  readonly #gateway: Gateway | null;

  /** `gateway` is this program's own, if it has one. */
  constructor(store: Store, gateway: Gateway | null) {
    this.#store = store;
    this.#gateway = gateway;
  }

  /** Which of these machines are connected. */
  online(vms: readonly string[]): Promise<ReadonlySet<string>> {
    return onlineVms(this.#store.db, vms);
  }

  async isOnline(vm: string): Promise<boolean> {
    return (await this.online([vm])).has(vm);
  }

  /** Something about this machine's operations changed. */
  nudge(vm: string): void {
    void this.#store.tell(vm);
  }

  /** Throws as `Preflights.ask` does. */
  async preflight(vm: Vm, operator: string): Promise<StoredPreflight> {
    const holder = await holderOf(this.#store.db, vm.id);
    if (this.#gateway && (holder === null || holder.gateway === this.#gateway.id)) {
      return this.#gateway.preflights.ask(vm, operator);
    }
    if (!holder) throw new Failure('AGENT_OFFLINE', { vm: vm.name });
    const asked = { vm: vm.id, gateway: holder.gateway };
    const patience = PREFLIGHT_PATIENCE_MS + WAY_MS;
    const answer = await askGateway(this.#store, asked, { ask: 'preflight', operator }, patience);
    if (answer === null) throw new Failure('AGENT_OFFLINE', { vm: vm.name });
    return foundIn(answer as Answer<StoredPreflight>);
  }

  /** An operator asks once more to cancel: the machine is told once more. */
  async cancelAgain(vm: string, op: string): Promise<void> {
    const holder = await holderOf(this.#store.db, vm);
    if (this.#gateway && holder?.gateway === this.#gateway.id) return this.#gateway.cancelAgain(vm, op);
    if (!holder) return;
    // Nobody waits: the cancel is in the store, and a machine that was never told is told anyway.
    await askGateway(this.#store, { vm, gateway: holder.gateway }, { ask: 'cancel', op }, WAY_MS);
  }
}
