// Ways into a running guest: a program run inside it, its output collected, or a connection to one of its ports. Each is
// one child process that joins the guest's namespaces, and dies with us or with the guest. Nothing of our environment
// goes along.
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';

const OUTPUT_MAX = 16 * 1024 * 1024;
const TIMEOUT_MS = 30_000;

export type SpawnOptions = {
  /** An account of the guest; root by default. */
  user?: string;
  env?: Readonly<Record<string, string>>;
  /** A terminal of the guest's own: its output comes out on stdout, its input goes in on stdin. */
  pty?: boolean;
  stdio?: 'pipe' | 'inherit';
};

export type ExecOptions = Omit<SpawnOptions, 'stdio'> & { input?: string | Uint8Array; timeoutMs?: number };
export type ExecResult = { code: number; stdout: string; stderr: string };

export type Door = { native: string; pid: number };

export function enterArguments(pid: number, argv: readonly string[], options: SpawnOptions = {}): string[] {
  const { user = 'root', env = {}, pty = false } = options;
  const variables = Object.entries(env).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
  return ['enter', String(pid), '-u', user, ...(pty ? ['-t'] : []), ...variables, '--', ...argv];
}

export function spawnInside({ native, pid }: Door, argv: readonly string[], options: SpawnOptions = {}): ChildProcess {
  return spawn(native, enterArguments(pid, argv, options), { stdio: options.stdio ?? 'pipe' });
}

function collect(stream: NodeJS.ReadableStream | null, stop: () => void): () => string {
  const parts: Buffer[] = [];
  let size = 0;
  stream?.on('data', (part: Buffer) => {
    size += part.length;
    if (size > OUTPUT_MAX) stop();
    else parts.push(part);
  });
  return () => Buffer.concat(parts).toString('utf8');
}

export async function execInside(door: Door, argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
  const { input, timeoutMs = TIMEOUT_MS, ...rest } = options;
  const child = spawnInside(door, argv, rest);
  const stop = () => void child.kill('SIGKILL');
  const stdout = collect(child.stdout, stop);
  const stderr = collect(child.stderr, stop);
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(input);
  const timer = setTimeout(stop, timeoutMs);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    if (code === null)
      throw new Error(`${argv[0]} in the guest was stopped: over ${timeoutMs} ms or ${OUTPUT_MAX} bytes`);
    return { code, stdout: stdout(), stderr: stderr() };
  } finally {
    clearTimeout(timer);
  }
}

/** A connection to 127.0.0.1:`port` inside the guest. */
export async function connectInside({ native, pid }: Door, port: number): Promise<Socket> {
  const argv = enterArguments(pid, ['/usr/lib/latchkey-lab/lab-connect', String(port)]);
  const child = spawn(native, argv, { stdio: ['ignore', 'pipe', 'pipe', 'pipe'] });
  const errors = collect(child.stderr, () => undefined);
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.stdout?.once('data', () => resolve());
    child.once('close', () => reject(new Error(`no connection to port ${port} of the guest: ${errors().trim()}`)));
  });
  const socket = child.stdio[3] as Socket;
  socket.once('close', () => child.kill());
  return socket;
}
