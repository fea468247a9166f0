// Brings to the signer what its audit has to hear of, in order, a few at a time. What it has not taken stays in the store; while it
// is away everything waits.

import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf } from '../../protocol/failure.ts';
import { SEEN_MAX } from '../signer/requests.ts';
import { isFirst } from '../store/gateways.ts';
import { handedOver, waitingItems } from '../store/handover.ts';
import type { GatewayParts } from './parts.ts';

const AGAIN_MS = 2_000;

export class Handover {
  readonly #parts: GatewayParts;
  #tail: Promise<void> = Promise.resolve();
  readonly #ending = new AbortController();
  #running: Promise<void> | undefined;

  constructor(parts: GatewayParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#running;
    await this.#tail.catch(() => undefined);
  }

  /** All that waits now; throws where the signer is away. */
  flush(): Promise<void> {
    const turn = this.#tail.catch(() => undefined).then(() => this.#bring());
    this.#tail = turn;
    return turn;
  }

  async #run(): Promise<void> {
    const { id, store, log } = this.#parts;
    const { signal } = this.#ending;
    while (!signal.aborted) {
      const { rings } = store.bell;
      try {
        // Of several gateways one goes around; the others bring what they need to have told before they ask for a command.
        const first = await isFirst(store.db, id);
        if (first) await this.flush();
        await store.bell.next(rings, first ? signal : AbortSignal.any([signal, AbortSignal.timeout(AGAIN_MS)]));
      } catch (error) {
        log.warn({ code: codeOf(error) ?? 'INTERNAL' }, 'the audit was not told; it will be');
        await sleep(AGAIN_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async #bring(): Promise<void> {
    const { store, signer } = this.#parts;
    for (;;) {
      const waiting = await waitingItems(store.db, SEEN_MAX);
      const last = waiting.at(-1);
      if (!last) return;
      await signer('audit.take', { items: waiting.map(({ item }) => item) });
      // Told again after a crash in between: what the signer has, it takes once; of a notice it may have two.
      await store.write((trx) => handedOver(trx, last.seq));
    }
  }
}
