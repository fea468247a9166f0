// The signer as a child process: started, waited for, started again when it dies, and ended with its parent. While it is
// away nothing is signed; it must never be replaced by anything in this process.

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import type { Logger } from 'pino';
import { Failure } from '../../protocol/failure.ts';
import { firstWord } from './first-word.ts';

const STOP_TIMEOUT_MS = 5_000;
const RESTART_MS_MIN = 250;
const RESTART_MS_MAX = 10_000;
/** One that lived this long was well: the next death starts the back-off anew. */
const STEADY_MS = 60_000;

export type SignerProgram = Readonly<{ argv: readonly string[]; logPath: string; log: Logger }>;

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
    await firstWord(child, 'SIGNER_UNAVAILABLE');
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
    if (this.#child) await stopChild(this.#child);
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
    // It lies in the signer's folder: where we are root, a link there must lead us nowhere.
    const { O_APPEND, O_CREAT, O_NOFOLLOW, O_WRONLY } = constants;
    const log = openSync(logPath, O_APPEND | O_CREAT | O_NOFOLLOW | O_WRONLY, 0o600);
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

/** Its standard input is its lifeline: it ends when we close it, and when we die. */
export async function stopChild(child: ChildProcess, withinMs = STOP_TIMEOUT_MS): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.stdin?.end();
  const timer = setTimeout(() => child.kill('SIGKILL'), withinMs);
  await ended;
  clearTimeout(timer);
}
