// The signer as a child process: started, waited for, started again when it dies, and ended with its parent. While it is
// away nothing is signed; it must never be replaced by anything in this process.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import type { Logger } from 'pino';
import { z } from 'zod';
import { isCode } from '../../protocol/codes.ts';
import { Failure } from '../../protocol/failure.ts';

const START_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 5_000;
const RESTART_MS_MIN = 250;
const RESTART_MS_MAX = 10_000;
/** One that lived this long was well: the next death starts the back-off anew. */
const STEADY_MS = 60_000;

export type SignerProgram = Readonly<{ argv: readonly string[]; logPath: string; log: Logger }>;

/** What the child says on its standard output: that it listens, or why it cannot. */
const word = z.union([
  z.strictObject({ event: z.literal('listening') }),
  z.strictObject({
    event: z.literal('failed'),
    code: z.string(),
    details: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  }),
]);

export class SignerChild {
  readonly #program: SignerProgram;
  #child: ChildProcess | undefined;
  #stopping = false;
  #delayMs = RESTART_MS_MIN;
  #timer: NodeJS.Timeout | undefined;

  constructor(program: SignerProgram) {
    this.#program = program;
  }

  /** Returns once it listens; throws the code of why it cannot. */
  async start(): Promise<void> {
    const startedAt = performance.now();
    const child = this.#spawn();
    this.#child = child;
    await firstWord(child);
    child.once('exit', (status, signal) => {
      if (this.#stopping) return;
      this.#program.log.error({ status, signal }, 'the signer ended');
      if (performance.now() - startedAt > STEADY_MS) this.#delayMs = RESTART_MS_MIN;
      this.#restart();
    });
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    // Its standard input is its lifeline: it ends when we close it, and when we die.
    child.stdin?.end();
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
  }

  /** For whoever wants to see it die. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  #restart(): void {
    this.#timer = setTimeout(() => {
      this.start().then(
        () => this.#program.log.info({ pid: this.pid }, 'the signer is back'),
        (error: unknown) => {
          this.#program.log.error(
            { code: error instanceof Failure ? error.code : 'INTERNAL' },
            'the signer does not start',
          );
          if (!this.#stopping) this.#restart();
        },
      );
    }, this.#delayMs);
    this.#delayMs = Math.min(RESTART_MS_MAX, this.#delayMs * 2);
  }

  #spawn(): ChildProcess {
    const { argv, logPath } = this.#program;
    const log = openSync(logPath, 'a', 0o600);
    try {
      // No environment but the log level, so that nothing in ours can reach the process that holds the key; and no
      // debugger on a signal.
      const level = process.env['LATCHKEY_LOG_LEVEL'];
      return spawn(process.execPath, ['--disable-sigusr1', ...argv], {
        stdio: ['pipe', 'pipe', log],
        env: level === undefined ? {} : { LATCHKEY_LOG_LEVEL: level },
      });
    } finally {
      closeSync(log);
    }
  }
}

function firstWord(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = '';
    const give = (error: Failure) => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(error);
    };
    const timer = setTimeout(
      () => give(new Failure('SIGNER_UNAVAILABLE', { reason: 'start_timeout' })),
      START_TIMEOUT_MS,
    );
    child.once('error', (cause) => give(new Failure('SIGNER_UNAVAILABLE', { reason: 'spawn' }, cause)));
    child.once('exit', (status) => give(new Failure('SIGNER_UNAVAILABLE', { reason: 'exit', status })));
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end === -1) return;
      const said = word.safeParse(parse(text.slice(0, end)));
      if (!said.success) return give(new Failure('SIGNER_UNAVAILABLE', { reason: 'word' }));
      if (said.data.event === 'failed') {
        const { code, details } = said.data;
        return give(new Failure(isCode(code) ? code : 'SIGNER_UNAVAILABLE', details));
      }
      clearTimeout(timer);
      child.removeAllListeners('exit');
      resolve();
    });
  });
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
