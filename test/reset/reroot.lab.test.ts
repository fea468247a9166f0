// The environment: what a real agent does on a machine that was "rerooted", will be at its next boot, or comes back as one.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sealingKeyFromSeed } from '../../protocol/keys.ts';
import { busybox } from '../agent/adapters/account-packages.ts';
import { GUEST_NODE } from '../agent/contracts/guest-run.ts';
import { AGENT_URL, createAttachedGuest, LAB_AGENT_CONFIG } from '../lab/enrolled.ts';
import type { Guest } from '../lab/guest.ts';
import { Issuer } from '../lab/issuer.ts';
import { unavailable } from '../requirements.ts';
import { around, putStart, servicesAround } from './around.ts';
import { shadowField } from './scene.ts';

const NORMAL = 'BOOT_IMAGE=/vmlinuz root=/dev/vda1 ro quiet';
const MARKER = '/etc/latchkey-agent/root-marker';
const CONFIG = '/etc/latchkey-agent/agent.json';

let issuer: Issuer;
let guest: Guest;
let account: Record<string, unknown>;

beforeAll(async () => {
  issuer = await Issuer.start();
  const attachment = { port: issuer.port, trust: await issuer.trust(AGENT_URL), joinToken: issuer.joinToken };
  const options = { name: `reroot-${process.pid}`, vnc: false, services: servicesAround };
  guest = await createAttachedGuest(attachment, options);
  await putStart(guest);
  await guest.boot();
  await issuer.frame('synced');
  const secret = { mode: 'generated', recipient_jwk: (await sealingKeyFromSeed(new Uint8Array(32).fill(7))).jwk };
  account = { name: null, uid: null, secret, unlock: false };
});

afterAll(async () => {
  await guest?.destroy();
  await issuer?.stop();
});

