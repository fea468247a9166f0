// What differs between the two inits that a guest can have, seen from the runner: how to find a service's processes, how
// to lose a reboot, how to switch off.
import type { ExecResult } from './entry.ts';

/** What an init needs of its guest. */
type Guest = Readonly<{
  exec(argv: readonly string[]): Promise<ExecResult>;
  readFile(path: string): Promise<Buffer>;
  writeFile(path: string, content: string): Promise<void>;
}>;

export type Init = Readonly<{
  powerOff: readonly string[];
  servicePids(guest: Guest, service: string): Promise<number[]>;
  swallowReboots(guest: Guest, count: number): Promise<void>;
}>;

export const LAB_INIT: Init = {
  powerOff: ['/sbin/poweroff'],
  async servicePids(guest, service) {
    const lines = (await guest.readFile('/run/lab/services')).toString().split('\n');
    return lines.filter((line) => line.startsWith(`${service} `)).map((line) => Number(line.split(' ')[1]));
  },
  swallowReboots: (guest, count) => guest.writeFile('/run/lab/swallow-reboots', `${count}\n`),
};

/** The lab's names of the product's services, as units. */
const UNITS: Readonly<Record<string, string>> = {
  link: 'latchkey-agent.service',
  executor: 'latchkey-executor@*.service',
  enrol: 'latchkey-enrol.service',
  forward: 'lab-forward.service',
  vnc: 'tigervncserver@:1.service',
};

/** A target that is reached by doing nothing: whoever asks for it is told that it was started. */
const SWALLOWING = `[Unit]
DefaultDependencies=no
AllowIsolate=yes
RefuseManualStart=no
`;

export const SYSTEMD_INIT: Init = {
  powerOff: ['systemctl', 'poweroff'],
  async servicePids(guest, service) {
    const unit = UNITS[service] ?? `${service}.service`;
    const { stdout } = await guest.exec(['systemctl', 'show', '-p', 'MainPID', '--value', unit]);
    return stdout
      .split('\n')
      .map(Number)
      .filter((pid) => pid > 0);
  },
  /** All of this boot's reboots or none: systemd does not count. */
  async swallowReboots(guest, count) {
    const path = '/run/systemd/system.control/reboot.target';
    if (count > 0) await guest.writeFile(path, SWALLOWING);
    else await guest.exec(['rm', '-f', path]);
    await guest.exec(['systemctl', 'daemon-reload']);
  },
};
