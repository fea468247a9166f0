// The link's side of a connection with an executor: one connection starts one privileged process. The link relays what it says and
// can do nothing in its place.

import type { Duplex } from 'node:stream';
import * as z from 'zod/mini';
import { parseCanonical } from '../../protocol/canonical.ts';
import { isCode } from '../../protocol/codes.ts';
import { Failure } from '../../protocol/failure.ts';
import { FRAME_BYTES_MAX } from '../../protocol/limits.ts';
import type { SignedRoot } from '../../protocol/root.ts';
import { bytes32, codeName, compactToken, operationId, parseSchema, receiptToken } from '../../protocol/schema.ts';
import type { ExecutorDoor } from './executor-door.ts';

const rootVersion = z.int().check(z.gte(1));

const answer = z.discriminatedUnion('t', [
  z.strictObject({ t: z.literal('ready'), op: operationId, token: compactToken }),
  z.strictObject({ t: z.literal('receipt'), token: receiptToken }),
  z.strictObject({ t: z.literal('refused'), op: z.nullable(operationId), code: codeName }),
  z.strictObject({ t: z.literal('state'), head: bytes32, open: z.nullable(operationId), root: rootVersion }),
  z.strictObject({ t: z.literal('root'), version: rootVersion }),
  z.strictObject({ t: z.literal('preflight'), token: receiptToken }),
  z.strictObject({ t: z.literal('end') }),
]);
export type ExecutorAnswer = z.infer<typeof answer>;

export type ExecutorRequest =
  | { t: 'prepare'; op: string; account: string | null }
  | { t: 'execute'; token: string; intent?: string }
  | { t: 'resume' }
  | { t: 'receipts' }
  | { t: 'ack'; token: string }
  | { t: 'cancel'; token: string }
  | { t: 'root'; document: SignedRoot }
  | { t: 'preflight'; nonce: string; now: number };

/** A short request is given this long; an operation takes as long as it takes. */
const SHORT_REQUEST_MS = 20_000;

/** One executor process, from its start to its end. */
export class ExecutorConnection {
  readonly #socket: Duplex;
  #partial: Buffer = Buffer.alloc(0);
  #ended = false;

  /** `executor`: where one is started, or one that was. */
  constructor(executor: ExecutorDoor | Duplex, on: Readonly<{ answer(answer: ExecutorAnswer): void; end(): void }>) {
    this.#socket = 'open' in executor ? executor.open() : executor;
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk, on.answer));
    this.#socket.on('error', () => this.#socket.destroy());
    this.#socket.on('close', () => {
      this.#ended = true;
      on.end();
    });
  }

  get ended(): boolean {
    return this.#ended;
  }

  send(request: ExecutorRequest): void {
    this.#socket.write(`${JSON.stringify(request)}\n`);
  }

  /** Nothing more will be asked; the executor may still answer. */
  finish(): void {
    this.#socket.end();
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(chunk: Buffer, deliver: (answer: ExecutorAnswer) => void): void {
    this.#partial = Buffer.concat([this.#partial, chunk]);
    if (this.#partial.length > 4 * FRAME_BYTES_MAX) this.close();
    for (let at = this.#partial.indexOf(10); at >= 0; at = this.#partial.indexOf(10)) {
      const line = this.#partial.subarray(0, at);
      this.#partial = this.#partial.subarray(at + 1);
      try {
        deliver(parseSchema(answer, parseCanonical(line)));
      } catch {
        this.close();
        return;
      }
    }
  }
}

/** `root`: the version that executors go by. */
export type Report = Readonly<{ head: string; open: string | null; root: number; receipts: readonly string[] }>;

/**
 * Asks a fresh executor what its journal holds, or hears one that was asked already; throws `EXECUTOR_UNAVAILABLE` or the
 * code of its refusal.
 */
export async function askReport(executor: ExecutorDoor | Duplex): Promise<Report> {
  const answers = await ask(executor, 'open' in executor ? [{ t: 'receipts' }] : []);
  const state = answers.find((answer) => answer.t === 'state');
  if (!state) throw new Failure('EXECUTOR_UNAVAILABLE');
  const receipts = answers.flatMap((answer) => (answer.t === 'receipt' ? [answer.token] : []));
  return { head: state.head, open: state.open, root: state.root, receipts };
}

/** Asks a fresh executor whether a reset could be done now; its signed answer. */
export async function askPreflight(door: ExecutorDoor, nonce: string, now: number): Promise<string> {
  const answers = await ask(door, [{ t: 'preflight', nonce, now }]);
  const answer = answers.find((found) => found.t === 'preflight');
  if (!answer) throw new Failure('EXECUTOR_UNAVAILABLE');
  return answer.token;
}

/** Sends requests to a fresh executor and collects its answers; throws the code of its refusal. */
export function ask(
  executor: ExecutorDoor | Duplex,
  requests: readonly ExecutorRequest[],
): Promise<readonly ExecutorAnswer[]> {
  return new Promise((resolve, reject) => {
    const answers: ExecutorAnswer[] = [];
    const connection = new ExecutorConnection(executor, {
      answer: (answer) => answers.push(answer),
      end: () => {
        clearTimeout(timer);
        const refused = answers.find((answer) => answer.t === 'refused');
        if (refused)
          reject(new Failure(isCode(refused.code) ? refused.code : 'EXECUTOR_UNAVAILABLE', { by: 'executor' }));
        else if (answers.at(-1)?.t === 'end') resolve(answers);
        else reject(new Failure('EXECUTOR_UNAVAILABLE'));
      },
    });
    const timer = setTimeout(() => connection.close(), SHORT_REQUEST_MS);
    for (const request of requests) connection.send(request);
    connection.finish();
  });
}
