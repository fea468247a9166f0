// One listener: an HTTP server, the guard before it, and its end. At its end it takes nothing new, lets what is under way be through,
// and waits for that only so long.

import type { Server as TlsServer } from 'node:tls';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { Failure } from '../../protocol/failure.ts';
import type { ListenPlace } from '../config/listeners.ts';
import { type ConnectionLimits, Guard, type ProxyTrust } from './guard.ts';

/** Connections that may wait to be accepted: a fleet comes back all at once. */
const BACKLOG = 4_096;
/** Requests that are under way at the end have this long. */
const DRAIN_MS = 5_000;

export type FrontOptions = Readonly<{
  place: ListenPlace;
  /** What a reader of an error is told. */
  field: 'listen' | 'agent-listen';
  limits: ConnectionLimits;
  trust: ProxyTrust;
}>;

export class Front {
  readonly app: FastifyInstance;
  readonly guard: Guard;
  readonly #options: FrontOptions;

  constructor(app: FastifyInstance, options: FrontOptions, log: Logger) {
    this.app = app;
    this.#options = options;
    this.guard = new Guard(app.server, options.limits, options.trust, log);
  }

  /** The port. Throws `PORT_IN_USE` or `CONFIG_INVALID`. */
  async listen(): Promise<number> {
    const { place, field } = this.#options;
    const { host, port } = place;
    try {
      await this.app.listen({ host, port, backlog: BACKLOG, listenTextResolver: () => '' });
    } catch (cause) {
      const reason = (cause as NodeJS.ErrnoException).code ?? 'error';
      if (reason === 'EADDRINUSE') throw new Failure('PORT_IN_USE', { address: `${host}:${port}` }, cause);
      throw new Failure('CONFIG_INVALID', { field, reason }, cause);
    }
    const address = this.app.server.address();
    return typeof address === 'object' && address !== null ? address.port : port;
  }

  /** A certificate that is made anew serves the next connection; those that are open go on. */
  renew({ cert, key }: Readonly<{ cert: string; key: string }>): void {
    (this.app.server as unknown as TlsServer).setSecureContext({ cert, key, minVersion: 'TLSv1.3' });
  }

  deafen(): void {
    this.guard.deafen();
  }

  async close(): Promise<void> {
    const closed = this.app.close();
    await this.guard.emptied(DRAIN_MS);
    await closed;
  }
}
