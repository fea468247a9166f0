// The executor's one connection with the link: JSON lines over the socket that it was started with. What arrives is
// untrusted until a signature says otherwise; a line beyond the limit ends the connection.

import type { Duplex } from 'node:stream';
import * as z from 'zod/mini';
import { parseCanonical } from '../../protocol/canonical.ts';
import { FRAME_BYTES_MAX } from '../../protocol/limits.ts';
import { signedRoot } from '../../protocol/root.ts';
import {
  accountName,
  bytes32,
  carriedIntent,
  compactToken,
  operationId,
  parseSchema,
  seconds,
} from '../../protocol/schema.ts';

/** All that a link can say to an executor. */
const request = z.discriminatedUnion('t', [
  z.strictObject({ t: z.literal('prepare'), op: operationId, account: z.nullable(accountName) }),
  z.strictObject({ t: z.literal('execute'), token: compactToken, intent: z.optional(carriedIntent) }),
  z.strictObject({ t: z.literal('resume') }),
  z.strictObject({ t: z.literal('receipts') }),
  z.strictObject({ t: z.literal('ack'), token: compactToken }),
  z.strictObject({ t: z.literal('cancel'), token: compactToken }),
  z.strictObject({ t: z.literal('root'), document: signedRoot }),
  z.strictObject({ t: z.literal('preflight'), nonce: bytes32, now: seconds }),
]);
export type Request = z.infer<typeof request>;

/** All that an executor says to the link. Receipts, `ready` and `preflight` are signed; the rest moves nothing by itself. */
export type Answer =
  | { t: 'ready'; op: string; token: string }
  | { t: 'receipt'; token: string }
  | { t: 'refused'; op: string | null; code: string }
  | { t: 'state'; head: string; open: string | null; root: number }
  | { t: 'root'; version: number }
  | { t: 'preflight'; token: string }
  | { t: 'end' };

/** Requests that wait unread; a link that says more than this at once is broken. */
const QUEUE_MAX = 64;

export class Channel {
  readonly #socket: Duplex;
  readonly #queue: Request[] = [];
  /** No more requests will come; answers may still go out. */
  #ended = false;
  #gone = false;
  #wake: (() => void) | undefined;
  #partial: Buffer = Buffer.alloc(0);

  constructor(socket: Duplex) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('end', () => this.#end());
    for (const event of ['close', 'error']) {
      socket.on(event, () => {
        this.#gone = true;
        this.#end();
      });
    }
  }

  /** The link has no more to say. */
  get ended(): boolean {
    return this.#ended;
  }

  send(answer: Answer): void {
    if (!this.#gone) this.#socket.write(`${JSON.stringify(answer)}\n`);
  }

  /** The next request, or `null` once the link has no more or the given signal has ended. */
  async next(until?: AbortSignal): Promise<Request | null> {
    for (;;) {
      const request = this.#queue.shift();
      if (request) return request;
      if (this.#ended || until?.aborted) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        until?.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }

  /** Sends what is left and ends the connection. A link that went away in this moment is waited for by nobody. */
  async end(): Promise<void> {
    this.send({ t: 'end' });
    await new Promise<void>((resolve) => {
      this.#socket.once('close', () => resolve());
      this.#socket.end(() => resolve());
      if (this.#gone) resolve();
    });
  }

  #take(chunk: Buffer): void {
    if (this.#gone) return;
    this.#partial = Buffer.concat([this.#partial, chunk]);
    for (let at = this.#partial.indexOf(10); at >= 0 && !this.#gone; at = this.#partial.indexOf(10)) {
      const line = this.#partial.subarray(0, at);
      this.#partial = this.#partial.subarray(at + 1);
      this.#takeLine(line);
    }
    if (this.#partial.length > FRAME_BYTES_MAX) this.#breakOff();
  }

  #takeLine(line: Buffer): void {
    try {
      if (line.length > FRAME_BYTES_MAX || this.#queue.length >= QUEUE_MAX) throw new RangeError('limit');
      this.#queue.push(parseSchema(request, parseCanonical(line)));
      this.#wake?.();
    } catch {
      this.#breakOff();
    }
  }

  /** Whoever cannot speak this little language is not our link: nothing more of it is heard, nor what still waits. */
  #breakOff(): void {
    this.#queue.length = 0;
    this.#gone = true;
    this.#end();
    this.#socket.destroy();
  }

  #end(): void {
    this.#ended = true;
    this.#wake?.();
  }
}
