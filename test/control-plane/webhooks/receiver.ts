// A receiver of webhooks on the loopback address: it verifies each message with the library that receivers use, keeps it, and
// answers as it is told.

import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';

export type Received = Readonly<{ id: string; path: string; headers: IncomingHttpHeaders; text: string }>;
export type Answer = (response: ServerResponse, received: Received) => void;

export const answer =
  (status: number, headers: Record<string, string> = {}): Answer =>
  (response) =>
    response.writeHead(status, headers).end('what nobody reads');

/** Takes the request and says nothing. */
export const silence: Answer = () => undefined;

export class Receiver {
  readonly received: Received[] = [];
  readonly #server: Server;
  /** Of the next requests, in turn; after these, 204. */
  readonly answers: Answer[] = [];
  always: Answer | undefined;
  connections = 0;

  private constructor(tls: Readonly<{ cert: string; key: string }> | null) {
    const options = { keepAliveTimeout: 60_000 };
    this.#server = tls ? createTlsServer({ ...options, ...tls }) : createServer(options);
    this.#server.on('connection', () => {
      this.connections += 1;
    });
    this.#server.on('request', (request, response) => {
      let text = '';
      request.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      request.on('end', () => {
        const { headers, url = '' } = request;
        const received = { id: String(headers['webhook-id']), path: url, headers, text };
        this.received.push(received);
        (this.answers.shift() ?? this.always ?? answer(204))(response, received);
      });
    });
  }

  static async start(tls: Readonly<{ cert: string; key: string }> | null = null): Promise<Receiver> {
    const receiver = new Receiver(tls);
    await new Promise<void>((resolve) => receiver.#server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook`;
  }

  /** The messages at that path as a receiver reads them. Throws for the first whose signature does not hold. */
  read(secret: string, path = '/hook'): { type: string; timestamp: string; data: Record<string, unknown> }[] {
    const webhook = new Webhook(secret);
    return this.received
      .filter((received) => received.path === path)
      .map(({ text, headers }) => webhook.verify(text, headers as Record<string, string>) as never);
  }

  stop(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}
