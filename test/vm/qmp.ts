// A client of QEMU's machine protocol (QMP): commands with their answers, and events to wait for.

import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';

type Message = Readonly<{ QMP?: object; id?: number; return?: unknown; error?: { desc: string }; event?: string }>;
type Waiting = Readonly<{ resolve: (value: unknown) => void; reject: (error: Error) => void }>;

export class Qmp {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  readonly #events = new EventEmitter();
  #count = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    createInterface({ input: socket }).on('line', (line) => this.#take(JSON.parse(line) as Message));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the machine is gone'));
      this.#waiting.clear();
    });
  }

  async execute(command: string, options: object = {}): Promise<unknown> {
    this.#count += 1;
    const id = this.#count;
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(new Error('the machine is gone'));
      this.#waiting.set(id, { resolve, reject });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: options, id })}\n`);
    });
  }

  /** A command of the monitor for people; what it prints. */
  async monitor(line: string): Promise<string> {
    return String(await this.execute('human-monitor-command', { 'command-line': line }));
  }

  /** The next event of that name. */
  event(name: string): Promise<void> {
    return new Promise((resolve) => this.#events.once(name, () => resolve()));
  }

  #take({ id, event, error, ...message }: Message): void {
    if (event !== undefined) this.#events.emit(event);
    const waiting = id === undefined ? undefined : this.#waiting.get(id);
    if (id === undefined || !waiting) return;
    this.#waiting.delete(id);
    if (error) waiting.reject(new Error(error.desc));
    else waiting.resolve(message.return);
  }
}
