// Who may stay connected to a listener: so many in all, so many of one client, and none for ever at its end. It knows nothing of what
// is said on a connection; what it lets in goes to the server as if it had not been there.

import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { HANDSHAKE_TIMEOUT_MS } from '../../protocol/limits.ts';
import { clientOf, forwardedAddress, Proxies } from './address.ts';
import { readProxyLine } from './proxy-line.ts';

export type ConnectionLimits = Readonly<{ total: number; perAddress: number }>;
/** Addresses of proxies, and in which way they say who their client is. */
export type ProxyTrust = Readonly<{ places: readonly string[]; by: 'header' | 'line' }>;
export const NO_PROXY: ProxyTrust = { places: [], by: 'header' };

/** How often it is looked whether the last connection has gone. */
const LOOK_MS = 20;
const COMPLAINT_INTERVAL_MS = 60_000;

export class Guard {
  readonly #server: Server;
  readonly #limits: ConnectionLimits;
  readonly #trust: ProxyTrust;
  readonly #proxies: Proxies;
  readonly #log: Logger;
  readonly #open = new Set<Socket>();
  readonly #counts = new Map<string, number>();
  /** Of connections through a proxy that names its client in a line: that client, by the proxy's own end of the connection. */
  readonly #named = new Map<string, string>();
  #refused = 0;
  #complainedAt = Number.NEGATIVE_INFINITY;

  /** Stands before whatever listens to the server's connections until now. */
  constructor(server: Server, limits: ConnectionLimits, trust: ProxyTrust, log: Logger) {
    this.#server = server;
    this.#limits = limits;
    this.#trust = trust;
    this.#proxies = new Proxies(trust.places);
    this.#log = log;
    const inner = server.listeners('connection') as ((socket: Socket) => void)[];
    server.removeAllListeners('connection');
    server.on('connection', (socket: Socket) => {
      void this.#admit(socket).then((admitted) => {
        if (admitted) for (const take of inner) take.call(server, socket);
        else socket.destroy();
      });
    });
  }

  /** The client's address of a request on this listener. */
  addressOf(request: IncomingMessage): string {
    const { remoteAddress = '' } = request.socket;
    if (this.#trust.by === 'line') return this.#named.get(endOf(request.socket)) ?? remoteAddress;
    return forwardedAddress(request, remoteAddress, this.#proxies);
  }

  /** Takes no more connections; those that are open go on. */
  deafen(): void {
    this.#server.close();
  }

  /** Returns once all connections have ended: idle ones now, others when they are through, and whatever is left when the time is up. */
  async emptied(withinMs: number): Promise<void> {
    for (const until = performance.now() + withinMs; this.#open.size > 0 && performance.now() < until; ) {
      this.#server.closeIdleConnections();
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    for (const socket of this.#open) socket.destroy();
  }

  async #admit(socket: Socket): Promise<boolean> {
    socket.on('error', () => socket.destroy());
    if (this.#open.size >= this.#limits.total) return this.#refuse('total');
    this.#open.add(socket);
    socket.once('close', () => this.#open.delete(socket));
    const peer = socket.remoteAddress ?? '';
    const throughProxy = this.#proxies.has(peer);
    // Its header comes with each request: what one connection carries belongs to nobody alone.
    if (throughProxy && this.#trust.by === 'header') return true;
    const address = throughProxy ? await this.#nameOf(socket, peer) : peer;
    return address !== null && this.#count(socket, clientOf(address));
  }

  async #nameOf(socket: Socket, peer: string): Promise<string | null> {
    try {
      const address = (await readProxyLine(socket, HANDSHAKE_TIMEOUT_MS)) ?? peer;
      const end = endOf(socket);
      this.#named.set(end, address);
      socket.once('close', () => this.#named.delete(end));
      return address;
    } catch {
      this.#refuse('no_proxy_line');
      return null;
    }
  }

  #count(socket: Socket, client: string): boolean {
    const count = (this.#counts.get(client) ?? 0) + 1;
    if (count > this.#limits.perAddress) return this.#refuse('per_address');
    this.#counts.set(client, count);
    socket.once('close', () => {
      const left = (this.#counts.get(client) ?? 1) - 1;
      if (left === 0) this.#counts.delete(client);
      else this.#counts.set(client, left);
    });
    return true;
  }

  /** Said once a minute at most: a flood must not fill the log. */
  #refuse(reason: string): false {
    this.#refused += 1;
    if (performance.now() - this.#complainedAt > COMPLAINT_INTERVAL_MS) {
      this.#complainedAt = performance.now();
      this.#log.warn({ reason, refused: this.#refused }, 'connection refused');
      this.#refused = 0;
    }
    return false;
  }
}

/** One end of an open connection, as both its TCP and its TLS socket say it. */
function endOf({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return `${remoteAddress} ${remotePort}`;
}
