// The link's dealings with executors: at most one prepared or at work, a resumed one after a restart, and short errands.
// It decides nothing about an operation; it only knows which connection belongs to it.

import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { isEnd } from '../../protocol/lifecycle.ts';
import { receipt as receiptSchema } from '../../protocol/receipt.ts';
import type { SignedRoot } from '../../protocol/root.ts';
import { parseSchema } from '../../protocol/schema.ts';
import { payloadOf } from '../../protocol/token.ts';
import {
  ask,
  askPreflight,
  askReport,
  type ExecutorAnswer,
  ExecutorConnection,
  type Report,
} from './executor-client.ts';
import type { ExecutorDoor } from './executor-door.ts';

/** What the desk passes on; each is called at any time between `open` and the end of the process. */
export type DeskEvents = Readonly<{
  ready(op: string, token: string): void;
  receipt(token: string): void;
  refused(op: string, code: string): void;
}>;

/** An operation whose executor ended without an end of the operation is taken up again after this long. */
const RESUME_MS = 2_000;
/** And ever later, up to this, while that leads nowhere: each try starts a process. */
const RESUME_MS_MAX = 60_000;
const ACKS_PER_ERRAND = 32;
/** Acknowledgements are handed over together: each hand-over starts a process. */
const ACK_MS = 500;

/** `finished`: the end of the operation was said; the process only has to put its things away. */
type Current = { op: string; connection: ExecutorConnection; answered: boolean; executing: boolean; finished: boolean };
type Asked = Readonly<{ op: string; account: string | null }>;

/** Where an executor is started, and one that was started and asked for its report already. */
export type Executors = Readonly<{ door: ExecutorDoor; asked?: Duplex }>;

export class ExecutorDesk {
  readonly #door: ExecutorDoor;
  readonly #events: DeskEvents;
  readonly #log: Logger;
  /** One that was asked for its report before there was a desk. */
  #asked: Duplex | undefined;
  #current: Current | undefined;
  #resumed: { op: string; connection: ExecutorConnection; finished: boolean } | undefined;
  #next: Asked | undefined;
  /** The newest acknowledgement of each operation that no executor has taken yet. */
  readonly #acks = new Map<string, string>();
  #ackTimer: NodeJS.Timeout | undefined;
  /** Tries in a row that led nowhere. */
  #looks = 0;
  #ackTries = 0;
  #asking = false;
  #errands: Promise<unknown> = Promise.resolve();
  #errandsOpen = 0;
  /** An operation is under way somewhere, as far as is known. */
  #watching = false;

  constructor({ door, asked }: Executors, events: DeskEvents, log: Logger) {
    this.#door = door;
    this.#asked = asked;
    this.#events = events;
    this.#log = log;
  }

  /** Whether no executor is asked, prepared or at work, and no operation waits to be taken up again. */
  get idle(): boolean {
    return !this.#current && !this.#resumed && !this.#watching && this.#errandsOpen === 0;
  }

  report(): Promise<Report> {
    const asked = this.#asked;
    this.#asked = undefined;
    return this.#errand(() => askReport(asked && !asked.destroyed ? asked : this.#door));
  }

  /** Gives executors the next root; throws the code of their refusal. */
  async bringRoot(document: SignedRoot): Promise<void> {
    await this.#errand(() => ask(this.#door, [{ t: 'root', document }]));
  }

