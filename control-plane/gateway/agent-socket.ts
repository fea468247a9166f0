// One agent's WebSocket, as a queue of parsed frames. It refuses what is not a text frame of the protocol, stops reading
// while frames wait, and closes without saying why.

import { type RawData, WebSocket } from 'ws';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { type DownFrame, encodeFrame, parseUpFrame, type UpFrame } from '../../protocol/session.ts';

/** Frames that may wait before the socket is no longer read. */
const WAITING_MAX = 16;
/** Bytes that may wait to be sent; a peer that does not read is cut off. */
const UNSENT_BYTES_MAX = 1_048_576;
/** RFC 6455, section 7.4.1: policy violation. The one close that a peer sees for whatever it did wrong. */
const REFUSED = 1008;
const GOING_AWAY = 1001;
/** IANA's registry of WebSocket close codes: service restart. */
const RESTART = 1012;
const CLOSE_PATIENCE_MS = 2_000;

export class AgentSocket {
  readonly #ws: WebSocket;
  readonly channelBinding: string | null;
  readonly #frames: UpFrame[] = [];
  #wake: (() => void) | undefined;
  #heardAt = performance.now();
  #refusal: Failure | undefined;

  /** `channelBinding` is the connection's own value; `null` where TLS, if any, ends before this program. */
  constructor(ws: WebSocket, channelBinding: string | null) {
    this.#ws = ws;
    this.channelBinding = channelBinding;
    ws.on('message', (data, isBinary) => this.#take(data, isBinary));
    ws.on('pong', () => this.#heard());
    ws.on('ping', () => this.#heard());
    ws.on('close', () => this.#wake?.());
    // The socket closes itself with the right code (1009, 1007, 1002); there is nothing to add.
    ws.on('error', () => undefined);
  }

  get open(): boolean {
    return this.#ws.readyState === WebSocket.OPEN;
  }

  /** Why the peer was refused, once it was. */
  get refusal(): Failure | undefined {
    return this.#refusal;
  }

  /** How long the peer has been silent. */
  silentMs(): number {
    return performance.now() - this.#heardAt;
  }

  /** The next frame; `null` once the connection has ended, or when the time is up. */
  async next(timeoutMs?: number): Promise<UpFrame | null> {
    const until = timeoutMs === undefined ? undefined : performance.now() + timeoutMs;
    for (;;) {
      const frame = this.#frames.shift();
      if (frame) {
        if (this.#frames.length === 0) this.#ws.resume();
        return frame;
      }
      if (!this.open || (until !== undefined && performance.now() >= until)) return null;
      await this.#waitForFrame(until);
    }
  }

  /** Whether the frame went out towards the peer. */
  send(frame: DownFrame): boolean {
    if (!this.open) return false;
    if (this.#ws.bufferedAmount > UNSENT_BYTES_MAX) {
      this.#ws.terminate();
      return false;
    }
    this.#ws.send(encodeFrame(frame));
    return true;
  }

  ping(): void {
    if (this.open) this.#ws.ping();
  }

  /** Whether the peer answers a ping in time. */
  answers(withinMs: number): Promise<boolean> {
    if (!this.open) return Promise.resolve(false);
    return new Promise((resolve) => {
      const done = (alive: boolean) => {
        clearTimeout(timer);
        this.#ws.off('pong', onPong);
        this.#ws.off('close', onClose);
        resolve(alive);
      };
      const onPong = () => done(true);
      const onClose = () => done(false);
      const timer = setTimeout(() => done(false), withinMs);
      this.#ws.once('pong', onPong);
      this.#ws.once('close', onClose);
      this.#ws.ping();
    });
  }

  refuse(): void {
    this.#close(REFUSED);
  }

  leave(): void {
    this.#close(GOING_AWAY);
  }

  /** The peer shall connect again at a time that it draws within this (WIRE.md, Framing). */
  restart(withinMs: number): void {
    this.#close(RESTART, String(withinMs));
  }

  terminate(): void {
    this.#ws.terminate();
  }

  #close(code: number, reason?: string): void {
    this.#ws.resume();
    this.#ws.close(code, reason);
    setTimeout(() => this.#ws.terminate(), CLOSE_PATIENCE_MS).unref();
  }

  #take(data: RawData, isBinary: boolean): void {
    this.#heard();
    if (!this.open) return;
    try {
      if (isBinary) throw new Failure('TOKEN_MALFORMED', { reason: 'binary' });
      this.#frames.push(parseUpFrame(data as Buffer));
    } catch (error) {
      if (!codeOf(error)) throw error;
      this.#refusal = error as Failure;
      this.#frames.length = 0;
      this.refuse();
    }
    if (this.#frames.length >= WAITING_MAX) this.#ws.pause();
    this.#wake?.();
  }

  #waitForFrame(until: number | undefined): Promise<void> {
    return new Promise((resolve) => {
      const timer = until === undefined ? undefined : setTimeout(resolve, Math.max(1, until - performance.now()));
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
    });
  }

  #heard(): void {
    this.#heardAt = performance.now();
  }
}
