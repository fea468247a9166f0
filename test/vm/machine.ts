// One virtual machine under QEMU, always emulated. Of the network it reaches one address and port, behind which the control
// plane is; its serial console, its monitor and its VNC server are reached from here. It never outlives the process that
// started it.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { authenticateRfb } from '../../agent/adapters/rfb.ts';
import { Console } from './console.ts';
import { GUEST_ADDRESS, type Image } from './image.ts';
import { Qmp } from './qmp.ts';

/** What a machine finds its control plane at. */
export const AGENT_URL = 'wss://10.0.2.2:7443/agent/v1';
const MEMORY_MIB = 512;
const VNC_PORT = 5901;
const KERNEL_ARGUMENTS = 'root=/dev/vda ro console=ttyS0 loglevel=3 systemd.show_status=0';
/** Very rarely an emulated kernel hangs before its first word; such a machine has not run anything yet. */
const FIRST_WORD_MS = 120_000;
/** The display comes up some seconds after the machine is connected. */
const PATIENCE_MS = 300_000;
const FORWARD = join(import.meta.dirname, 'forward.ts');

export function makeMachineFolder(): string {
  return mkdtempSync(join(tmpdir(), 'latchkey-vm-'));
}

export type MachineOptions = Readonly<{
  name: string;
  /** The machine's own; it is removed with it. */
  folder: string;
  image: Image;
  disk: string;
  /** The control plane's, on this machine's loopback. */
  port: number;
  kernelArguments?: string;
}>;

export class Machine {
  readonly name: string;
  readonly options: MachineOptions;
  readonly console = new Console();
  #child: ChildProcess | undefined;
  #qmp: Qmp | undefined;
  #starts = 0;
  #kernelArguments: string;

  constructor(options: MachineOptions) {
    this.options = options;
    this.#kernelArguments = options.kernelArguments ?? '';
    this.name = options.name;
  }

  get monitor(): Qmp {
    if (!this.#qmp) throw new Error(`machine ${this.name} is off`);
    return this.#qmp;
  }

  /** Switches it on, with other arguments of the kernel from then on if given. */
  async boot(kernelArguments?: string): Promise<void> {
    this.#kernelArguments = kernelArguments ?? this.#kernelArguments;
    await this.#start([]);
    if (await this.console.shows(/[\s\S]/, FIRST_WORD_MS)) return;
    console.warn(`machine ${this.name} said nothing and is started once more`);
    await this.powerCut();
    await this.#start([]);
  }

  /** Takes a snapshot of memory and disk; the machine goes on. */
  async saveSnapshot(name: string): Promise<void> {
    const trouble = await this.monitor.monitor(`savevm ${name}`);
    if (trouble !== '') throw new Error(trouble);
  }

  /** The machine as it was at the snapshot, in a new emulator: connections that it had are gone. */
  async restoreSnapshot(name: string): Promise<void> {
    await this.powerCut();
    this.console.forget();
    await this.#start(['-loadvm', name]);
  }

  /** Presses the button, and waits until it is off. */
  async shutDown(): Promise<void> {
    const child = this.#child;
    if (!child) return;
    const exit = once(child, 'exit');
    await this.monitor.execute('system_powerdown');
    await exit;
    await this.powerCut();
  }

  /** What it wrote and did not flush is lost. */
  async powerCut(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    this.#qmp = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }

  async destroy(): Promise<void> {
    await this.powerCut();
    rmSync(this.options.folder, { recursive: true, force: true });
  }

  /** What the VNC server says to a password, asked from outside, once it answers. It counts wrong ones. */
  async vncSays(password: string): Promise<string> {
    const port = await this.#vncPort();
    const deadline = AbortSignal.timeout(PATIENCE_MS);
    for (;;) {
      const verdict = await authenticateRfb(
        {
          address: '127.0.0.1',
          port,
          localAddress: '127.0.0.1',
          timeoutMs: 20_000,
          quietMs: 1_000,
          isServer: () => true,
        },
        { user: undefined, password: Buffer.from(password) },
      );
      if (verdict === 'bind') throw new Error('no address to come from');
      if (verdict.verdict !== 'unknown') return verdict.verdict;
      if (deadline.aborted) throw new Error(`no word from the VNC server: ${verdict.reason}`);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  async #vncPort(): Promise<number> {
    const text = await this.monitor.monitor('info usernet');
    const line = text.split('\n').find((entry) => entry.includes('HOST_FORWARD')) ?? '';
    const port = /127\.0\.0\.1\s+(\d+)/.exec(line)?.[1];
    if (port === undefined) throw new Error(`no port leads to the machine: ${text}`);
    return Number(port);
  }

  async #start(further: readonly string[]): Promise<void> {
    this.#starts += 1;
    const place = join(this.options.folder, `${this.#starts}`);
    mkdirSync(place);
    const [serial, control] = [join(place, 'serial'), join(place, 'monitor')];
    const sockets = [connection(serial), connection(control)] as const;
    // The emulator ends with this process.
    const argv = ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...this.#arguments(serial, control), ...further];
    const child = spawn('setpriv', argv, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child = child;
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += String(chunk);
    });
    const ended = once(child, 'exit').then(() => {
      throw new Error(`machine ${this.name} ended: ${said}`);
    });
    ended.catch(() => undefined);
    const [line, monitor] = await Promise.race([Promise.all(sockets), ended]);
    this.console.attach(line);
    this.#qmp = new Qmp(monitor);
    await this.#qmp.execute('qmp_capabilities');
  }

  #arguments(serial: string, control: string): string[] {
    const { image, disk, port } = this.options;
    const network = [
      // The gateway is elsewhere, so that its address can be the one thing that is there.
      'user,id=net,restrict=on,host=10.0.2.9',
      `hostfwd=tcp:127.0.0.1:0-${GUEST_ADDRESS}:${VNC_PORT}`,
      `guestfwd=tcp:10.0.2.2:7443-cmd:'${process.execPath}' '${FORWARD}' ${port}`,
    ].join(',');
    return [
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-machine', 'pc'],
      ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '1', '-m', String(MEMORY_MIB)],
      ...[
        '-kernel',
        image.kernel,
        '-initrd',
        image.initrd,
        '-append',
        `${KERNEL_ARGUMENTS} ${this.#kernelArguments}`.trim(),
      ],
      ...['-drive', `file=${disk},if=virtio,format=qcow2`],
      ...['-netdev', network, '-device', 'virtio-net-pci,netdev=net,romfile='],
      ...['-chardev', `socket,id=serial,path=${serial}`, '-serial', 'chardev:serial'],
      ...['-chardev', `socket,id=control,path=${control}`, '-mon', 'chardev=control,mode=control'],
    ];
  }
}

/** The one connection that the emulator makes to that path. */
async function connection(path: string): Promise<Socket> {
  const server = createServer();
  server.listen(path);
  const [socket] = (await once(server, 'connection')) as [Socket];
  server.close();
  return socket;
}
