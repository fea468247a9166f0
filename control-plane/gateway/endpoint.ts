// The door: which HTTP upgrades become agents' sockets. It refuses browsers, wrong paths and floods before a handshake
// costs anything, and gives no reasons.

import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type ServerOptions, WebSocketServer } from 'ws';
import { channelBinding, type Exporter } from '../../protocol/channel.ts';
import { FRAME_BYTES_MAX } from '../../protocol/limits.ts';
import { clientOf } from '../listener/address.ts';
import { AgentSocket } from './agent-socket.ts';
import type { Gateway } from './gateway.ts';

export const AGENT_PATH = '/agent/v1';

export type DoorLimits = Readonly<{
  /** Connections that may be in their handshake at a time. */
  handshakesMax: number;
  /** And of one client: nobody alone may keep the others out. */
  handshakesPerClientMax: number;
  /** Handshakes of one client that may fail within a minute. */
  failuresPerMinuteMax: number;
}>;
export const DOOR_LIMITS: DoorLimits = { handshakesMax: 512, handshakesPerClientMax: 256, failuresPerMinuteMax: 120 };

const MINUTE_MS = 60_000;
/** Clients whose failures are remembered; beyond it the oldest are forgotten. */
const ADDRESSES_MAX = 10_000;

const OPTIONS: ServerOptions = {
  noServer: true,
  clientTracking: false,
  perMessageDeflate: false,
  maxPayload: FRAME_BYTES_MAX,
};

/** The client's address of a request; by itself the one at the connection's other end. */
export type AddressOf = (request: IncomingMessage) => string;

/** Takes the upgrades of that server; answers what stops it. */
export function openDoor(
  server: Server,
  gateway: Gateway,
  limits: DoorLimits = DOOR_LIMITS,
  addressOf: AddressOf = ({ socket }) => socket.remoteAddress ?? '',
): () => void {
  const sockets = new WebSocketServer(OPTIONS);
  const failures = new Failures(limits.failuresPerMinuteMax);
  const handshakes = new Handshakes(limits);
  const onUpgrade = (request: IncomingMessage, duplex: Duplex, head: Buffer) => {
    duplex.on('error', () => duplex.destroy());
    const client = clientOf(addressOf(request));
    // Compared as text: a target that is no URL, such as `//`, must not throw where nothing catches it.
    if (request.url?.split('?', 1)[0] !== AGENT_PATH) return turnAway(duplex, '404 Not Found');
    if (request.headers.origin !== undefined || request.headers.cookie !== undefined) {
      return turnAway(duplex, '403 Forbidden');
    }
    if (failures.tooMany(client) || !handshakes.begin(client)) {
      return turnAway(duplex, '503 Service Unavailable', 'Retry-After: 5\r\n');
    }
    let authenticated = false;
    const settle = () => {
      if (authenticated) return;
      authenticated = true;
      handshakes.end(client);
    };
    duplex.once('close', () => {
      if (!authenticated) failures.count(client);
      settle();
    });
    sockets.handleUpgrade(request, duplex, head, (ws) =>
      gateway.serve(new AgentSocket(ws, channelBinding(request.socket as Exporter)), settle),
    );
  };
  server.on('upgrade', onUpgrade);
  return () => server.off('upgrade', onUpgrade);
}

function turnAway(duplex: Duplex, status: string, headers = ''): void {
  duplex.end(`HTTP/1.1 ${status}\r\n${headers}Connection: close\r\nContent-Length: 0\r\n\r\n`);
  setTimeout(() => duplex.destroy(), 1_000).unref();
}

/** Those under way, in all and by client. */
class Handshakes {
  readonly #limits: DoorLimits;
  #all = 0;
  readonly #by = new Map<string, number>();

  constructor(limits: DoorLimits) {
    this.#limits = limits;
  }

  /** Whether one more may be. */
  begin(client: string): boolean {
    const own = this.#by.get(client) ?? 0;
    if (this.#all >= this.#limits.handshakesMax || own >= this.#limits.handshakesPerClientMax) return false;
    this.#all += 1;
    this.#by.set(client, own + 1);
    return true;
  }

  end(client: string): void {
    this.#all -= 1;
    const left = (this.#by.get(client) ?? 1) - 1;
    if (left === 0) this.#by.delete(client);
    else this.#by.set(client, left);
  }
}

class Failures {
  readonly #perMinuteMax: number;
  #since = performance.now();
  #counts = new Map<string, number>();

  constructor(perMinuteMax: number) {
    this.#perMinuteMax = perMinuteMax;
  }

  count(client: string): void {
    if (this.#counts.size >= ADDRESSES_MAX) this.#counts.clear();
    this.#counts.set(client, (this.#counts.get(client) ?? 0) + 1);
  }

  tooMany(client: string): boolean {
    if (performance.now() - this.#since > MINUTE_MS) {
      this.#since = performance.now();
      this.#counts = new Map();
    }
    return (this.#counts.get(client) ?? 0) >= this.#perMinuteMax;
  }
}
