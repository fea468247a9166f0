// A scripted executor: a unix socket in a temporary folder on which each connection is one process that a test plays.

import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RECEIPT_GENESIS, type Receipt } from '../../../protocol/receipt.ts';
import { signToken } from '../../../protocol/token.ts';
import { bytes32Text, keys, OP, sampleReceipt } from '../../protocol/samples.ts';

type Request = { t: string; op?: string; token?: string; account?: string | null; document?: unknown };

/** One executor process, as the test plays it. */
export class Process {
  readonly requests: Request[] = [];
  readonly gone: Promise<void>;
  readonly #socket: Socket;
  #partial = '';
  #wake: () => void = () => {};
  #taken = 0;

  constructor(socket: Socket, first: (process: Process, request: Request) => void) {
    this.#socket = socket;
    socket.on('error', () => {});
    // The link ends its side, or the whole connection.
    this.gone = new Promise((resolve) => {
      for (const event of ['end', 'close']) socket.on(event, () => resolve());
    });
    socket.on('data', (chunk) => {
      const lines = (this.#partial + chunk.toString()).split('\n');
      this.#partial = lines.pop() ?? '';
      for (const line of lines) {
        const request = JSON.parse(line) as Request;
        this.requests.push(request);
        if (this.requests.length === 1) first(this, request);
      }
      this.#wake();
    });
  }

  async next(): Promise<Request> {
    while (this.#taken >= this.requests.length) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#taken += 1;
    return this.requests[this.#taken - 1] as Request;
  }

  say(answer: object): void {
    this.#socket.write(`${JSON.stringify(answer)}\n`);
  }

  write(text: string): void {
    this.#socket.write(text);
  }

  /** An orderly end. */
  end(): void {
    this.#socket.end(`${JSON.stringify({ t: 'end' })}\n`);
  }

  die(): void {
    this.#socket.destroy();
  }
}

export class ScriptedExecutor {
  /** What `receipts` gives. */
  receipts: string[] = [];
  open: string | null = null;
  /** The version that its executors go by, and every root that the link brought. */
  root = 1;
  readonly roots: unknown[] = [];
  /** Every acknowledgement that an errand brought. */
  readonly acks: string[] = [];
  /** How short errands are refused, if they are. */
  refuses: string | null = null;
  reports = 0;
  readonly #processes: { process: Process; t: string }[] = [];
  readonly #server: Server;
  #wake: () => void = () => {};
  #taken = 0;
  path = '';

  constructor() {
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      new Process(socket, (process, request) => this.#begin(process, request));
    });
  }

  async listen(): Promise<string> {
    this.path = join(await mkdtemp(join(tmpdir(), 'latchkey-link-')), `${randomUUID().slice(0, 8)}.sock`);
    await new Promise<void>((resolve) => this.#server.listen(this.path, resolve));
    return this.path;
  }

  /** The next process that serves an operation: one that was asked to prepare, resume or cancel. */
  async process(t: string): Promise<Process> {
    for (;;) {
      const at = this.#processes.findIndex((begun, i) => i >= this.#taken && begun.t === t);
      if (at >= 0) {
        this.#taken = at + 1;
        return this.#processes[at]?.process as Process;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  started(t: string): number {
    return this.#processes.filter((begun) => begun.t === t).length;
  }

  async close(): Promise<void> {
    for (const { process } of this.#processes) process.die();
    await new Promise((resolve) => this.#server.close(resolve));
    if (this.path) await rm(join(this.path, '..'), { recursive: true, force: true });
  }

  #begin(process: Process, request: Request): void {
    this.#processes.push({ process, t: request.t });
    if (request.t === 'receipts') this.#report(process);
    if (request.t === 'root') this.#keepRoot(process, request);
    if (request.t === 'ack') this.#acknowledge(process);
    this.#wake();
  }

  #report(process: Process): void {
    this.reports += 1;
    if (this.refuses) process.say({ t: 'refused', op: null, code: this.refuses });
    else {
      process.say({ t: 'state', head: bytes32Text(0x55), open: this.open, root: this.root });
      for (const token of this.receipts) process.say({ t: 'receipt', token });
    }
    process.end();
  }

  #keepRoot(process: Process, { document }: Request): void {
    if (this.refuses) process.say({ t: 'refused', op: null, code: this.refuses });
    else {
      this.roots.push(document);
      this.root += 1;
      process.say({ t: 'root', version: this.root });
    }
    process.end();
  }

  #acknowledge(process: Process): void {
    setImmediate(() => {
      if (this.refuses) process.say({ t: 'refused', op: null, code: this.refuses });
      else this.acks.push(...process.requests.map(({ token = '' }) => token));
      process.end();
    });
  }
}

export const receiptToken = (n: number, changes: Partial<Receipt> = {}): Promise<string> =>
  signToken(
    'lk-receipt+jws',
    { ...sampleReceipt(), op: OP, n, prev: n === 1 ? RECEIPT_GENESIS : bytes32Text(n), ...changes },
    keys.ek,
  );
