// The guest's root as a list of steps for the native program: what is mounted, hidden and read-only, in this order.
// Pure, but for asking which of the runner's files there are. It must never name a folder of the runner that holds
// homes, state or accounts.
import { existsSync, lstatSync } from 'node:fs';

/** `tree`: the Debian tree of a guest that has one; the others have the runner's /usr. */
export type PlanOptions = { hostname: string; project: string; tree?: string };

type Step = readonly string[];

const DEVICES = ['null', 'zero', 'full', 'random', 'urandom', 'tty'];

/** What the kernel shares between guest and runner and root could write to. */
const SHARED = ['/proc/sys', '/proc/bus', '/proc/fs', '/proc/irq'];
const DANGEROUS = ['/proc/sysrq-trigger', '/proc/kcore', '/proc/kmsg', '/proc/swaps', '/proc/acpi', '/proc/scsi'];

function isOwnFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function system(project: string): Step[] {
  const libraries = ['/bin', '/lib', '/lib32', '/lib64', '/libx32'].filter(isOwnFolder);
  return [
    ['overlay', 'layers/usr:/.host/usr', '/usr', 'usr', 'usr-work'],
    ...(isOwnFolder('/sbin') ? [['overlay', 'layers/sbin:/.host/sbin', '/sbin', 'sbin', 'sbin-work']] : []),
    ...libraries.map((path) => ['bind-read-only', path, path]),
    ['bind-read-only', project, '/usr/lib/latchkey-agent'],
  ];
}

function devices(): Step[] {
  return [
    ['tmpfs', '/dev', 'mode=0755'],
    ...DEVICES.map((name) => ['bind', `/dev/${name}`, `/dev/${name}`]),
    ['devpts', '/dev/pts'],
    ['link', 'pts/ptmx', '/dev/ptmx'],
    ['link', '/proc/self/fd', '/dev/fd'],
    ...['stdin', 'stdout', 'stderr'].map((name, fd) => ['link', `/proc/self/fd/${fd}`, `/dev/${name}`]),
    ['tmpfs', '/dev/shm', 'mode=1777'],
  ];
}

function kernel(): Step[] {
  return [
    ['proc', '/proc'],
    ...SHARED.filter((path) => existsSync(path)).map((path) => ['read-only', path]),
    ...DANGEROUS.map((path) => ['hide', path]),
    ['bind-read-only', 'boot/boot_id', '/proc/sys/kernel/random/boot_id'],
    ['bind-read-only', 'boot/cmdline', '/proc/cmdline'],
    ['sysfs', '/sys'],
  ];
}

function fresh(): Step[] {
  return [
    ['tmpfs', '/run', 'mode=0755'],
    ['folder', '1777', '/run/lock'],
    ['folder', '0755', '/run/lab'],
    ['bind-read-only', 'wire', '/run/lab/wire'],
    ['bind-read-only', 'boot', '/run/lab/boot'],
    ['copy', '0444', 'boot/marker', '/run/latchkey-lab-guest'],
    ['tmpfs', '/tmp', 'mode=1777'],
    ['folder', '1777', '/tmp/.X11-unix'],
    ['folder', '1777', '/tmp/.ICE-unix'],
  ];
}

/** `project` is a real path: links in it would lead to the guest's files instead of the runner's. */
export function buildPlan({ hostname, project, tree }: PlanOptions): string {
  const layout: Step[] = tree
    ? [
        ['root', tree, 'disk', 'work'],
        ['bind-read-only', project, '/usr/lib/latchkey-agent'],
        ...devices(),
        ['console', '/dev/console'],
        ...kernel(),
        ['cgroup2', '/sys/fs/cgroup'],
      ]
    : [['root', 'empty', 'disk', 'work'], ...system(project), ...devices(), ...kernel()];
  const steps = [...layout, ...fresh(), ['hostname', hostname]];
  if (steps.flat().some((word) => /[\t\n\0]/.test(word)))
    throw new Error('a path of the plan holds a control character');
  return steps.map((step) => `${step.join('\t')}\n`).join('');
}
