// The product's own control plane as a child process with a data folder of its own, and its command line as an operator
// would use it. It can be killed and started again on the same folder and port.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { VmView } from '../../control-plane/api/schemas.ts';
import { type Api, connectApi } from '../../control-plane/cli/client/api.ts';
import type { Client } from '../../control-plane/cli/client/client.ts';
import { randomKernel } from '../../control-plane/config/random-kernel.ts';
import { Secret } from '../../protocol/secret.ts';
import { AGENT_URL, type AttachedOptions, type Attachment, createAttachedGuest } from './enrolled.ts';
import type { Guest } from './guest.ts';

const PROGRAM = join(import.meta.dirname, '../../control-plane/main.ts');
const CLOCK_AHEAD = new URL('./clock-ahead.ts', import.meta.url);

/** PEM texts: a server's certificate and key, and the authority that issued it. */
export type Tls = Readonly<{ cert: string; key: string; caPem: string }>;

/**
 * With `tls`, everything is https and wss, with a certificate of that authority. With `selfSignedFor`, the address by which
 * agents reach it, `serve` makes an authority of its own.
 */
export type ControlPlaneOptions = Readonly<{ tls?: Tls; selfSignedFor?: string }>;

export type CommandResult = Readonly<{ code: number; stdout: string; stderr: string }>;

export class ControlPlane {
  readonly folder: string;
  readonly data: string;
  url = '';
  /** What `serve` wrote to its standard error. */
  log = '';
  #listen = '127.0.0.1:0';
  #child: ChildProcess | undefined;
  readonly #tls: Tls | undefined;
  readonly #selfSignedFor: string | undefined;

  private constructor(folder: string, { tls, selfSignedFor }: ControlPlaneOptions) {
    this.folder = folder;
    this.data = join(folder, 'data');
    this.#tls = tls;
    this.#selfSignedFor = selfSignedFor;
  }

  static async start(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-control-plane-'));
    // The users that root's processes become have to pass through it.
    chmodSync(folder, 0o711);
    const controlPlane = new ControlPlane(folder, options);
    for (const [name, pem] of Object.entries(options.tls ?? {}))
      writeFileSync(join(folder, `${name}.pem`), pem, { mode: 0o600 });
    await controlPlane.run();
    return controlPlane;
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  /** The pids of `serve` and of every process that it started. */
  pids(): number[] {
    const family: number[] = [];
    for (const queue = [this.#child?.pid ?? 0]; queue.length > 0; ) {
      const pid = queue.shift() ?? 0;
      family.push(pid);
      queue.push(
        ...readFileSync(`/proc/${pid}/task/${pid}/children`, 'ascii').trim().split(' ').filter(Boolean).map(Number),
      );
    }
    return family;
  }

  /** Starts `serve`, on the port that it had before, with a clock that is ahead if asked for. */
  async run({ aheadMs = 0 } = {}): Promise<void> {
    const file = (name: keyof Tls) => join(this.folder, `${name}.pem`);
    const given = this.#tls ? ['--tls-cert', file('cert'), '--tls-key', file('key'), '--ca', file('caPem')] : [];
    const own = this.#selfSignedFor === undefined ? [] : ['--tls-self-signed', '--agent-url', this.#selfSignedFor];
    const tls = [...given, ...own];
    const clock = aheadMs === 0 ? [] : ['--import', `${CLOCK_AHEAD}?ms=${aheadMs}`];
    const argv = [...clock, PROGRAM, 'serve', '--data', this.data, '--listen', this.#listen, '--json', ...tls];
    const child = spawn(process.execPath, argv, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: this.#environment(),
    });
    this.#child = child;
    child.stderr.on('data', (chunk) => {
      this.log += String(chunk);
    });
    const lines = createInterface({ input: child.stdout });
    const ended = once(child, 'close').then(() => {
      throw new Error(`latchkey serve ended: ${this.log.slice(-2000)}`);
    });
    ended.catch(() => undefined);
    const listening = (async () => {
      for await (const line of lines) {
        const { event, url } = JSON.parse(line) as { event?: string; url?: string };
        if (event === 'listening' && url) return url;
      }
      return ended;
    })();
    this.url = await Promise.race([listening, ended]);
    this.#listen = `127.0.0.1:${this.port}`;
  }

  /** SIGKILL to the whole program: what it had not made durable is lost. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Starts again with another certificate, on the same port. */
  async serveWith({ cert, key }: Pick<Tls, 'cert' | 'key'>): Promise<void> {
    await this.stop();
    for (const [name, pem] of Object.entries({ cert, key })) writeFileSync(join(this.folder, `${name}.pem`), pem);
    await this.run();
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
  }

  async destroy(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Runs `latchkey` with these arguments against this control plane. */
  async latchkey(argv: readonly string[], { input = '', state = 'state' } = {}): Promise<CommandResult> {
    const authority = this.#authorityFile();
    const child = spawn(process.execPath, [PROGRAM, ...argv, ...(authority ? ['--ca', authority] : [])], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: this.#environment(state),
    });
    child.stdin.end(input);
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk) => {
      stdout += String(chunk);
    });
    child.stderr.on('data', (chunk) => {
      stderr += String(chunk);
    });
    const [code] = (await once(child, 'close')) as [number | null];
    return { code: code ?? -1, stdout, stderr };
  }

