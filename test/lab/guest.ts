// A guest of the lab: a machine made of namespaces that really reboots, with an account database, a VNC server and a
// network of its own. The runner's accounts, homes and processes are out of its reach; it is no security boundary
// against a hostile root. A guest never outlives the process that made it; its folder does, until `destroy`.
import type { ChildProcess } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { type Account, type AccountOptions, buildAccounts } from './accounts.ts';
import { type DiskOptions, writeDisk } from './disk.ts';
import {
  connectInside,
  type Door,
  type ExecOptions,
  type ExecResult,
  execInside,
  type SpawnOptions,
  spawnInside,
} from './entry.ts';
import { claimGround, eraseGround, findOwner, type Ground, giveOwners, runOffline } from './ground.ts';
import { type Init, LAB_INIT, SYSTEMD_INIT } from './inits.ts';
import { Wire } from './network.ts';
import { buildPlan } from './plan.ts';
import { Power } from './power.ts';
import { checkRequirements, checkTreeRequirements, type LabRefusal, LabUnavailable } from './requirements.ts';
import { FORWARD_SERVICE, findVncService, PRODUCT_SERVICES, type Service } from './services.ts';
import { withoutTreeAccounts, writeSystemdDisk } from './systemd-disk.ts';
import { drawVncPassword, obfuscateVncPassword } from './vnc-password.ts';

export const KERNEL_COMMAND_LINE = 'BOOT_IMAGE=/vmlinuz root=/dev/vda1 ro quiet';
const PROJECT = join(import.meta.dirname, '../..');

export type GuestOptions = {
  name: string;
  hostname?: string;
  /** Accounts to add, to change or (`absent`) to leave out, by name. */
  accounts?: Readonly<Record<string, AccountOptions>>;
  /**
   * `lab` (the default): the lab's small init over the runner's /usr. `systemd`: a Debian tree with the real one, where
   * units, logind, logins and Debian's VNC unit are what they are on a machine.
   */
  layout?: 'lab' | 'systemd';
  /** Between the forwarder and the VNC server; the product's own by default. With systemd: none, or the product's units. */
  services?: readonly Service[];
  /** Whether a VNC server runs, where this machine has one; true by default. */
  vnc?: boolean;
  kernelCommandLine?: string;
  /** What is bound read-only at /usr/lib/latchkey-agent; this project by default. */
  project?: string;
};

export function isGuestName(name: string): boolean {
  return /^[a-z][a-z0-9-]{0,30}$/.test(name);
}

type Parts = {
  options: GuestOptions;
  ground: Ground;
  accounts: readonly Account[];
  vncPassword: string | undefined;
  tree?: string;
};

export class Guest extends Power {
  readonly hostname: string;
  readonly accounts: readonly Account[];
  /** What the VNC server was first given; undefined without one. */
  readonly vncPassword: string | undefined;
  readonly #init: Init;
  readonly #wire: Wire;
  #networkCut = false;

  constructor({ options, ground, accounts, vncPassword, tree }: Parts) {
    const { name, hostname = name, kernelCommandLine = KERNEL_COMMAND_LINE, project = PROJECT } = options;
    const plan = buildPlan({ hostname, project: realpathSync(project), ...(tree ? { tree } : {}) });
    super({ name, ground, plan, kernelCommandLine, init: tree ? 'systemd' : 'lab' });
    this.hostname = hostname;
    this.accounts = accounts;
    this.vncPassword = vncPassword;
    this.#init = tree ? SYSTEMD_INIT : LAB_INIT;
    this.#wire = new Wire(ground.folder);
  }

  /** The compiled program that enters the guest. */
  get native(): string {
    return this.ground.native;
  }

