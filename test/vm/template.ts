// A machine's disk before its first boot: a copy of the image with what an image builder and a first boot put there (trust,
// token, passwords), and a layer over it that the machine writes to. The files are written while nothing runs on the disk.

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { obfuscateVncPassword } from '../lab/vnc-password.ts';
import type { Image } from './image.ts';

/** A file to write. Its folder must be there. */
type Placed = Readonly<{
  folder: string;
  name: string;
  content: string | Uint8Array;
  mode: number;
  uid?: number;
  gid?: number;
}>;

export type Personal = Readonly<{
  trust: unknown;
  joinToken: string;
  /** The first passwords; root stays without one, and the display without a server, where they are not given. */
  rootPassword?: string;
  rootLocked?: boolean;
  vncPassword?: string;
}>;

/** Returns the layer's path. */
export function makeDisk(folder: string, image: Image, personal: Personal): string {
  const template = join(folder, 'template.raw');
  execFileSync('cp', ['--sparse=always', image.disk, template]);
  writeInto(template, folder, placedFor(template, personal));
  const layer = join(folder, 'disk.qcow2');
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', template, '-F', 'raw', layer]);
  return layer;
}

/** A copy of a machine's disk, as a hypervisor makes one; the machine must be off. */
export function copyDisk(layer: string, folder: string): string {
  const copy = join(folder, 'disk.qcow2');
  cpSync(layer, copy);
  return copy;
}

function placedFor(
  template: string,
  { trust, joinToken, rootPassword, rootLocked = false, vncPassword }: Personal,
): Placed[] {
  const etc = '/etc/latchkey-agent';
  const files: Placed[] = [
    { folder: etc, name: 'trust.json', content: JSON.stringify(trust), mode: 0o644 },
    { folder: etc, name: 'join-token', content: `${joinToken}\n`, mode: 0o600 },
  ];
  if (rootPassword !== undefined) {
    const shadow = debugfs(template, ['cat /etc/shadow'], []);
    const content = shadow.replace(/^root:[^:]*/m, () => `root:${rootLocked ? '!' : ''}${hashOf(rootPassword)}`);
    files.push({ folder: '/etc', name: 'shadow', content, mode: 0o640, gid: 42 });
  }
  if (vncPassword !== undefined) {
    const content = obfuscateVncPassword(vncPassword);
    files.push({ folder: '/home/ada/.vnc', name: 'passwd', content, mode: 0o600, uid: 1000, gid: 1000 });
  }
  return files;
}

function hashOf(password: string): string {
  return execFileSync('openssl', ['passwd', '-6', '-stdin'], { input: password, encoding: 'utf8' }).trim();
}

function writeInto(template: string, folder: string, files: readonly Placed[]): void {
  const lines = files.flatMap(({ folder: home, name, content, mode, uid = 0, gid = 0 }, index) => {
    const source = join(folder, `placed-${index}`);
    writeFileSync(source, content, { mode: 0o600 });
    const set = (field: string, value: string) => `sif ${name} ${field} ${value}`;
    const owner = [set('mode', `0100${mode.toString(8)}`), set('uid', `${uid}`), set('gid', `${gid}`)];
    return [`cd ${home}`, `rm ${name}`, `write ${source} ${name}`, ...owner];
  });
  debugfs(template, lines, ['-w']);
  for (const index of files.keys()) rmSync(join(folder, `placed-${index}`));
}

/** What the commands print; debugfs(8) itself ends well, whatever came of them. */
function debugfs(template: string, lines: readonly string[], options: readonly string[]): string {
  const { stdout, stderr } = spawnSync('debugfs', [...options, '-f', '-', template], {
    input: lines.map((line) => `${line}\n`).join(''),
    encoding: 'utf8',
  });
  const trouble = stderr.split('\n').filter((line) => line !== '' && !/^debugfs 1\.|^rm: File not found/.test(line));
  if (trouble.length > 0) throw new Error(trouble.join('\n'));
  return stdout.replace(/^debugfs: .*\n/gm, '');
}
