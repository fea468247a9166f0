// One boot of a guest, from the start of its init to the end of its last process: the native program as a child, its
// lines as events, its end as a reason. It must never boot again by itself; that is the guest's to decide.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmodSync, closeSync, openSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

export type MachineLine = 'started' | 'booted' | 'rebooting' | 'powering-off' | 'swallowed';
export type MachineEnd = 'reboot' | 'power-off' | 'killed' | 'failed';

const ENDS: Readonly<Record<number, MachineEnd>> = { 129: 'reboot', 130: 'power-off', 137: 'killed' };

export type MachineOptions = {
  native: string;
  ids: string;
  folder: string;
  plan: string;
  name: string;
  kernelCommandLine: string;
  /** The lab's own init, or the one of the guest's tree. */
  init: 'lab' | 'systemd';
  /** A restart of all processes that leaves the kernel as it is: the boot id stays. */
  bootId?: string;
  onLine: (line: MachineLine) => void;
};

export class Machine {
  readonly bootId: string;
  /** How the boot ended, once its last process is gone. */
  readonly ended: Promise<MachineEnd>;
  /** The pid of the guest's init as the runner sees it. */
  readonly pid: Promise<number>;
  /** The same, once init runs in the guest's own root: not before may anything enter. */
  readonly started: Promise<number>;
  readonly #child: ChildProcess;

  constructor(options: MachineOptions) {
    this.bootId = options.bootId ?? randomUUID();
    writeBootFiles(options, this.bootId);
    const console = openSync(join(options.folder, 'console.log'), 'a', 0o600);
    const argv = ['launch', String(process.pid), options.ids, options.folder, 'boot/plan', options.init];
    this.#child = spawn(options.native, argv, { stdio: ['ignore', console, console, 'pipe'] });
    closeSync(console);
    this.ended = new Promise((resolve) => {
      this.#child.once('error', () => resolve('failed'));
      this.#child.once('exit', (code, signal) => resolve(signal ? 'killed' : (ENDS[code ?? 1] ?? 'failed')));
    });
    const lines = createInterface({ input: this.#child.stdio[3] as Readable });
    const refused = this.ended.then((end): never => {
      throw new Error(`guest ${options.name} did not start (${end}); see ${join(options.folder, 'console.log')}`);
    });
    const pid = new Promise<number>((resolve) => {
      lines.once('line', (line) => resolve(Number(/^pid (\d+)$/.exec(line)?.[1])));
    });
    const started = new Promise<void>((resolve) => {
      lines.on('line', (line) => (line === 'started' ? resolve() : undefined));
    });
    lines.on('line', (line) => (line.startsWith('pid ') ? undefined : options.onLine(line as MachineLine)));
    this.pid = Promise.race([pid, refused]);
    this.started = Promise.race([started.then(() => pid), refused]);
    this.pid.catch(() => undefined);
    this.started.catch(() => undefined);
  }

  /** Power loss: init and all its processes end at once. */
  async cutPower(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const init = await this.pid.catch(() => undefined);
    if (init !== undefined && this.#child.exitCode === null) process.kill(init, 'SIGKILL');
    await this.ended;
  }
}

export function ownNamespaces(): { pid: string; mnt: string } {
  return { pid: readlinkSync('/proc/self/ns/pid'), mnt: readlinkSync('/proc/self/ns/mnt') };
}

/** New files, not new content: a boot that is still ending keeps its own. */
function writeBootFiles({ folder, name, plan, kernelCommandLine }: MachineOptions, bootId: string): void {
  const marker = { v: 1, guest: name, runner: ownNamespaces() };
  const files = { boot_id: `${bootId}\n`, cmdline: `${kernelCommandLine}\n`, marker: JSON.stringify(marker), plan };
  for (const [file, text] of Object.entries(files)) {
    const path = join(folder, 'boot', file);
    rmSync(path, { force: true });
    writeFileSync(path, text);
    chmodSync(path, 0o644);
  }
}
