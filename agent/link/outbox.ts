// Receipts on their way: kept until the control plane's signed acknowledgement, sent in order, a few at a time. The
// executor's journal is the durable copy; this is only what the present connection has to do.

import { RECEIPTS_PER_SEND_MAX } from '../../protocol/limits.ts';
import { receipt as receiptSchema } from '../../protocol/receipt.ts';
import { parseSchema } from '../../protocol/schema.ts';
import { payloadOf } from '../../protocol/token.ts';

/**
 * An acknowledgement takes a moment. A receipt that has none after this long may be one that the other side can never take,
 * as after a backup was restored there: it no longer keeps the others back.
 */
export const ACK_MS_MAX = 5_000;

type Waiting = { readonly op: string; readonly n: number; readonly token: string; sentMs: number | null };

export class Outbox {
  #waiting: Waiting[] = [];
  readonly #send: (token: string) => boolean;
  #allSent: (() => void) | undefined;
  #later: NodeJS.Timeout | undefined;
  #held = false;

  /** `send` says whether the token went out on a live connection. */
  constructor(send: (token: string) => boolean) {
    this.#send = send;
  }

  /** Takes a receipt in; one that is there already is not taken twice. */
  add(token: string): void {
    const { op, n } = parseSchema(receiptSchema, payloadOf(token));
    if (this.#waiting.some((waiting) => waiting.op === op && waiting.n === n)) return;
    // A report from the journal may bring an older receipt after a younger one was relayed: they leave in their order.
    const younger = this.#waiting.findIndex((waiting) => waiting.op === op && waiting.n > n);
    this.#waiting.splice(younger < 0 ? this.#waiting.length : younger, 0, { op, n, token, sentMs: null });
    this.flush();
  }

  /** All receipts of `op` up to `n` are stored on the other side. */
  acknowledge(op: string, n: number): void {
    this.#waiting = this.#waiting.filter((waiting) => waiting.op !== op || waiting.n > n);
    this.flush();
  }

  /** Nothing leaves until `restart`: of an operation, a younger receipt may be here before an older one is. */
  hold(): void {
    this.#held = true;
  }

  /** A new connection: what was sent on the old one may be lost. */
  restart(): void {
    this.#held = false;
    this.#allSent = undefined;
    for (const waiting of this.#waiting) waiting.sentMs = null;
    this.flush();
  }

  /** Sends what the window lets through. */
  flush(): void {
    if (this.#held) return;
    const nowMs = performance.now();
    const isOnTheWay = ({ sentMs }: Waiting) => sentMs !== null && nowMs - sentMs < ACK_MS_MAX;
    let room = RECEIPTS_PER_SEND_MAX - this.#waiting.filter(isOnTheWay).length;
    for (const waiting of this.#waiting) {
      if (waiting.sentMs !== null) continue;
      if (room <= 0) {
        this.#flushLater();
        return;
      }
      if (!this.#send(waiting.token)) return;
      waiting.sentMs = nowMs;
      room -= 1;
    }
    if (this.#allSent) {
      const tell = this.#allSent;
      this.#allSent = undefined;
      tell();
    }
  }

  #flushLater(): void {
    this.#later ??= setTimeout(() => {
      this.#later = undefined;
      this.flush();
    }, ACK_MS_MAX).unref();
  }

  /** Calls back once, as soon as every receipt taken in so far has gone out on the present connection. */
  whenAllSent(tell: () => void): void {
    this.#allSent = tell;
    this.flush();
  }

  get size(): number {
    return this.#waiting.length;
  }
}
