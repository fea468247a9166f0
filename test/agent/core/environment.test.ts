// The environment: every way in which a machine can have been "rerooted" is refused by name, and what merely looks like
// one is not.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type BootFacts,
  environmentFault,
  forbiddenArgument,
  rootFilesystems,
  splitArguments,
} from '../../../agent/core/environment.ts';
import { reasonWords } from '../../../protocol/reasons.ts';

const INIT = '/usr/lib/systemd/systemd';
const NORMAL = 'BOOT_IMAGE=/boot/vmlinuz-6.1 root=UUID=0a1b ro quiet';
const facts = (changes: Partial<BootFacts> = {}): BootFacts => ({
  kernelCommandLine: NORMAL,
  initPath: INIT,
  initName: 'init',
  initAliases: [],
  rootIsInits: true,
  rootFilesystem: 'ext4',
  initrd: false,
  nextRoot: false,
  bootOverride: false,
  marker: 'same',
  ...changes,
});
const forbidden = (argument: string) => forbiddenArgument(`${NORMAL} ${argument}`, [INIT, '/sbin/init']);

describe('facts', () => {
  test('a normally booted machine has no fault', () => expect(environmentFault(facts())).toBeUndefined());

  test.each<[string, Partial<BootFacts>]>([
    ['initrd', { initrd: true }],
    ['root_is_not_inits', { rootIsInits: false }],
    ['root_is_not_inits', { rootIsInits: null }],
    ['root_filesystem', { rootFilesystem: 'overlay' }],
    ['root_filesystem', { rootFilesystem: 'tmpfs' }],
    ['root_filesystem', { rootFilesystem: 'iso9660' }],
    ['root_filesystem', { rootFilesystem: '' }],
    ['root_filesystem', { rootFilesystem: null }],
    ['init_unknown', { initPath: null }],
    ['init_is_shell', { initPath: '/bin/bash' }],
    ['init_is_shell', { initPath: '/usr/bin/dash' }],
    ['init_is_shell', { initPath: '/sbin/sulogin' }],
    ['init_is_shell', { initPath: '/usr/bin/bash-static' }],
    ['init_is_shell', { initPath: '/bin/busybox', initName: 'sh' }],
    ['init_is_shell', { initPath: '/bin/busybox', initName: 'ash' }],
    ['init_is_shell', { initPath: '/bin/busybox', initName: null }],
    ['init_is_shell', { initPath: '/bin/toybox', initName: 'anything' }],
    ['kernel_arguments_unknown', { kernelCommandLine: null }],
    ['kernel_argument:single', { kernelCommandLine: `${NORMAL} single` }],
    ['marker_missing', { marker: 'missing' }],
    ['marker_other', { marker: 'other' }],
    ['nextroot', { nextRoot: true }],
    ['boot_override', { bootOverride: true }],
  ])('%s: %j', (fault, changes) => {
    expect(environmentFault(facts(changes))).toBe(fault);
    // Whoever shows it knows the word.
    expect(reasonWords).toContain(fault.split(':')[0]);
  });

  test.each([
    ['/usr/lib/systemd/systemd', 'init'],
    ['/lib/systemd/systemd', 'systemd'],
    ['/sbin/init', 'init'],
    ['/usr/sbin/init', 'init [3]'],
    ['/bin/busybox', 'init'],
    ['/bin/busybox', 'linuxrc'],
    ['/sbin/openrc-init', 'openrc-init'],
    ['/usr/bin/runit', 'runit'],
    ['/usr/bin/s6-svscan', 's6-svscan'],
    ['/sbin/dinit', 'init'],
  ])('an ordinary init has no fault: %s, called %s', (initPath, initName) => {
    expect(environmentFault(facts({ initPath, initName }))).toBeUndefined();
  });

  test.each([
    'root=/dev/vda1 ro console=ttyS0',
    'root=UUID=0a1b2c3d-0000-4000-8000-0123456789ab rw',
    'root=PARTUUID=01-02 rootfstype=ext4 rootflags=subvol=@ rootwait',
    'root=/dev/mapper/vg-root rd.lvm.lv=vg/root rd.luks.uuid=x crashkernel=1G-4G:192M rhgb quiet',
    'root=LABEL=cloudimg-rootfs ro console=tty1 console=ttyS0 systemd.unit=multi-user.target',
    'root=ZFS=rpool/ROOT/x selinux=0 apparmor=1 security=apparmor init=/usr/lib/systemd/systemd',
    'BOOT_IMAGE=(hd0,gpt2)/vmlinuz root=/dev/sda2 resume=UUID=1 mitigations=auto,nosmt panic=1',
    'modules=sd-mod,usb-storage,ext4 rootfstype=ext4 root=/dev/vda3 systemd.show_status=1 net.ifnames=0 3',
  ])('an ordinary line has no fault: %s', (kernelCommandLine) => {
    expect(environmentFault(facts({ kernelCommandLine }))).toBeUndefined();
  });

  test('a root file system is accepted where the image names it, and only that one', () => {
    expect(environmentFault(facts({ rootFilesystem: 'overlay' }), ['overlay'])).toBeUndefined();
    expect(environmentFault(facts({ rootFilesystem: 'tmpfs' }), ['overlay'])).toBe('root_filesystem');
    for (const rootFilesystem of rootFilesystems) expect(environmentFault(facts({ rootFilesystem }))).toBeUndefined();
  });
});

