// The door: which HTTP upgrades become agents' sockets. It refuses browsers, wrong paths and floods before a handshake
// costs anything, and gives no reasons.

import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type ServerOptions, WebSocketServer } from 'ws';
import { channelBinding, type Exporter } from '../../protocol/channel.ts';
import { FRAME_BYTES_MAX } from '../../protocol/limits.ts';
import { AgentSocket } from './agent-socket.ts';
import type { Gateway } from './gateway.ts';

export const AGENT_PATH = '/agent/v1';

export type DoorLimits = Readonly<{
  /** Connections that may be in their handshake at a time. */
  handshakesMax: number;
  /** Handshakes of one address that may fail within a minute. */
  failuresPerMinuteMax: number;
}>;
export const DOOR_LIMITS: DoorLimits = { handshakesMax: 512, failuresPerMinuteMax: 120 };

const MINUTE_MS = 60_000;
/** Addresses whose failures are remembered; beyond it the oldest are forgotten. */
const ADDRESSES_MAX = 10_000;

const OPTIONS: ServerOptions = {
  noServer: true,
  clientTracking: false,
  perMessageDeflate: false,
  maxPayload: FRAME_BYTES_MAX,
};

/** Takes the upgrades of that server; answers what stops it. */
export function openDoor(server: Server, gateway: Gateway, limits: DoorLimits = DOOR_LIMITS): () => void {
  const sockets = new WebSocketServer(OPTIONS);
  const failures = new Failures(limits.failuresPerMinuteMax);
  let handshakes = 0;
  const onUpgrade = (request: IncomingMessage, duplex: Duplex, head: Buffer) => {
    duplex.on('error', () => duplex.destroy());
    const address = request.socket.remoteAddress ?? '';
    // Compared as text: a target that is no URL, such as `//`, must not throw where nothing catches it.
    if (request.url?.split('?', 1)[0] !== AGENT_PATH) return turnAway(duplex, '404 Not Found');
    if (request.headers.origin !== undefined || request.headers.cookie !== undefined) {
      return turnAway(duplex, '403 Forbidden');
    }
    if (handshakes >= limits.handshakesMax || failures.tooMany(address)) {
      return turnAway(duplex, '503 Service Unavailable', 'Retry-After: 5\r\n');
    }
    handshakes += 1;
    let authenticated = false;
    const settle = () => {
      if (authenticated) return;
      authenticated = true;
      handshakes -= 1;
    };
    duplex.once('close', () => {
      if (!authenticated) failures.count(address);
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

class Failures {
  readonly #perMinuteMax: number;
  #since = performance.now();
  #counts = new Map<string, number>();

  constructor(perMinuteMax: number) {
    this.#perMinuteMax = perMinuteMax;
  }

  count(address: string): void {
    if (this.#counts.size >= ADDRESSES_MAX) this.#counts.clear();
    this.#counts.set(address, (this.#counts.get(address) ?? 0) + 1);
  }

  tooMany(address: string): boolean {
    if (performance.now() - this.#since > MINUTE_MS) {
      this.#since = performance.now();
      this.#counts = new Map();
    }
    return (this.#counts.get(address) ?? 0) >= this.#perMinuteMax;
  }
}
