// The disk of a guest whose PID 1 is systemd, before its first boot: what lies over the Debian tree. Accounts, a machine's
// identity, the product with its own units, and Debian's VNC unit. The tree has no account with a password.
import { randomBytes } from 'node:crypto';
import { copyFileSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { type Account, groupText, gshadowText, passwdText, shadowText } from './accounts.ts';
import { type DiskOptions, makeFolder, type Owned, put, writeHomes, writeProgram } from './disk.ts';
import { FORWARD_PORT } from './services.ts';

const UNITS = join(import.meta.dirname, '../../agent/image/systemd');
const PRODUCT_UNITS = [
  'latchkey-agent.service',
  'latchkey-enrol.service',
  'latchkey-executor.socket',
  'latchkey-executor@.service',
  'latchkey-seed.path',
  'latchkey-seed.service',
];

/** What says nothing about the product and costs time, or is for devices that the guest has not. */
const MASKED = [
  'console-getty.service',
  'dev-hugepages.mount',
  'dpkg-db-backup.timer',
  'fstrim.timer',
  'sys-fs-fuse-connections.mount',
  'systemd-journal-catalog-update.service',
  'x11-common.service',
];

const STATUS = '/run/lab/wire/status';
const LAB_UNITS: Readonly<Record<string, string>> = {
  'lab-forward.service': `[Unit]
Description=The lab's wire
[Service]
Type=exec
ExecStart=/usr/lib/latchkey-lab/lab-forward ${FORWARD_PORT} /run/lab/wire/out.sock
Restart=always
[Install]
WantedBy=multi-user.target
`,
  // The first to stop, as it was the last to start.
  'lab-status.service': `[Unit]
Description=What the lab is told of this machine
After=multi-user.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'echo booted >> ${STATUS}'
ExecStop=/bin/sh -c 'if systemctl list-jobs --no-legend | grep -q "reboot.target "; then echo rebooting; else echo powering-off; fi >> ${STATUS}'
[Install]
WantedBy=multi-user.target
`,
};

/** A unit with a /proc of its own would see the kernel's boot id and command line, which are the runner's. */
const OWN_BOOT = `[Service]
BindReadOnlyPaths=/run/lab/boot/boot_id:/proc/sys/kernel/random/boot_id
BindReadOnlyPaths=/run/lab/boot/cmdline:/proc/cmdline
`;

export type SystemdDiskOptions = Omit<DiskOptions, 'services'> & {
  tree: string;
  /** Whether the product's units are enabled. */
  product: boolean;
};

function linesWithout(tree: string, file: string, names: ReadonlySet<string>): string {
  const lines = readFileSync(join(tree, 'etc', file), 'utf8')
    .trimEnd()
    .split('\n');
  return lines
    .filter((line) => !names.has(line.split(':')[0] ?? ''))
    .map((line) => `${line}\n`)
    .join('');
}

/** The tree's system accounts and then ours. */
export function writeAccounts({
  folder,
  tree,
  accounts,
}: Pick<SystemdDiskOptions, 'folder' | 'tree' | 'accounts'>): Owned[] {
  const names = new Set([...accounts.map(({ name }) => name), 'root']);
  const etc = join(folder, 'disk/etc');
  const groups = accounts.map(({ name, gid }) => ({ name, gid, members: [] }));
  put(join(etc, 'passwd'), linesWithout(tree, 'passwd', names) + passwdText(accounts));
  put(join(etc, 'group'), linesWithout(tree, 'group', names) + groupText(groups));
  put(join(etc, 'shadow'), linesWithout(tree, 'shadow', names) + shadowText(accounts), 0o640);
  put(join(etc, 'gshadow'), linesWithout(tree, 'gshadow', names) + gshadowText(groups), 0o640);
  return ['/etc/shadow', '/etc/gshadow'].map((path) => ({ path, uid: 0, gid: 42, mode: 0o640 }));
}

/** `units` is the guest's /etc/systemd/system. */
export function enable(units: string, name: string, target: string): void {
  const wants = join(units, `${target}.wants`);
  makeFolder(wants);
  const file = name.replace(/@[^.]*\./, '@.');
  const home = file === name && name.startsWith('l') ? '/etc' : '/usr/lib';
  symlinkSync(`${home}/systemd/system/${file}`, join(wants, name));
}

/** The product's own units, and whether a boot starts them. */
export function writeProductUnits(units: string, enabled: boolean): void {
  for (const name of PRODUCT_UNITS) put(join(units, name), readFileSync(join(UNITS, name)));
  if (!enabled) return;
  enable(units, 'latchkey-executor.socket', 'sockets.target');
  enable(units, 'latchkey-seed.path', 'paths.target');
  for (const name of ['latchkey-enrol.service', 'latchkey-agent.service']) enable(units, name, 'multi-user.target');
}

/** A VNC session that is told to stop while it starts does not: a reboot in that moment would wait for 90 s. */
const SHORT_SESSION_STOP = '[Scope]\nTimeoutStopSec=3s\n';

function writeUnits({ folder, product, vncPasswordFile }: SystemdDiskOptions): void {
  const units = join(folder, 'disk/etc/systemd/system');
  makeFolder(units);
  for (const name of MASKED) symlinkSync('/dev/null', join(units, name));
  for (const [name, text] of Object.entries(LAB_UNITS)) {
    put(join(units, name), text);
    enable(units, name, 'multi-user.target');
  }
  writeProductUnits(units, product);
  put(join(units, 'latchkey-.service.d/lab.conf'), OWN_BOOT);
  put(join(units, 'session-.scope.d/lab.conf'), SHORT_SESSION_STOP);
  if (vncPasswordFile) enable(units, 'tigervncserver@:1.service', 'multi-user.target');
}

function writeIdentity({ folder, hostname }: SystemdDiskOptions): void {
  const etc = join(folder, 'disk/etc');
  put(join(etc, 'hostname'), `${hostname}\n`);
  put(join(etc, 'hosts'), `127.0.0.1 localhost\n127.0.1.1 ${hostname}.lab ${hostname}\n::1 ip6-localhost\n`);
  put(join(etc, 'machine-id'), `${randomBytes(16).toString('hex')}\n`, 0o444);
}

/** Debian's unit looks the display's user up here, and its session ends at once without a desktop. */
export function writeVnc({ folder, accounts }: Pick<SystemdDiskOptions, 'folder' | 'accounts'>): Owned[] {
  const owner = accounts.find(({ name }) => name === 'ada');
  if (!owner) return [];
  const session = `${owner.home}/.vnc/Xtigervnc-session`;
  put(join(folder, 'disk/etc/tigervnc/vncserver.users'), `:1=${owner.name}\n`);
  put(join(folder, 'disk', session), '#!/bin/sh\nexec sleep infinity\n', 0o755);
  return [{ path: session, uid: owner.uid, gid: owner.gid, mode: 0o755 }];
}

/** Writes the disk below `folder` and tells what must be given to another owner than the guest's root. */
export function writeSystemdDisk(options: SystemdDiskOptions, native: string): Owned[] {
  const disk = join(options.folder, 'disk');
  for (const path of ['disk', 'work', 'boot', 'wire']) makeFolder(join(options.folder, path));
  const home = join(disk, 'usr/lib/latchkey-lab');
  makeFolder(home);
  copyFileSync(native, join(home, 'init'));
  for (const name of ['lab-forward', 'lab-connect']) symlinkSync('init', join(home, name));
  writeProgram(join(disk, 'usr/bin'));
  // The journal outlives the boot that wrote it.
  makeFolder(join(disk, 'var/log/journal'));
  writeIdentity(options);
  writeUnits(options);
  const owned = [...writeAccounts(options), ...writeHomes(options)];
  return options.vncPasswordFile ? [...owned, ...writeVnc(options)] : owned;
}

/** Of the lab's accounts those that a tree has not by itself. */
export function withoutTreeAccounts(accounts: readonly Account[]): Account[] {
  return accounts.filter(({ name }) => !['daemon', 'messagebus', 'nobody'].includes(name));
}
