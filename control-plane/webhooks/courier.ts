// Brings webhooks to their receivers: makes messages of what happened, takes those that are due in hand, tries them, and writes
// down what came of it. Several programs do this over one database. Receivers do not wait for each other: each has attempts
// of its own, and one that is slow holds up its own messages alone.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { codeOf } from '../../protocol/failure.ts';
import { toBase64url } from '../../protocol/keys.ts';
import { newId } from '../../protocol/schema.ts';
import type { RandomBytes } from '../config/random-kernel.ts';
import { afterAttempt, PACE, type Pace } from '../core/webhook.ts';
import { outsideRequests } from '../request-scope.ts';
import type { StoredEvent } from '../store/events.ts';
import type { Store } from '../store/store.ts';
import {
  type Claimed,
  claimDeliveries,
  dueWebhooks,
  freeHands,
  nextDueMs,
  recordAttempt,
  releaseDelivery,
  spreadEvents,
  waitingWebhooks,
} from '../store/webhooks.ts';
import { type PostParts, post } from './post.ts';
import { signedHeaders } from './signature.ts';

/** Attempts at one receiver at a time. */
const IN_HAND_MAX = 8;
export const ATTEMPT_MS_MAX = 15_000;
/** Longer than an attempt and the writing down of its end. */
const LEASE_MS = 60_000;
/** Rings may be missed, and leases of other programs end. */
const LOOK_MS_MAX = 5_000;
/** Rings come in crowds, and most are not about webhooks. */
const LOOK_MS_MIN = 50;

export type CourierParts = Readonly<{
  store: Store;
  to: PostParts;
  randomBytes: RandomBytes;
  nowMs: () => number;
  log: Logger;
  pace?: Pace;
  leaseMs?: number;
}>;

/** Works until the returned function is called; what is under way then is given back. */
export function startCourier(parts: CourierParts): () => Promise<void> {
  const courier = new Courier(parts);
  const running = outsideRequests(() => courier.run());
  return async () => {
    courier.stop();
    await running;
  };
}

/** The body of a message, as Standard Webhooks has it. */
export function bodyOf(type: string, atMs: number, data: object): string {
  return JSON.stringify({ type, timestamp: new Date(atMs).toISOString(), data });
}

class Courier {
  readonly #parts: CourierParts;
  readonly #stop = new AbortController();
  readonly #underWay = new Set<Promise<void>>();

  constructor(parts: CourierParts) {
    this.#parts = parts;
  }

  stop(): void {
    this.#stop.abort();
  }

  async run(): Promise<void> {
    const { store, log } = this.#parts;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const { rings } = store.bell;
      let waitMs = LOOK_MS_MAX;
      try {
        await this.#spread();
        // Those whose hands are full go on when one of their attempts is over, which rings.
        const full = await this.#take();
        waitMs = Math.min(LOOK_MS_MAX, (await nextDueMs(store.db, full)) ?? LOOK_MS_MAX);
      } catch (error) {
        log.warn({ code: codeOf(error) ?? 'INTERNAL' }, 'webhooks are held up');
      }
      if (this.#underWay.size === 0) await sleep(LOOK_MS_MIN, undefined, { signal }).catch(() => undefined);
      await store.bell.next(rings, AbortSignal.any([signal, AbortSignal.timeout(waitMs)]));
    }
    await Promise.all(this.#underWay);
  }

  async #spread(): Promise<void> {
    const { store } = this.#parts;
    for (let more = true; more && !this.#stop.signal.aborted; ) {
      if ((await waitingWebhooks(store.db)).length === 0) return;
      more = await store.write((trx) => spreadEvents(trx, (event) => this.#describe(event)));
    }
  }

  #describe({ id, at, vm, op, type, data }: StoredEvent) {
    const body = bodyOf(type, at, { event: id, vm, op, detail: data });
    return { id: newId('msg', this.#parts.randomBytes), body };
  }

  /** Begins attempts; gives the receivers at which no more may be begun. */
  async #take(): Promise<string[]> {
    const { store, randomBytes, leaseMs = LEASE_MS } = this.#parts;
    const full: string[] = [];
    for (const webhook of await dueWebhooks(store.db)) {
      if ((await freeHands(store.db, webhook, IN_HAND_MAX)) === 0) {
        full.push(webhook);
        continue;
      }
      const lease = toBase64url(randomBytes(12));
      const claim = { lease, leaseMs, inHandMax: IN_HAND_MAX };
      const claimed = await store.write((trx) => claimDeliveries(trx, webhook, claim));
      for (const delivery of claimed) {
        const attempt = this.#attempt(delivery, lease).finally(() => this.#underWay.delete(attempt));
        this.#underWay.add(attempt);
      }
    }
    return full;
  }

  async #attempt(delivery: Claimed, lease: string): Promise<void> {
    const { store, to, randomBytes, nowMs, log, pace = PACE } = this.#parts;
    const { id, webhook, body, url, secret, attempts } = delivery;
    const { signal } = this.#stop;
    const attempt = await post({ url, body, headers: signedHeaders({ id, body }, secret, nowMs()) }, to, signal);
    try {
      if (attempt.error !== null && signal.aborted) {
        await store.write((trx) => releaseDelivery(trx, id, lease));
        return;
      }
      const [chance = 0] = randomBytes(1);
      const after = afterAttempt(attempt, attempts + 1, chance / 255, pace);
      await store.write((trx) => recordAttempt(trx, delivery, lease, attempt, after));
      const level = { delivered: 'debug', pending: 'info', dead: 'warn' } as const;
      log[level[after.state]]({ webhook, delivery: id, attempts: attempts + 1, ...attempt }, `webhook ${after.state}`);
    } catch (error) {
      // Its lease ends, and it is tried again.
      log.warn({ webhook, delivery: id, code: codeOf(error) ?? 'INTERNAL' }, 'what came of a webhook is not known');
    }
  }
}