  /** Leaves whatever waits or is at work alone: the question has an executor of its own. */
  async preflight(nonce: string, now: number): Promise<string> {
    if (this.#asking) throw new Failure('RATE_LIMITED', { reason: 'unanswered' });
    this.#asking = true;
    try {
      return await this.#errand(() => askPreflight(this.#door, nonce, now));
    } finally {
      this.#asking = false;
    }
  }

  /** Short requests take turns: each is a process, and the service manager starts only a few at a time. */
  #errand<T>(run: () => Promise<T>): Promise<T> {
    this.#errandsOpen += 1;
    const turn = this.#errands.then(run).finally(() => {
      this.#errandsOpen -= 1;
    });
    this.#errands = turn.catch(() => undefined);
    return turn;
  }

  /** Starts an executor for an operation. One that only waits for another operation is let go. */
  prepare(op: string, account: string | null): void {
    if (this.#current?.finished) {
      if (this.#next && this.#next.op !== op) this.#events.refused(this.#next.op, 'BUSY');
      this.#next = { op, account };
      return;
    }
    if (this.#current?.executing || this.#resumed) {
      this.#events.refused(op, 'BUSY');
      return;
    }
    this.#current?.connection.close();
    const current: Current = {
      op,
      answered: false,
      executing: false,
      finished: false,
      connection: this.#open(op),
    };
    this.#current = current;
    current.connection.send({ t: 'prepare', op, account });
  }

  /** Hands a command to the executor that waits for it, with the intent that came beside it. */
  execute(op: string, token: string, intent: string | undefined): void {
    const current = this.#current;
    if (current?.op !== op) {
      this.#events.refused(op, 'NONCE_UNKNOWN');
      return;
    }
    current.executing = true;
    current.connection.send({ t: 'execute', token, ...(intent === undefined ? {} : { intent }) });
  }

  /**
   * Lets an executor go that only waits, and forgets one that was to be prepared: a nonce is good for the connection that
   * it was given to. Else a machine that is put back to this moment would obey the command of the time that it forgot.
   */
  disconnected(): void {
    this.#next = undefined;
    if (!this.#current || this.#current.executing) return;
    this.#current.connection.close();
    this.#current = undefined;
  }

  cancel(op: string, token: string): void {
    this.#errand(() => ask(this.#door, [{ t: 'cancel', token }])).catch((error: unknown) =>
      this.#events.refused(op, codeOf(error) ?? 'INTERNAL'),
    );
  }

  acknowledge(op: string, token: string): void {
    // An executor that has said the end listens no more: the last acknowledgement would be lost with it.
    const worker = this.#current?.executing ? this.#current : this.#resumed;
    if (worker?.op === op && !worker.finished) {
      worker.connection.send({ t: 'ack', token });
      return;
    }
    this.#acks.set(op, token);
    this.#ackTimer ??= setTimeout(() => void this.#deliverAcks(), ACK_MS);
  }

  /** The operation whose command an executor has and whose end it has not said. */
  get atWork(): string | null {
    const { op, executing, finished } = this.#current ?? {};
    return executing && !finished ? (op ?? null) : null;
  }

  /** Takes up an operation that no executor of this process carries out. */
  resume(op: string): void {
    if (this.#current?.executing || this.#resumed) return;
    const connection = new ExecutorConnection(this.#door, {
      answer: (answer) => {
        this.#relay(op, answer);
        // What keeps an operation from its end, such as a full disk, is for an operator to know.
        if (answer.t === 'refused' && answer.op === null && answer.code !== 'BUSY')
          this.#events.refused(op, answer.code);
      },
      end: () => {
        this.#resumed = undefined;
        this.#lookAgain();
      },
    });
    this.#resumed = { op, connection, finished: false };
    connection.send({ t: 'resume' });
  }

  #open(op: string): ExecutorConnection {
    const connection: ExecutorConnection = new ExecutorConnection(this.#door, {
      answer: (answer) => this.#relay(op, answer),
      end: () => this.#ended(op, connection),
    });
    return connection;
  }

  #relay(op: string, answer: ExecutorAnswer): void {
    if (this.#current?.op === op) this.#current.answered = true;
    if (answer.t === 'ready') this.#events.ready(answer.op, answer.token);
    if (answer.t === 'receipt') {
      this.#looks = 0;
      this.#events.receipt(answer.token);
      for (const worker of [this.#current, this.#resumed])
        if (worker?.op === op && saysEnd(answer.token)) worker.finished = true;
    }
    if (answer.t === 'refused') {
      this.#log.warn({ op, code: answer.code }, 'the executor refused');
      // A resumed operation that is carried out by a process that outlived its link: it will be looked at again.
      const waits = this.#current?.op === op && !this.#current.executing;
      if (answer.op !== null || waits) this.#events.refused(answer.op ?? op, answer.code);
    }
  }

  #ended(op: string, connection: ExecutorConnection): void {
    if (this.#current?.connection !== connection) return;
    const { answered, executing, finished } = this.#current;
    const next = this.#next;
    this.#current = undefined;
    this.#next = undefined;
    if (executing && !finished) this.#lookAgain();
    else if (!answered) this.#events.refused(op, 'EXECUTOR_UNAVAILABLE');
    else if (!executing) this.#log.info({ op }, 'the prepared executor ended without a command');
    if (next) this.prepare(next.op, next.account);
  }

  /** After an executor's end: is there still an operation under way? Then another one takes it up. */
  #lookAgain(): void {
    this.#watching = true;
    setTimeout(() => {
      this.report()
        .then(({ open, receipts }) => {
          for (const token of receipts) this.#events.receipt(token);
          this.#watching = false;
          if (open === null) this.#looks = 0;
          else this.resume(open);
        })
        .catch((error: unknown) => {
          this.#log.warn({ code: codeOf(error) ?? 'INTERNAL' }, 'the executor cannot be asked');
          this.#lookAgain();
        });
    }, laterMs(this.#looks)).unref();
    this.#looks += 1;
  }

  async #deliverAcks(): Promise<void> {
    this.#ackTimer = undefined;
    const acks = [...this.#acks].slice(0, ACKS_PER_ERRAND);
    try {
      await this.#errand(() =>
        ask(
          this.#door,
          acks.map(([, token]) => ({ t: 'ack', token })),
        ),
      );
      this.#ackTries = 0;
      for (const [op, token] of acks) if (this.#acks.get(op) === token) this.#acks.delete(op);
      if (this.#acks.size > 0) this.#ackTimer ??= setTimeout(() => void this.#deliverAcks(), ACK_MS);
    } catch (error) {
      // Busy, most likely: the receipts stay in the journal, and an acknowledgement that is lost is given again.
      this.#log.debug({ code: error instanceof Failure ? error.code : 'INTERNAL' }, 'acknowledgements not taken yet');
      this.#ackTimer ??= setTimeout(() => void this.#deliverAcks(), laterMs(this.#ackTries));
      this.#ackTries += 1;
    }
  }
}

function laterMs(tries: number): number {
  return Math.min(RESUME_MS_MAX, RESUME_MS * 2 ** Math.min(tries, 10));
}

/** Whether a receipt says the end of its operation. A claim only, and enough to know that its executor will exit. */
function saysEnd(token: string): boolean {
  try {
    return isEnd(parseSchema(receiptSchema, payloadOf(token)).state);
  } catch (error) {
    if (!codeOf(error)) throw error;
    return false;
  }
}
