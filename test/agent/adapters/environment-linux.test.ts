// The environment's facts over made-up trees: each fact by itself, and what could not be read.

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { environmentLinux } from '../../../agent/adapters/environment-linux.ts';
import type { EnvironmentFacts } from '../../../agent/ports/environment.ts';
import { observeLinux } from '../contracts/environment.ts';

const EFI = 'sys/firmware/efi/efivars';
const normal: Readonly<Record<string, string>> = {
  'proc/sys/kernel/random/boot_id': '6f2c7d0e-2f43-4b52-9d3c-0a3c6f1f2a11\n',
  'proc/1/cmdline': '/sbin/init\0splash\0',
  'proc/cmdline': 'root=/dev/vda1 ro quiet\n',
  'proc/self/mountinfo': '22 1 254:1 / / rw - ext4 /dev/vda1 rw\n',
  'sys/kernel/kexec_loaded': '0\n',
  'boot/grub/grubenv': '# GRUB Environment Block\nnext_entry=\n####\n',
  [`${EFI}/BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c`]: 'any',
  'etc/latchkey-agent/root-marker': 'remembered\n',
};

type Tree = Readonly<{
  files?: Readonly<Record<string, string>>;
  links?: Readonly<Record<string, string>>;
  without?: readonly string[];
  initRoot?: string;
}>;

function observe({ files = {}, links = {}, without = [], initRoot = '../..' }: Tree = {}): Promise<EnvironmentFacts> {
  const root = mkdtempSync(join(tmpdir(), 'latchkey-tree-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const [path, content] of Object.entries({ ...normal, ...files })) {
    if (without.includes(path)) continue;
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  mkdirSync(join(root, 'proc/1'), { recursive: true });
  const all = { 'proc/1/exe': '/usr/lib/systemd/systemd', 'proc/1/root': initRoot, ...links };
  for (const [path, target] of Object.entries(all)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    if (!without.includes(path)) symlinkSync(target, join(root, path));
  }
  return observeLinux(environmentLinux({ root, marker: 'remembered' }));
}

describe('the facts of the environment', () => {
  it('are read as they stand', async () => {
    expect(await observe()).toEqual({
      bootId: '6f2c7d0e-2f43-4b52-9d3c-0a3c6f1f2a11',
      kernelCommandLine: 'root=/dev/vda1 ro quiet',
      initPath: '/usr/lib/systemd/systemd',
      initName: 'init',
      initAliases: [],
      rootIsInits: true,
      rootFilesystem: 'ext4',
      initrd: false,
      nextRoot: false,
      bootOverride: false,
      marker: 'same',
    });
  });
  it('a root that is not the init’s shows, whatever is in it', async () => {
    expect((await observe({ files: { 'proc/etc/x': '' }, initRoot: '..' })).rootIsInits).toBe(false);
  });
  it('a boot id that cannot be read is no environment to work in', async () => {
    await expect(observe({ without: ['proc/sys/kernel/random/boot_id'] })).rejects.toMatchObject({
      code: 'ENV_REFUSED',
      details: { reason: 'boot_id_unknown' },
    });
  });
  it('the mark of a program that was replaced is not part of its name', async () => {
    const links = { 'proc/1/exe': '/bin/bash (deleted)' };
    expect((await observe({ links })).initPath).toBe('/bin/bash');
  });
  it.each([
    ['-bash\0', 'bash'],
    ['/bin/busybox\0sh\0', 'sh'],
    ['init\0', 'init'],
    ['toybox\0', null],
    ['', null],
  ])('what the first process was called: %j', async (text, name) => {
    expect((await observe({ files: { 'proc/1/cmdline': text } })).initName).toBe(name);
  });
  it('names on the kernel’s line that lead to the init are told, however they lead there', async () => {
    const links = {
      'proc/1/exe': '../../lib/systemd/systemd',
      'sbin/init': '../lib/systemd/systemd',
      'usr/init': '../bin/other',
    };
    const files = {
      'lib/systemd/systemd': '',
      'bin/other': '',
      'proc/cmdline': `init=/sbin/init init="/lib/systemd/systemd" rdinit='/usr/init' init=/gone`,
    };
    expect((await observe({ files, links })).initAliases).toEqual(['/sbin/init', '/lib/systemd/systemd']);
  });
  it.each([
    ['proc/cmdline', 'kernelCommandLine'],
    ['proc/1/exe', 'initPath'],
    ['proc/1/cmdline', 'initName'],
    ['proc/1/root', 'rootIsInits'],
    ['proc/self/mountinfo', 'rootFilesystem'],
  ] as const)('what could not be read is told as such: %s', async (path, fact) => {
    expect((await observe({ without: [path] }))[fact]).toBeNull();
  });
  it.each([
    ['run/systemd/reboot-param', 'any'],
    ['run/systemd/reboot-to-firmware-setup', ''],
    ['run/systemd/reboot-to-boot-loader-entry', 'any'],
    ['sys/kernel/kexec_loaded', '1\n'],
    ['boot/grub/grubenv', 'next_entry=rescue\n'],
    ['boot/grub2/grubenv', 'saved_entry=a\nnext_entry=b\n'],
    [`${EFI}/LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f`, 'any'],
    [`${EFI}/BootNext-8be4df61-93ca-11d2-aa0d-00e098032b8c`, 'any'],
    [`${EFI}/OsIndications-8be4df61-93ca-11d2-aa0d-00e098032b8c`, '\x07\0\0\0\x05\0\0\0\0\0\0\0'],
  ])('what is set for the next boot alone shows: %s', async (path, content) => {
    expect((await observe({ files: { [path]: content } })).bootOverride).toBe(true);
  });
  it.each([
    // An update of the firmware waits for the next boot (fwupd): that is no other root.
    [`${EFI}/OsIndications-8be4df61-93ca-11d2-aa0d-00e098032b8c`, '\x07\0\0\0\x04\0\0\0\0\0\0\0'],
    // A kernel for crashes is loaded (kdump).
    ['sys/kernel/kexec_crash_loaded', '1\n'],
    ['boot/grub/grubenv', '# next_entry=x\nsaved_entry=rescue\n'],
  ])('what changes no next boot does not: %s', async (path, content) => {
    expect((await observe({ files: { [path]: content } })).bootOverride).toBe(false);
  });
  it('a link counts for what may only be there, wherever it leads', async () => {
    expect((await observe({ links: { 'run/nextroot': '/gone' } })).nextRoot).toBe(true);
    expect((await observe({ links: { 'etc/initrd-release': '/gone' } })).initrd).toBe(true);
  });
  it('a marker with other content, and none, are told apart', async () => {
    const path = 'etc/latchkey-agent/root-marker';
    expect((await observe({ files: { [path]: 'another\n' } })).marker).toBe('other');
    expect((await observe({ without: [path] })).marker).toBe('missing');
  });
  it('a marker that cannot be read is another one', async () => {
    const path = 'etc/latchkey-agent/root-marker';
    expect((await observe({ files: { [`${path}/folder`]: '' }, without: [path] })).marker).toBe('other');
  });
});
