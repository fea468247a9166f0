// The one server of the benchmark, behind the guest's wire: TLS where this machine can make certificates, the product's
// gateway behind its path, and a plain WebSocket server behind another one, for clients that cannot prove who they are.

import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { CertificateMaker, hasOpenssl } from '../agent/link/certificates.ts';

export const BARE_PATH = '/bare';

export class Front {
  readonly caPem: string;
  readonly #server: Server;
  readonly #sockets = new Set<Duplex>();

  private constructor(server: Server, caPem: string, gatewayPort: number) {
    this.#server = server;
    this.caPem = caPem;
    const bare = new WebSocketServer({ noServer: true, perMessageDeflate: false });
    server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
      this.#sockets.add(socket);
      socket.on('error', () => socket.destroy());
      if (request.url === BARE_PATH) bare.handleUpgrade(request, socket, head, () => {});
      else passOn(request, socket, head, gatewayPort);
    });
  }

  static async start(gatewayPort: number): Promise<Front> {
    const maker = (await hasOpenssl()) ? await CertificateMaker.open() : undefined;
    const server = maker ? createTlsServer(await maker.make({ name: 'DNS:localhost' })) : createServer();
    await maker?.close();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new Front(server as Server, maker?.caPem ?? '', gatewayPort);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The address of a path as the guest finds it. */
  url(path: string): string {
    return `${this.caPem === '' ? 'ws' : 'wss'}://localhost:7443${path}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function passOn({ method, url, rawHeaders }: IncomingMessage, socket: Socket, head: Buffer, port: number): void {
  // As `ws` does for the other path: small answers else wait for what the far end has yet to acknowledge, 40 ms each.
  socket.setNoDelay();
  const gateway = connect({ port, host: '127.0.0.1', noDelay: true }, () => {
    const headers = rawHeaders.map((text, i) => (i % 2 === 0 ? `${text}: ` : `${text}\r\n`)).join('');
    gateway.write(`${method} ${url} HTTP/1.1\r\n${headers}\r\n`);
    gateway.write(head);
    socket.pipe(gateway).pipe(socket);
  });
  gateway.on('error', () => socket.destroy());
  gateway.once('close', () => socket.destroy());
  socket.once('close', () => gateway.destroy());
}
