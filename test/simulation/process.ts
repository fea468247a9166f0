// One executor process in a simulation: every call of a port passes a gate, at which the process may be killed, the power
// cut, the call made to fail, or something else happen meanwhile. What is dead never does anything again.

import { type Duplex, duplexPair } from 'node:stream';
import { type Answer, Channel } from '../../agent/executor/channel.ts';
import type { ExecutorParts } from '../../agent/executor/parts.ts';
import { serveConnection } from '../../agent/executor/session.ts';
import { Failure } from '../../protocol/failure.ts';
import type { When } from './scenario.ts';

/** What a gate is told to do at a call. */
export type Verdict = Readonly<{ when: When; how: 'kill' | 'power_cut' | 'defect' } | { when: When; how: Failure }>;

/** What a process belongs to. Its methods are called at every call, in the order of the calls. */
export type Surroundings = Readonly<{
  called(process: SimulatedProcess, call: string): Promise<void>;
  verdict(process: SimulatedProcess, call: string): Verdict | undefined;
  struck(process: SimulatedProcess, call: string, verdict: Verdict): void;
  returned(process: SimulatedProcess, call: string): void;
  said(process: SimulatedProcess, answer: Answer): void;
}>;

/** An error that no contract names, planted by the simulation. */
export class PlantedDefect extends Error {}

const never = new Promise<never>(() => {});

/** A channel that shows what is said at the moment of saying it. */
class WatchedChannel extends Channel {
  readonly #watch: (answer: Answer) => boolean;

  constructor(socket: Duplex, watch: (answer: Answer) => boolean) {
    super(socket);
    this.#watch = watch;
  }

  override send(answer: Answer): void {
    if (this.#watch(answer)) super.send(answer);
  }
}

export class SimulatedProcess {
  readonly name: string;
  /** The process at work, to which things are done; not one that runs beside it. */
  readonly main: boolean;
  calls = 0;
  readonly callsByName = new Map<string, number>();
  dead = false;
  /** It may be told of acknowledgements: it carries an operation out. */
  listening = false;
  readonly heard: Answer[] = [];
  readonly over: Promise<unknown>;
  readonly #around: Surroundings;
  readonly #near: Duplex;
  readonly #far: Duplex;
  #bury: () => void = () => {};
  #wake: () => void = () => {};
  #partial = '';

  constructor(
    name: string,
    main: boolean,
    around: Surroundings,
    assemble: (process: SimulatedProcess) => ExecutorParts,
  ) {
    this.name = name;
    this.main = main;
    this.#around = around;
    const [near, far] = duplexPair();
    this.#near = near;
    this.#far = far;
    for (const end of [near, far]) end.on('error', () => {});
    near.on('data', (chunk: Buffer) => this.#take(chunk.toString()));
    const channel = new WatchedChannel(far, (answer) => {
      if (!this.dead) around.said(this, answer);
      return !this.dead;
    });
    const died = new Promise<void>((resolve) => {
      this.#bury = resolve;
    });
    const served = serveConnection(assemble(this), channel)
      .then(() => channel.end())
      .catch((error: unknown) => error);
    this.over = Promise.race([served, died]).finally(() => {
      this.die();
      this.#wake();
    });
  }

  send(request: object): void {
    this.#near.write(`${JSON.stringify(request)}\n`);
  }

  finish(): void {
    this.#near.end();
  }

  disconnect(): void {
    this.#near.destroy();
    this.#far.destroy();
  }

  /** The first answer of that type, or `undefined` when the process is over without one. */
  async answer(t: Answer['t']): Promise<Answer | undefined> {
    for (;;) {
      const found = this.heard.find((answer) => answer.t === t);
      if (found || this.dead) return found;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await settle();
    }
  }

  die(): void {
    if (this.dead) return;
    this.dead = true;
    this.#bury();
    this.disconnect();
  }

  /** Runs one call of a port. */
  async pass<T>(call: string, act: () => T | Promise<T>): Promise<T> {
    if (this.dead) return never;
    this.calls += 1;
    this.callsByName.set(call, (this.callsByName.get(call) ?? 0) + 1);
    const verdict = this.#around.verdict(this, call);
    await this.#around.called(this, call);
    if (this.dead) return never;
    if (verdict?.when === 'before') await this.#strike(call, verdict);
    const result = await act();
    if (this.dead) return never;
    if (verdict) await this.#strike(call, verdict);
    this.#around.returned(this, call);
    return result;
  }

  async #strike(call: string, verdict: Verdict): Promise<void> {
    this.#around.struck(this, call, verdict);
    if (this.dead) return never;
    if (verdict.how instanceof Failure) throw verdict.how;
    throw new PlantedDefect(`EIO at ${call}`);
  }

  #take(text: string): void {
    const lines = (this.#partial + text).split('\n');
    this.#partial = lines.pop() ?? '';
    for (const line of lines) this.heard.push(JSON.parse(line) as Answer);
    this.#wake();
  }
}

/** Lets everything that is due happen. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
