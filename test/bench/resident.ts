// A resident program inside a lab guest, started and looked at from outside: when it said that it is ready, what memory it
// holds, and what it did in a span of time. Looks at /proc alone.

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Guest } from '../lab/guest.ts';

export type Program = Readonly<{
  argv: readonly string[];
  user?: string;
  env?: Readonly<Record<string, string>>;
  /** What its output holds once it is ready; a program without is never asked. */
  ready?: string;
}>;

export type Memory = Readonly<{ pssMb: number; anonMb: number }>;
export type Work = Readonly<{ cpuMs: number; switches: number; voluntary: number }>;

const READY_MS_MAX = 30_000;

export class Resident {
  readonly readyMs: number | null;
  readonly #guest: Guest;
  readonly #pid: number;
  readonly #child: ChildProcess;

  private constructor(guest: Guest, child: ChildProcess, pid: number, readyMs: number | null) {
    this.#guest = guest;
    this.#child = child;
    this.#pid = pid;
    this.readyMs = readyMs;
  }

  /** Starts it and waits until it is ready. The way into the guest is part of that time, for every program alike. */
  static async start(guest: Guest, { argv, user = 'root', env = {}, ready }: Program): Promise<Resident> {
    const startedMs = performance.now();
    const child = await guest.spawn(['sh', '-c', 'echo $$; exec "$@"', 'sh', ...argv], { user, env });
    let output = '';
    child.stderr?.on('data', (chunk) => {
      output += String(chunk);
    });
    const lines = new Promise<number | null>((resolve, reject) => {
      child.stdout?.on('data', (chunk) => {
        output += String(chunk);
        if (output.includes(ready ?? '\n')) resolve(ready === undefined ? null : performance.now() - startedMs);
      });
      child.once('close', () => reject(new Error(`${argv[0]} ended: ${output.slice(-500)}`)));
      setTimeout(() => reject(new Error(`${argv[0]} is not ready: ${output.slice(-500)}`)), READY_MS_MAX).unref();
    });
    const readyMs = await lines;
    return new Resident(guest, child, Number(output.split('\n', 1)[0]), readyMs);
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** `smaps_rollup` of proc_pid_smaps(5). */
  async memory(): Promise<Memory> {
    const rollup = await this.#read('cat /proc/$1/smaps_rollup');
    const megabytes = (field: string) => Number(new RegExp(`^${field}:\\s+([0-9]+) kB$`, 'm').exec(rollup)?.[1]) / 1024;
    return { pssMb: megabytes('Pss'), anonMb: megabytes('Anonymous') };
  }

  /** What all of its threads did since they began. */
  async work(): Promise<Work> {
    const [times = '', status = ''] = (
      await this.#read('cat /proc/$1/task/*/schedstat; echo; cat /proc/$1/task/*/status')
    ).split('\n\n');
    const sum = (matches: Iterable<RegExpExecArray>) => [...matches].reduce((total, [, n]) => total + Number(n), 0);
    const voluntary = sum(status.matchAll(/^voluntary_ctxt_switches:\s+([0-9]+)$/gm));
    const forced = sum(status.matchAll(/^nonvoluntary_ctxt_switches:\s+([0-9]+)$/gm));
    return { cpuMs: sum(times.matchAll(/^([0-9]+) /gm)) / 1e6, voluntary, switches: voluntary + forced };
  }

  async stop(): Promise<void> {
    if (!this.running) return;
    const closed = once(this.#child, 'close');
    await this.#guest.kill(this.#pid, 'SIGKILL');
    await closed;
  }

  async #read(script: string): Promise<string> {
    const { code, stdout, stderr } = await this.#guest.exec(['sh', '-c', script, 'sh', String(this.#pid)]);
    if (code !== 0) throw new Error(stderr);
    return stdout;
  }
}