  async #door(): Promise<Door> {
    if (!this.machine) throw new Error(`guest ${this.name} is off`);
    return { native: this.ground.native, pid: await this.machine.started };
  }

  async exec(argv: readonly string[], options?: ExecOptions): Promise<ExecResult> {
    return execInside(await this.#door(), argv, options);
  }

  async spawn(argv: readonly string[], options?: SpawnOptions): Promise<ChildProcess> {
    return spawnInside(await this.#door(), argv, options);
  }

  /** A connection to a port of the guest's own loopback. */
  async connect(port: number): Promise<Socket> {
    return connectInside(await this.#door(), port);
  }

  /** Waits until something listens on that port. It looks and does not connect: servers count connections. */
  async untilListening(port: number): Promise<void> {
    const local = `:${port.toString(16).toUpperCase().padStart(4, '0')} `;
    const isListening = async () =>
      (await this.exec(['cat', '/proc/net/tcp'])).stdout
        .split('\n')
        .some((line) => line.includes(local) && line.includes(' 00000000:0000 0A '));
    while (!(await isListening())) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  /** Replaces a file as a whole, in the running guest or on its disk. `owner` is NAME or NAME:GROUP. */
  async writeFile(path: string, content: string | Uint8Array, mode = 0o644, owner = 'root'): Promise<void> {
    const { uid, gid } = findOwner(this.accounts, owner);
    const words = ['put', String(uid), String(gid), mode.toString(8), path];
    if (!this.machine) return void runOffline(this.ground, words, content);
    const { code, stderr } = await this.exec(['/usr/lib/latchkey-lab/init', ...words], { input: content });
    if (code !== 0) throw new Error(stderr.trim());
  }

  /** The bytes of a file, in the running guest or on its disk. */
  async readFile(path: string): Promise<Buffer> {
    if (!this.machine) return runOffline(this.ground, ['get', path]);
    const { code, stdout, stderr } = await this.exec(['base64', '--', path]);
    if (code !== 0) throw new Error(stderr.trim());
    return Buffer.from(stdout, 'base64');
  }

  /** What whoever runs the machine hands its systemd at each boot from the next on, as a credential. */
  async giveCredential(name: string, content: string): Promise<void> {
    const place = join(this.folder, 'boot/credentials');
    await mkdir(place, { recursive: true, mode: 0o700 });
    await writeFile(join(place, name), content, { mode: 0o400 });
  }

  /** Where the guest's port 7443 leads. */
  connectTo(port: number, host?: string): void {
    this.#wire.connectTo(port, host);
  }

  async cutNetwork(): Promise<void> {
    this.#networkCut = true;
    await this.#wire.cut();
  }

  async restoreNetwork(): Promise<void> {
    this.#networkCut = false;
    await this.#wire.restore();
  }

  /** The pids, as the guest sees them, of a service's processes that init started. */
  async servicePids(service: string): Promise<number[]> {
    return this.#init.servicePids(this, service);
  }

  /** Sends a signal to a pid of the guest or to what init runs as a service. */
  async kill(target: string | number, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const pids = typeof target === 'number' ? [target] : await this.servicePids(target);
    if (pids.length === 0) throw new Error(`service ${target} of guest ${this.name} does not run`);
    const script = 'signal=$1; shift; kill -s "$signal" "$@"';
    const { code, stderr } = await this.exec([
      'sh',
      '-c',
      script,
      'sh',
      signal.replace('SIG', ''),
      ...pids.map(String),
    ]);
    if (code !== 0) throw new Error(stderr.trim());
  }

  /** The next `count` requests to reboot of this boot get lost. */
  async swallowReboots(count: number): Promise<void> {
    await this.#init.swallowReboots(this, count);
  }

  /** Every process stands still, as on a machine that is suspended. Only a guest with systemd has a cgroup for it. */
  async suspend(): Promise<void> {
    await this.#freeze('1');
  }

  async resume(): Promise<void> {
    await this.#freeze('0');
  }

  async #freeze(value: string): Promise<void> {
    await writeFile(`/proc/${await this.pid()}/root/sys/fs/cgroup/cgroup.freeze`, value);
  }

  override async boot(): Promise<void> {
    if (!this.#networkCut) await this.#wire.restore();
    await super.boot();
  }

  /** An orderly power-off; a guest that does not obey in time loses its power. */
  stop(timeoutMs = 8000): Promise<void> {
    return this.stopBy(() => this.exec(this.#init.powerOff), timeoutMs);
  }

  /** Ends every process and erases the folder. The guest is of no use afterwards. */
  async destroy(): Promise<void> {
    await this.powerCut();
    await this.#wire.cut();
    eraseGround(this.ground);
    guests.delete(this);
  }
}

/** For `destroyAll` alone: what this process has made and not yet destroyed. */
const guests = new Set<Guest>();

export async function destroyAll(): Promise<void> {
  await Promise.all([...guests].map((guest) => guest.destroy()));
}

function demand<T extends { ok: true }>(machine: T | LabRefusal): T {
  if (!machine.ok) throw new LabUnavailable(machine.reason, machine.hint);
  return machine;
}

/** Builds a guest's disk; `boot` starts it. Throws `LabUnavailable` where this machine cannot run one. */
export function createGuest(options: GuestOptions): Guest {
  if (!isGuestName(options.name)) throw new Error(`not a name for a guest: ${options.name}`);
  const guest = options.layout === 'systemd' ? createSystemdGuest(options) : createLabGuest(options);
  guests.add(guest);
  return guest;
}

function createLabGuest(options: GuestOptions): Guest {
  const machine = demand(checkRequirements());
  const ground = claimGround(options.name, machine);
  const accounts = buildAccounts(options.accounts);
  const vnc = options.vnc === false ? undefined : findVncService();
  const password = vnc && drawVncPassword();
  const services = [FORWARD_SERVICE, ...(options.services ?? PRODUCT_SERVICES), ...(vnc ? [vnc] : [])];
  const disk: DiskOptions = { ...diskOptions(options, ground, accounts, password), services };
  giveOwners(ground, writeDisk(disk, machine.native));
  return new Guest({ options, ground, accounts, vncPassword: password });
}

function createSystemdGuest(options: GuestOptions): Guest {
  if (options.services?.length) throw new Error('a guest with systemd takes units, as files');
  const machine = demand(checkTreeRequirements());
  const tree = machine.tree();
  const ground = claimGround(options.name, machine);
  const accounts = withoutTreeAccounts(buildAccounts(options.accounts));
  const password = options.vnc === false ? undefined : drawVncPassword();
  const disk = diskOptions(options, ground, accounts, password);
  const product = options.services === undefined;
  giveOwners(ground, writeSystemdDisk({ ...disk, tree, product }, machine.native));
  return new Guest({ options, ground, accounts, vncPassword: password, tree });
}

function diskOptions(
  { name, hostname = name }: GuestOptions,
  { folder }: Ground,
  accounts: readonly Account[],
  password: string | undefined,
): Omit<DiskOptions, 'services'> {
  const vncPasswordFile = password === undefined ? {} : { vncPasswordFile: obfuscateVncPassword(password) };
  return { folder, name, hostname, accounts, ...vncPasswordFile };
}
