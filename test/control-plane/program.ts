// `latchkey serve`, or a part of it, as a child process over a temporary folder: started, killed and started again by tests.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AGENT_PATH } from '../../control-plane/gateway/endpoint.ts';

export const MAIN = join(import.meta.dirname, '../../control-plane/main.ts');

/** A start that fails does so within this, also on a machine that is busy with other tests. */
const RUN_MS_MAX = 60_000;

export type Ended = Readonly<{ code: number | null; stdout: string; stderr: string }>;

/** Runs the program to its end. */
export async function run(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  const child = start(args, env);
  const [out, err] = [collect(child.stdout), collect(child.stderr)];
  // A program that should have ended and serves instead must not outlive the tests.
  const timer = setTimeout(() => child.kill('SIGKILL'), RUN_MS_MAX);
  const code = await exitOf(child);
  clearTimeout(timer);
  return { code, stdout: out(), stderr: err() };
}

export class ServeProgram {
  readonly data: string;
  readonly #flags: readonly string[];
  readonly #command: string;
  readonly #env: Record<string, string>;
  #child: ChildProcess | undefined;
  #port = 0;
  origin = '';
  stderr: () => string = () => '';

  /** `command` may be a part of it alone, over the data folder of another one. */
  constructor(
    flags: readonly string[] = [],
    data = mkdtempSync(join(tmpdir(), 'latchkey-serve-')),
    command = 'serve',
    env: Record<string, string> = {},
  ) {
    this.#flags = flags;
    this.data = data;
    this.#command = command;
    this.#env = env;
  }

  /** Starts it; the second start listens where the first one did. */
  async start(): Promise<this> {
    const listen = `127.0.0.1:${this.#port}`;
    const child = start([this.#command, '--data', this.data, '--listen', listen, '--json', ...this.#flags], this.#env);
    this.#child = child;
    this.stderr = collect(child.stderr);
    const line = await firstLine(child);
    const { url } = JSON.parse(line) as { url: string };
    this.#port = Number(new URL(url).port);
    this.origin = `http://127.0.0.1:${this.#port}`;
    return this;
  }

  get agentUrl(): string {
    return `ws://127.0.0.1:${this.#port}${AGENT_PATH}`;
  }

  get port(): number {
    return this.#port;
  }

  get apiKey(): string {
    return readFileSync(join(this.data, 'api-key'), 'utf8').trim();
  }

  async ask(method: string, path: string, body?: unknown): Promise<{ status: number; body: Record<string, unknown> }> {
    const response = await fetch(`${this.origin}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.apiKey}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  /** Closes our end of its standard output. */
  deafen(): void {
    this.#child?.stdout?.destroy();
  }

  /** An orderly end; its exit code. */
  async stop(): Promise<number | null> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    child.kill('SIGTERM');
    return exitOf(child);
  }

  /** As a power loss would. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (!child) return;
    child.kill('SIGKILL');
    await exitOf(child);
  }

  /** Its signers that run, by their process ids. */
  signers(): number[] {
    const isSigner = (pid: string) => {
      try {
        const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        return argv.includes('signer') && argv.includes(this.data);
      } catch {
        return false;
      }
    };
    return readdirSync('/proc')
      .filter((name) => /^[0-9]+$/.test(name) && isSigner(name))
      .map(Number);
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.data, { recursive: true, force: true });
  }
}

export function start(args: readonly string[], env: Record<string, string> = {}): ChildProcess {
  const { PATH = '', HOME = '' } = process.env;
  return spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH, HOME, ...env } });
}

function collect(stream: ChildProcess['stdout']): () => string {
  let text = '';
  stream?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  return () => text;
}

export function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve(child.exitCode);
    else child.once('close', (code) => resolve(code));
  });
}

export function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end >= 0) resolve(text.slice(0, end));
    });
    child.once('close', (code) => reject(new Error(`ended with ${code} before its first line`)));
  });
}