describe('kernel arguments', () => {
  test.each([
    'rd.break',
    'rd.break=pre-pivot',
    'rd.break=',
    'single',
    'S',
    's',
    '1',
    'rescue',
    'emergency',
    '-b',
    '-s',
    'break',
    'break=premount',
    'rd.rescue',
    'rd.emergency',
    'rd.emergency=reboot',
    'systemd.unit=rescue.target',
    'systemd.unit=emergency.target',
    'systemd.unit=debug-shell.service',
    'systemd.unit=rescue',
    'systemd.unit=runlevel1.target',
    'rd.systemd.unit=emergency.target',
    'systemd.wants=debug-shell.service',
    'systemd.debug_shell',
    'systemd.debug_shell=1',
    'systemd.debug-shell',
    'systemd.debug-shell=ttyS0',
    'rd.systemd.debug_shell',
    'systemd.run=/bin/true',
    'systemd.run="/bin/sh -c id"',
    'systemd.volatile',
    'systemd.volatile=yes',
    'systemd.volatile=overlay',
    'init=/bin/sh',
    'init=/bin/bash',
    'init="/bin/sh"',
    '"init=/bin/sh"',
    'rdinit=/bin/sh',
    'init=/tmp/own',
    'rdinit=/init.other',
    'init=/bin/busybox',
    'init=',
  ])('%s is refused by its key', (argument) => {
    const key = argument.replaceAll('"', '').split('=')[0];
    expect(forbidden(argument)).toBe(key);
    expect(forbiddenArgument(`${argument} ${NORMAL}`, [INIT])).toBe(key);
    expect(forbiddenArgument(`${argument}\n`, [INIT])).toBe(key);
  });

  test.each([
    'rw',
    'ro',
    'SINGLE',
    'Single',
    'Rescue',
    'EMERGENCY',
    'single=1',
    'singleuser',
    'xsingle',
    '11',
    '2',
    '3',
    'rd.breakfast',
    'xrd.break',
    'systemd.unit=multi-user.target',
    'systemd.unit=graphical.target',
    'systemd.unit=my-rescue.target',
    'systemd.volatile=no',
    'systemd.run_success_action=none',
    'systemd.show_status=1',
    `init=${INIT}`,
    'init=/sbin/init',
    'initcall_debug',
    'initrd=/boot/initrd.img',
    'title="single user"',
    'note="rescue emergency init=/bin/sh"',
    'console=ttyS0,115200n8',
    '-- single init=/bin/sh',
  ])('%s is not refused', (argument) => expect(forbidden(argument)).toBeUndefined());

  test('init= is not refused where it leads to the program that runs, and a shell always is', () => {
    expect(forbiddenArgument('init=/sbin/init', [INIT])).toBe('init');
    expect(forbiddenArgument('init=/sbin/init', [INIT, '/sbin/init'])).toBeUndefined();
    expect(forbiddenArgument('rdinit=/sbin/other', ['/sbin/other'])).toBeUndefined();
    for (const shell of ['/bin/sh', '/bin/busybox', '/usr/bin/toybox', '/usr/bin/bash'])
      expect(forbiddenArgument(`init=${shell}`, [shell])).toBe('init');
  });

  test('what one reader of the line takes for an argument is one', () => {
    // systemd knows single quotes, the kernel does not.
    for (const argument of [
      "'single'",
      "'systemd.unit=rescue.target'",
      "systemd.unit='rescue.target'",
      "init='/bin/sh'",
    ])
      expect(forbidden(argument)).toBe(argument.replaceAll("'", '').split('=')[0]);
    expect(forbidden("note='a single b'")).toBe('single');
    expect(forbidden('note="it\'s single"')).toBeUndefined();
    expect(forbidden("note='it\"s'")).toBeUndefined();
  });

  test('the line is split at any blanks outside quotes, and ends at a bare --', () => {
    expect(splitArguments(' a\tb  c="d e" "f g"=h\n')).toEqual(['a', 'b', 'c=d e', 'f g=h']);
    expect(splitArguments('a -- single')).toEqual(['a']);
    expect(splitArguments('a --x single')).toEqual(['a', '--x', 'single']);
    expect(splitArguments('')).toEqual([]);
    expect(splitArguments('a "unfinished single')).toEqual(['a', 'unfinished single']);
  });

  test('a forbidden argument is found wherever it stands among others', () => {
    const harmless = fc.constantFrom('quiet', 'rw', 'a=b', 'c="x y"', 'systemd.unit=graphical.target', `init=${INIT}`);
    fc.assert(
      fc.property(
        fc.array(harmless, { maxLength: 6 }),
        fc.array(harmless, { maxLength: 6 }),
        fc.constantFrom('single', 'rd.break', 'init=/bin/sh', 'systemd.run=x', 'emergency'),
        (before, after, bad) => {
          expect(forbiddenArgument([...before, bad, ...after].join(' '), [INIT])).toBe(bad.split('=')[0]);
          expect(forbiddenArgument([...before, ...after].join(' '), [INIT])).toBeUndefined();
        },
      ),
    );
  });
});