async function shell(lines: string): Promise<string> {
  const { code, stdout, stderr } = await guest.exec(['sh', '-ec', lines]);
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

async function order(): Promise<string> {
  const ready = await issuer.prepare();
  await issuer.command(ready, issuer.intent(ready, { account }));
  return ready.op;
}

/** A correct command is refused for that reason, and the machine neither changed nor rebooted. */
async function expectRefusal(reason: string): Promise<void> {
  const [before, boot] = [await shadowField(guest, 'root'), guest.bootId()];
  const end = await issuer.end(await order());
  expect(end).toMatchObject({ state: 'REFUSED', code: 'ENV_REFUSED', detail: { reason } });
  expect([await shadowField(guest, 'root'), guest.bootId()]).toEqual([before, boot]);
}

describe('a kernel’s line that leads somewhere else is refused', () => {
  it.each([
    ...['rd.break', 'rd.break=pre-pivot', 'single', 'S', 's', '1', 'rescue', 'emergency', 'rd.emergency'],
    ...['rd.emergency=halt', 'systemd.unit=rescue.target', 'systemd.unit=emergency.target', 'init=/bin/sh'],
    ...['systemd.unit=debug-shell.service', 'systemd.debug_shell', 'systemd.debug-shell=ttyS0', 'systemd.run=/bin/id'],
    ...['systemd.volatile=overlay', 'rdinit=/bin/bash', 'init=/bin/init-that-is-not-here', '"init=/bin/sh"'],
    ...['init="/bin/sh"', "systemd.unit='rescue.target'", 'systemd.run="/bin/sh -c id"'],
  ])('%s', async (argument) => {
    await guest.setKernelCommandLine(`${NORMAL} ${argument} console=ttyS0`, { live: true });
    await expectRefusal(`kernel_argument:${argument.replaceAll(/["']/g, '').split('=')[0]}`);
  });

  it('and one that does not is none, as the guest’s own executor reads it', async () => {
    const harmless = [
      ...['rw', 'ro', 'Single', 'SINGLE', 'singleuser', 'rd.breakfast', '2', '3', '5', 'xsingle', 'single=1'],
      ...['systemd.unit=multi-user.target', 'systemd.unit=my-rescue.target', 'systemd.run_success_action=none'],
      ...['init=/sbin/init', 'init=/usr/lib/latchkey-lab/init', 'init="/sbin/init"', 'systemd.volatile=no'],
      ...[
        'note="single rescue rd.break"',
        'note="init=/bin/sh"',
        '-- single rd.break init=/bin/sh',
        'crashkernel=192M',
      ],
    ];
    const program = `
      import { writeFileSync } from 'node:fs';
      import { execFileSync } from 'node:child_process';
      import { environmentLinux } from '/usr/lib/latchkey-agent/agent/adapters/environment-linux.ts';
      import { environmentFault } from '/usr/lib/latchkey-agent/agent/core/environment.ts';
      writeFileSync('/tmp/cmdline', '');
      execFileSync('mount', ['--bind', '/tmp/cmdline', '/proc/cmdline']);
      const environment = environmentLinux({ marker: process.argv[1] });
      for (const argument of process.argv.slice(2)) {
        writeFileSync('/tmp/cmdline', '${NORMAL} ' + argument + '\\n');
        console.log(environmentFault(await environment.observe(), ['overlay']) ?? 'none');
      }
      execFileSync('umount', ['/proc/cmdline']);`;
    const marker = (await guest.readFile(MARKER)).toString().trim();
    const argv = [GUEST_NODE, '--input-type=module', '-e', program, marker, ...harmless, 'single'];
    const { stdout, stderr } = await guest.exec(argv);
    expect(stdout.trim().split('\n'), stderr).toEqual([...harmless.map(() => 'none'), 'kernel_argument:single']);
    await guest.setKernelCommandLine(NORMAL, { live: true });
  });
});

describe('an executor that does not see what the first process sees is refused', () => {
  beforeAll(async () => {
    await shell(`mkdir -p /srv/tree/old /srv/etc
      for top in usr etc var proc dev run sys tmp srv; do mkdir -p /srv/tree/$top; done
      for top in bin sbin lib lib64; do [ ! -L /$top ] || ln -s "$(readlink /$top)" /srv/tree/$top; done
      for top in usr etc var proc dev run sys tmp; do mount --rbind /$top /srv/tree/$top; done
      cp -a /etc/. /srv/etc/`);
  });

  it.each([
    ['in a chroot', 'root_is_not_inits', 'exec chroot /srv/tree "$@"'],
    [
      'in a mount namespace with another root',
      'root_is_not_inits',
      `exec unshare --mount sh -ec 'mount --rbind /srv/tree /srv/tree; cd /srv/tree; pivot_root . old; exec "$@"' sh "$@"`,
    ],
    [
      'in a mount namespace with other accounts',
      'root_is_not_inits',
      `exec unshare --mount sh -ec 'mount --bind /srv/etc /etc; exec "$@"' sh "$@"`,
    ],
    [
      'under a first process that is a shell',
      'init_is_shell',
      `exec unshare --pid --fork --mount-proc sh -c '"$@"; exit $?' sh "$@"`,
    ],
  ])('%s: %s', (_, reason, lines) => around(guest, lines, () => expectRefusal(reason)));

  it('under a first process that is busybox, called as a shell', async (context) => {
    if (!busybox.met) unavailable(context, busybox.name, busybox.command);
    const lines = `exec unshare --pid --fork --mount-proc busybox ash -c '"$@"; exit $?' sh "$@"`;
    await around(guest, lines, () => expectRefusal('init_is_shell'));
  });
});

describe('a machine that is not its own, or will not be at its next boot, is refused', () => {
  it.each([
    ['an initramfs', 'initrd', 'touch /etc/initrd-release', 'rm /etc/initrd-release'],
    [
      'the marker of another root',
      'marker_other',
      `cp -a ${MARKER} /srv/marker; echo other > ${MARKER}`,
      `mv /srv/marker ${MARKER}`,
    ],
    ['no marker', 'marker_missing', `mv ${MARKER} /srv/marker`, `mv /srv/marker ${MARKER}`],
    ['a root for a soft reboot', 'nextroot', 'mkdir /run/nextroot', 'rmdir /run/nextroot'],
    ['a link to one', 'nextroot', 'ln -s /gone /run/nextroot', 'rm /run/nextroot'],
    [
      'an argument of the next reboot',
      'boot_override',
      'mkdir -p /run/systemd; echo any > /run/systemd/reboot-param',
      'rm /run/systemd/reboot-param',
    ],
    [
      'the firmware’s setup at the next boot, without EFI',
      'boot_override',
      'touch /run/systemd/reboot-to-firmware-setup',
      'rm /run/systemd/reboot-to-firmware-setup',
    ],
    [
      'a kernel that is loaded for kexec',
      'boot_override',
      'mount -t tmpfs tmpfs /sys/kernel; echo 1 > /sys/kernel/kexec_loaded',
      'umount /sys/kernel',
    ],
    [
      'a boot entry of GRUB for the next boot alone',
      'boot_override',
      'mkdir -p /boot/grub; echo next_entry=rescue > /boot/grub/grubenv',
      'rm -r /boot/grub',
    ],
    ...['LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f', 'BootNext-8be4df61-93ca-11d2-aa0d-00e098032b8c'].map(
      (variable) => [
        `an EFI variable for the next boot alone, ${variable.split('-')[0]}`,
        'boot_override',
        `mount -t tmpfs tmpfs /sys/firmware; mkdir -p /sys/firmware/efi/efivars; echo any > /sys/firmware/efi/efivars/${variable}`,
        'umount /sys/firmware',
      ],
    ),
  ])('%s: %s', async (_, reason = '', make = '', undo = '') => {
    await shell(make);
    await expectRefusal(reason);
    await shell(undo);
  });

  it('a root file system that its image does not name: root_filesystem', async () => {
    await guest.writeFile(CONFIG, JSON.stringify({ ...LAB_AGENT_CONFIG, rootfs: [] }));
    await expectRefusal('root_filesystem');
    await guest.writeFile(CONFIG, JSON.stringify(LAB_AGENT_CONFIG));
  });
});

describe('a machine that comes back as another one is PARTIAL, never DONE', () => {
  it.each([
    [
      'with a forbidden kernel argument',
      'kernel_argument:rd.break',
      async () => guest.setKernelCommandLine(`${NORMAL} rd.break`),
    ],
    ['in another root, which has another marker', 'marker_other', () => guest.writeFile(MARKER, 'A'.repeat(43), 0o600)],
    ['in another root, which has an empty one', 'marker_other', () => guest.writeFile(MARKER, '', 0o600)],
  ])('%s', async (_, reason, meanwhile) => {
    const [marker, reboots] = [await guest.readFile(MARKER), guest.reboots];
    guest.holdNextBoot();
    const op = await order();
    while (guest.state !== 'held') await new Promise((resolve) => setTimeout(resolve, 20));
    await meanwhile();
    guest.releaseBoot();
    const end = await issuer.end(op);
    expect(end).toMatchObject({ state: 'PARTIAL', code: 'BOOT_ENV_CHANGED', detail: { reason } });
    expect(end.detail.verified).toMatchObject({ account: true, reboot: false });
    await issuer.connected(reboots + 1);
    await guest.writeFile(MARKER, marker, 0o600);
    await guest.setKernelCommandLine(NORMAL, { live: true });
  });

  it('and a machine that comes back as itself is DONE', async () => {
    const reboots = guest.reboots;
    expect(await issuer.end(await order())).toMatchObject({ state: 'DONE', code: null });
    expect(guest.reboots).toBe(reboots + 1);
  });
});
