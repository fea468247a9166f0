// The supervisor's end of the guest's only wire: a unix socket whose connections are piped to one TCP port of the runner.
// Cutting the wire is closing it. It must never listen on anything but that socket.
import { rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';

/** sun_path holds 107 characters and a NUL. */
const SOCKET_PATH_MAX = 107;

export class Wire {
  readonly #path: string;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #target: { host: string; port: number } | undefined;

  constructor(folder: string) {
    this.#path = join(folder, 'wire/out.sock');
    if (Buffer.byteLength(this.#path) > SOCKET_PATH_MAX) throw new Error(`too long for a socket: ${this.#path}`);
  }

  connectTo(port: number, host = '127.0.0.1'): void {
    this.#target = { host, port };
  }

  async restore(): Promise<void> {
    if (this.#server) return;
    rmSync(this.#path, { force: true });
    const server = createServer({ allowHalfOpen: true }, (inner) => this.#join(inner));
    this.#server = server;
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(this.#path, resolve));
    server.unref();
  }

  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => this.#sockets.delete(socket));
  }

  #join(inner: Socket): void {
    this.#keep(inner);
    if (!this.#target) return void inner.destroy();
    // A wire adds no wait of its own: small messages go at once.
    const outer = connect({ ...this.#target, allowHalfOpen: true, noDelay: true });
    this.#keep(outer);
    inner.pipe(outer).pipe(inner);
    inner.once('close', () => outer.destroy());
    outer.once('close', () => inner.destroy());
  }
}