  /** A `latchkey` command that must succeed; its last JSON line. */
  async must<T>(argv: readonly string[]): Promise<T> {
    const { code, stdout, stderr } = await this.latchkey([...argv, '--json']);
    if (code !== 0) throw new Error(`latchkey ${argv.join(' ')} ended with ${code}: ${stderr}`);
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as T;
  }

  /** The API as the holder of an API key sees it: the installation's own, or an operator's. */
  api(apiKey = readFileSync(join(this.data, 'api-key'), 'utf8').trim()): Api {
    const authority = this.#authorityFile();
    return connectApi({
      url: new URL(this.url),
      apiKey: Secret.ofText(apiKey),
      ...(authority ? { ca: readFileSync(authority, 'utf8') } : {}),
    });
  }

  client(apiKey?: string): Client {
    return {
      api: this.api(apiKey),
      stateFolder: join(this.folder, 'state'),
      randomBytes: randomKernel(),
      now: () => new Date(),
    };
  }

  /** Everything an image and a first boot need, as an image builder gets it. */
  async attach(options: AttachedOptions): Promise<Guest> {
    const url = this.#tls ? AGENT_URL.replace(/^ws:/, 'wss:') : AGENT_URL;
    const { joinToken, ...guest } = options;
    return createAttachedGuest(await this.attachment(options.name, url, joinToken), guest);
  }

  /** For a machine of that name which finds its control plane at that address. */
  async attachment(name: string, url: string, given?: string): Promise<Attachment> {
    const file = join(this.folder, `trust-${name}.json`);
    await this.must(['trust', 'export', '--agent-url', url, '-o', file]);
    const token = given ?? (await this.must<{ token: string }>(['token', 'create', '--name', name])).token;
    return { port: this.port, trust: JSON.parse(readFileSync(file, 'utf8')), joinToken: token };
  }

  /** Waits until the machine of that name is connected (or no longer is). */
  async untilOnline(name: string, online = true): Promise<VmView> {
    const api = this.api();
    for (;;) {
      const vm = await api.vm(name).catch(() => undefined);
      if (vm?.online === online) return vm;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  #authorityFile(): string | undefined {
    if (this.#selfSignedFor !== undefined) return join(this.data, 'tls/ca.pem');
    return this.#tls && join(this.folder, 'caPem.pem');
  }

  #environment(state = 'state'): Record<string, string> {
    return {
      PATH: process.env['PATH'] ?? '',
      HOME: this.folder,
      LATCHKEY_DATA: this.data,
      LATCHKEY_STATE: join(this.folder, state),
      NO_COLOR: '1',
    };
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const closed = once(child, 'close');
    child.kill(signal);
    await closed;
  }
}
