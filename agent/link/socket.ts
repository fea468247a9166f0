// One WebSocket to the control plane: TLS 1.3 to the pinned authority, small frames, no compression, no redirects. It
// hands over parsed frames and says when the connection is gone.

import WebSocket from 'ws';
import { channelBinding, type Exporter } from '../../protocol/channel.ts';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { FRAME_BYTES_MAX, HANDSHAKE_TIMEOUT_MS, HEARTBEAT_INTERVAL_MS, SILENCE_MS_MAX } from '../../protocol/limits.ts';
import { type DownFrame, encodeFrame, parseDownFrame, type UpFrame } from '../../protocol/session.ts';

/** Codes of Node and OpenSSL for a certificate or a handshake that is not acceptable (nodejs.org, tls, X509 certificate error codes). */
const TLS_TROUBLE = /CERT|TLS|SSL|ALTNAME|SIGNATURE|INVALID_(CA|PURPOSE)|HOSTNAME|PATH_LENGTH|CRL|UNSPECIFIED|EPROTO/;
/** IANA's registry of WebSocket close codes. */
const SERVICE_RESTART = 1012;
/** Frames that wait to be taken: a control plane that says more than this at once is broken. */
const FRAMES_MAX = 256;

export type Address = Readonly<{ url: URL; caPem: string }>;

export class ControlPlaneSocket {
  readonly #ws: WebSocket;
  /** What both ends of this very TLS session, and nobody between them, can compute; `null` without TLS. */
  channelBinding: string | null = null;
  readonly #frames: DownFrame[] = [];
  #wake: (() => void) | undefined;
  #lastHeardMs = performance.now();
  #failure: Failure | undefined;
  /** Within what time this machine shall come back, where the control plane has said so at its end. */
  restartWithinMs: number | null = null;

  private constructor(ws: WebSocket) {
    this.#ws = ws;
    ws.on('message', (data, isBinary) => this.#take(data as Buffer, isBinary));
    ws.on('pong', () => this.#heard());
    ws.on('close', (code, reason) => {
      if (code === SERVICE_RESTART)
        this.restartWithinMs = Number(/^[0-9]{1,6}$/.exec(reason.toString('latin1'))?.[0] ?? 0);
      this.#wake?.();
    });
    ws.on('error', () => ws.terminate());
  }

  /** Connects; throws `SERVER_UNREACHABLE` or `TLS_REFUSED`. */
  static open({ url, caPem }: Address): Promise<ControlPlaneSocket> {
    return new Promise((resolve, reject) => {
      const ws = new WebSocket(url, {
        ca: caPem === '' ? [] : [caPem],
        minVersion: 'TLSv1.3',
        rejectUnauthorized: true,
        perMessageDeflate: false,
        maxPayload: FRAME_BYTES_MAX,
        handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
        followRedirects: false,
        skipUTF8Validation: false,
      });
      const socket = new ControlPlaneSocket(ws);
      ws.once('upgrade', (response) => {
        socket.channelBinding = channelBinding(response.socket as Exporter);
      });
      ws.once('open', () => resolve(socket));
      ws.once('error', (cause: NodeJS.ErrnoException) => {
        const reason = cause.code ?? 'refused';
        const tls = TLS_TROUBLE.test(reason);
        reject(new Failure(tls ? 'TLS_REFUSED' : 'SERVER_UNREACHABLE', { host: url.host, reason }, cause));
      });
    });
  }

  /** The next frame; `null` once the connection has ended. Throws what was wrong with a frame. */
  async next(timeoutMs?: number): Promise<DownFrame | null> {
    const until = timeoutMs === undefined ? undefined : performance.now() + timeoutMs;
    for (;;) {
      const frame = this.#frames.shift();
      if (frame) return frame;
      if (this.#failure) throw this.#failure;
      if (!this.open) return null;
      if (until !== undefined && performance.now() >= until) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        if (until !== undefined) setTimeout(resolve, Math.max(1, until - performance.now())).unref();
      });
    }
  }

  get open(): boolean {
    return this.#ws.readyState === WebSocket.OPEN;
  }

  /** Whether the frame went out. */
  send(frame: UpFrame): boolean {
    if (!this.open) return false;
    this.#ws.send(encodeFrame(frame));
    return true;
  }

  /** Pings at intervals, and ends a connection that was silent for too long. Returns what stops it. */
  keepAlive(onBeat: () => void): () => void {
    const timer = setInterval(() => {
      if (performance.now() - this.#lastHeardMs > SILENCE_MS_MAX) {
        this.#ws.terminate();
        return;
      }
      this.#ws.ping();
      onBeat();
    }, HEARTBEAT_INTERVAL_MS);
    return () => clearInterval(timer);
  }

  close(): void {
    this.#ws.close(1000);
    setTimeout(() => this.#ws.terminate(), 1_000).unref();
  }

  terminate(): void {
    this.#ws.terminate();
  }

  #take(data: Buffer, isBinary: boolean): void {
    this.#heard();
    try {
      if (this.#failure) return;
      if (isBinary) throw new Failure('TOKEN_MALFORMED', { reason: 'binary' });
      if (this.#frames.length >= FRAMES_MAX) throw new Failure('RATE_LIMITED', { reason: 'frames' });
      this.#frames.push(parseDownFrame(data));
    } catch (error) {
      this.#failure = codeOf(error) ? (error as Failure) : new Failure('TOKEN_MALFORMED', {}, error);
      this.#ws.close(1008);
    }
    this.#wake?.();
  }

  #heard(): void {
    this.#lastHeardMs = performance.now();
  }
}
