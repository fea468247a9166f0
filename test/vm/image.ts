// The disk that all virtual machines start from, built once and kept by the hash of everything in it: Debian with its own
// kernel, the agent with the product's units, and a VNC server under Debian's unit. Nothing secret and nothing of one control
// plane is in it: accounts have no password, and there is no trust file.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { bundleAgent } from '../../agent/image/bundle.ts';
import { buildAccounts } from '../lab/accounts.ts';
import { makeFolder, put, writeHomes } from '../lab/disk.ts';
import { labFolder } from '../lab/native.ts';
import { enable, withoutTreeAccounts, writeAccounts, writeProductUnits, writeVnc } from '../lab/systemd-disk.ts';
import { debianTree } from '../lab/tree.ts';
import type { Debian } from './requirements.ts';

const PROJECT = join(import.meta.dirname, '../..');
const PRODUCT = 'usr/lib/latchkey-agent';
const DISK_SIZE = '1536M';

const PACKAGES = [
  'linux-image-cloud-amd64',
  'systemd-sysv',
  'udev',
  'e2fsprogs',
  'dbus',
  'libpam-systemd',
  'passwd',
  'login',
  'procps',
  'libatomic1',
  'libstdc++6',
  'tigervnc-standalone-server',
];

/** The initramfs holds what leads to this disk, instead of everything that could lead to any. */
const INITRAMFS = `set -e; mkdir -p "$1/etc/initramfs-tools/conf.d"
echo MODULES=list > "$1/etc/initramfs-tools/conf.d/vm"
printf 'virtio_pci\\nvirtio_blk\\next4\\n' > "$1/etc/initramfs-tools/modules"`;

/** Where a machine finds everything outside itself. */
export const GUEST_ADDRESS = '10.0.2.15';

const FILES: Readonly<Record<string, string>> = {
  'etc/fstab': '/dev/vda / ext4 errors=remount-ro 0 1\n',
  'etc/hostname': 'vm\n',
  'etc/hosts': '127.0.0.1 localhost\n127.0.1.1 vm\n',
  // Empty: each machine makes its own at its first boot, so that a clone of this disk is no copy of another machine.
  'etc/machine-id': '',
  'etc/systemd/network/10-vm.network': `[Match]\nName=en* eth*\n[Network]\nAddress=${GUEST_ADDRESS}/24\nLinkLocalAddressing=no\n`,
  'etc/latchkey-agent/agent.json': '{"v":1}\n',
  // Debian's default is loopback alone; the test looks from outside the machine.
  'etc/tigervnc/vncserver-config-mandatory': '$localhost = "no";\n$SecurityTypes = "VncAuth";\n1;\n',
};

const MASKED = ['dpkg-db-backup.timer', 'fstrim.timer', 'x11-common.service', 'systemd-networkd-wait-online.service'];

export type Image = Readonly<{ disk: string; kernel: string; initrd: string }>;

/** The image's files; they are built where they are missing, and must only be read. */
export async function debianImage(debian: Debian): Promise<Image> {
  const tree = debianTree(debian, PACKAGES, [`--essential-hook=${INITRAMFS}`]);
  const images = join(labFolder(), '.images');
  const folder = join(images, hashOfInputs(tree));
  if (!existsSync(folder)) {
    // Of one project there is one image at a time: older ones are of sources that are no more.
    rmSync(images, { recursive: true, force: true });
    const fresh = `${folder}.${process.pid}`;
    await build(fresh, tree);
    renameSync(fresh, folder);
  }
  return { disk: join(folder, 'disk.raw'), kernel: join(folder, 'vmlinuz'), initrd: join(folder, 'initrd') };
}

function hashOfInputs(tree: string): string {
  const sources = globSync('{agent,protocol}/**/*', { cwd: PROJECT, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  const own = ['package-lock.json', 'package.json', 'test/vm/image.ts', 'test/lab/systemd-disk.ts', 'test/lab/disk.ts'];
  const hash = createHash('sha256').update(tree);
  for (const path of [...sources, ...own.map((name) => join(PROJECT, name))].toSorted())
    hash.update(`\0${path.slice(PROJECT.length)}\0`).update(readFileSync(path));
  return hash.digest('hex').slice(0, 32);
}

async function build(folder: string, tree: string): Promise<void> {
  const disk = join(folder, 'disk');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  try {
    execFileSync('cp', ['-a', tree, disk]);
    chmodSync(disk, 0o755);
    takeBoot(disk, 'vmlinuz', join(folder, 'vmlinuz'));
    takeBoot(disk, 'initrd', join(folder, 'initrd'));
    await furnish(folder, tree);
    execFileSync('mke2fs', ['-q', '-t', 'ext4', '-d', disk, join(folder, 'disk.raw'), DISK_SIZE]);
    rmSync(disk, { recursive: true });
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/** The machine is started from outside its disk. */
function takeBoot(disk: string, kind: string, target: string): void {
  const [name] = readdirSync(join(disk, 'boot')).filter(
    (entry) => entry.startsWith(`${kind}-`) || entry.startsWith(`${kind}.`),
  );
  if (name === undefined) throw new Error(`no ${kind} in the tree`);
  renameSync(join(disk, 'boot', name), target);
}

async function furnish(folder: string, tree: string): Promise<void> {
  const disk = join(folder, 'disk');
  for (const [path, text] of Object.entries(FILES)) {
    rmSync(join(disk, path), { force: true });
    put(join(disk, path), text);
  }
  const accounts = withoutTreeAccounts(buildAccounts());
  const owned = [
    ...writeAccounts({ folder, tree, accounts }),
    ...writeHomes({ folder, accounts, vncPasswordFile: Buffer.alloc(8) }),
    ...writeVnc({ folder, accounts }),
  ];
  for (const { path, uid, gid, mode } of owned) {
    chownSync(join(disk, path), uid, gid);
    chmodSync(join(disk, path), mode);
  }
  await installProduct(disk);
  // The journal outlives the boot that wrote it.
  makeFolder(join(disk, 'var/log/journal'));
  const units = join(disk, 'etc/systemd/system');
  makeFolder(units);
  for (const name of MASKED) execFileSync('ln', ['-sf', '/dev/null', join(units, name)]);
  writeProductUnits(units, true);
  for (const name of ['systemd-networkd.service', 'tigervncserver@:1.service'])
    enable(units, name, 'multi-user.target');
}

/** The agent as it is packaged: the bundle, with a Node beside it. */
async function installProduct(disk: string): Promise<void> {
  const home = join(disk, PRODUCT);
  await bundleAgent(home);
  cpSync(join(PROJECT, `node_modules/node-linux-${process.arch}/bin/node`), join(home, 'node'));
  put(join(disk, 'usr/bin/latchkey-agent'), `#!/bin/sh\nexec /${PRODUCT}/node /${PRODUCT}/main.js "$@"\n`, 0o755);
}
