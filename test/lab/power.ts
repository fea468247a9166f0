// A guest's power: on, off, rebooting, and what a test may do to it from outside. It boots again whatever rebooted, as
// the firmware of a machine would; it must never boot what was switched off or lost its power until it is asked.
import { EventEmitter } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Ground } from './ground.ts';
import { Machine, type MachineEnd, type MachineLine, type MachineOptions } from './machine.ts';

const BOOT_MS_MAX = 60_000;

/** `held` is a machine that was to come back and does not; `off` also before the first boot. */
export type GuestState = 'off' | 'booting' | 'running' | 'rebooting' | 'held';

export type GuestEvents = {
  booted: [{ bootId: string; boots: number }];
  rebooting: [];
  swallowed: [];
  'powered-off': [{ end: MachineEnd }];
};

export type PowerOptions = {
  name: string;
  ground: Ground;
  plan: string;
  kernelCommandLine: string;
  init: MachineOptions['init'];
};

export class Power extends EventEmitter<GuestEvents> {
  readonly name: string;
  readonly folder: string;
  readonly bootIds: string[] = [];
  boots = 0;
  reboots = 0;
  protected readonly ground: Ground;
  protected machine: Machine | undefined;
  readonly #plan: string;
  readonly #init: MachineOptions['init'];
  #state: GuestState = 'off';
  #kernelCommandLine: string;
  #holdNext = false;
  #keepBootId = false;

  constructor({ name, ground, plan, kernelCommandLine, init }: PowerOptions) {
    super();
    this.name = name;
    this.folder = ground.folder;
    this.ground = ground;
    this.#plan = plan;
    this.#init = init;
    this.#kernelCommandLine = kernelCommandLine;
  }

  get state(): GuestState {
    return this.#state;
  }

  get consolePath(): string {
    return join(this.folder, 'console.log');
  }

  bootId(): string | undefined {
    return this.bootIds.at(-1);
  }

  /** The pid of the guest's init as the runner sees it. */
  async pid(): Promise<number> {
    if (!this.machine) throw new Error(`guest ${this.name} is off`);
    return this.machine.pid;
  }

  /** Starts the machine and waits until init has started every service. */
  async boot(): Promise<void> {
    if (this.machine) throw new Error(`guest ${this.name} is already on`);
    const next = this.boots + 1;
    this.#start();
    await this.waitForBoot(next);
  }

  #start(): void {
    const machine = new Machine({
      ...this.ground,
      plan: this.#plan,
      name: this.name,
      kernelCommandLine: this.#kernelCommandLine,
      init: this.#init,
      ...(this.#keepBootId && this.bootId() !== undefined ? { bootId: this.bootId() as string } : {}),
      onLine: (line) => this.#hear(line, machine),
    });
    this.#keepBootId = false;
    this.machine = machine;
    this.#state = 'booting';
    void machine.ended.then((end) => this.#finish(machine, end));
  }

  #hear(line: MachineLine, machine: Machine): void {
    if (machine !== this.machine) return;
    if (line === 'swallowed') this.emit('swallowed');
    if (line === 'rebooting') this.emit('rebooting');
    if (line === 'rebooting' || line === 'powering-off') this.#state = 'rebooting';
    if (line !== 'booted') return;
    this.#state = 'running';
    this.boots += 1;
    this.bootIds.push(machine.bootId);
    this.emit('booted', { bootId: machine.bootId, boots: this.boots });
  }

  #finish(machine: Machine, end: MachineEnd): void {
    if (machine !== this.machine) return;
    this.machine = undefined;
    this.#state = 'off';
    if (end !== 'reboot') return void this.emit('powered-off', { end });
    this.reboots += 1;
    if (this.#holdNext) this.#state = 'held';
    else this.#start();
  }

  /** Waits until the guest has booted `count` times in all, the first boot included. */
  waitForBoot(count: number, timeoutMs = BOOT_MS_MAX): Promise<void> {
    if (this.boots >= count) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const settle = (error?: Error) => {
        clearTimeout(timer);
        this.off('booted', onBooted).off('powered-off', onOff);
        if (error) reject(error);
        else resolve();
      };
      const onBooted = ({ boots }: { boots: number }) => boots >= count && settle();
      const onOff = ({ end }: { end: MachineEnd }) =>
        settle(new Error(`guest ${this.name} ended (${end}) before boot ${count}:\n${this.consoleTail()}`));
      const onLate = () => settle(new Error(`guest ${this.name}: no boot ${count} within ${timeoutMs} ms`));
      const timer = setTimeout(onLate, timeoutMs);
      this.on('booted', onBooted).on('powered-off', onOff);
    });
  }

  consoleTail(): string {
    return existsSync(this.consolePath) ? readFileSync(this.consolePath, 'utf8').slice(-2000) : '';
  }

  /** /proc/cmdline from the next boot on, and with `live` at once. */
  setKernelCommandLine(line: string, { live = false } = {}): void {
    this.#kernelCommandLine = line;
    if (live && this.machine) writeFileSync(join(this.folder, 'boot/cmdline'), `${line}\n`);
  }

  /** The machine goes down at its next reboot and does not come back until `releaseBoot`. */
  holdNextBoot(): void {
    this.#holdNext = true;
  }

  releaseBoot(): void {
    this.#holdNext = false;
    if (this.#state === 'held') this.#start();
  }

  /** The next restart is one of the user's processes alone, as a soft reboot is: same kernel, same boot id. */
  softenNextBoot(): void {
    this.#keepBootId = true;
  }

  /** Power loss: every process of the guest ends at once. `boot` starts it again. */
  async powerCut(): Promise<void> {
    while (this.machine) await this.machine.cutPower(); // a machine that was just rebooting comes back once
    if (this.#state === 'held') this.#state = 'off';
  }

  /** An orderly power-off; a guest that does not obey in time loses its power. */
  protected async stopBy(requestPowerOff: () => Promise<unknown>, timeoutMs: number): Promise<void> {
    const machine = this.machine;
    if (!machine) return void this.powerCut();
    const timer = setTimeout(() => void machine.cutPower(), timeoutMs);
    await requestPowerOff().catch(() => machine.cutPower());
    await machine.ended;
    clearTimeout(timer);
  }
}
