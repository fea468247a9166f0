// What the lab's second layout promises: a Debian machine whose PID 1 is the real systemd, as safe for the runner as the
// first one. One guest serves all these tests, in their order.
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import {
  BOOT_ID,
  bootSystemdGuest,
  demandSystemd,
  digest,
  isAlive,
  output,
  SLEEPER,
  sharedGuest,
  until,
} from './fixture.ts';
import { guestFolder } from './ground.ts';
import { createGuest, destroyAll, type Guest } from './guest.ts';

const ACCOUNT_FILES = ['/etc/passwd', '/etc/shadow', '/etc/group', '/etc/gshadow'];

const shared = sharedGuest(() => bootSystemdGuest('systemd', { vnc: true }));

afterAll(destroyAll);

/** Types at prompts, each after it was seen, and returns what was heard until the pattern is. */
async function converse(guest: Guest, argv: readonly string[], answers: readonly [RegExp, string][], until: RegExp) {
  const child = await guest.spawn(argv, { pty: true });
  let heard = '';
  const left = [...answers];
  const end = new Promise<'heard' | 'ended'>((resolve) => {
    child.stdout?.on('data', (bytes: Buffer) => {
      heard += bytes.toString();
      const [next] = left;
      if (next?.[0].test(heard)) {
        heard = '';
        left.shift();
        child.stdin?.write(`${next[1]}\n`);
      } else if (left.length === 0 && until.test(heard)) resolve('heard');
    });
    child.once('close', () => resolve('ended'));
  });
  return { child, end: await end, heard };
}

const closed = (child: ChildProcess) => until(() => child.exitCode !== null || child.signalCode !== null);

/** The group of a guest in the runner's tree, where that is mounted; its name is the launcher's pid. */
function findCgroup(launcher: number): string | undefined {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const place = mounts.find((line) => line.includes(' - cgroup2 '))?.split(' ')[4];
  const own = /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? '/';
  return place && join(place, own, `latchkey-lab.${launcher}`);
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

describe('a guest with systemd', () => {
  test('is a whole machine: units, logind, its own journal, and nothing failed', async (context) => {
    const guest = await shared(context);
    expect(await output(guest, 'readlink /proc/1/exe')).toMatch(/\/systemd\/systemd$/);
    expect(await output(guest, 'systemctl is-system-running --wait; systemctl --failed --no-legend')).toBe('running');
    expect(await output(guest, 'systemctl is-active dbus systemd-logind tigervncserver@:1 | xargs')).toBe(
      'active active active',
    );
    expect(await output(guest, 'hostname; cat /etc/machine-id | wc -c')).toBe(`${guest.hostname}\n33`);
    expect(await output(guest, 'journalctl -b -q -o cat _PID=1 | grep -c Started')).not.toBe('0');
  });

  test('lets somebody log in through PAM, and logind knows the session', async (context) => {
    const guest = await shared(context);
    const password = `drawn-${crypto.randomUUID()}`.slice(0, 20);
    expect((await guest.exec(['chpasswd'], { input: `ada:${password}\n` })).code).toBe(0);
    const prompts: [RegExp, string][] = [
      [/login:/, 'ada'],
      [/Password:/, password],
      [/\$ /, 'loginctl --no-pager show-session self -p Name -p Class'],
    ];
    const { child, heard } = await converse(guest, ['login'], prompts, /Class=user[\s\S]*\$ /);
    expect(heard).toMatch(/Name=ada/);
    child.stdin?.write('exit\n');
    await closed(child);
    const wrong = await converse(guest, ['login'], [...prompts.slice(0, 1), [/Password:/, 'wrong']], /incorrect/);
    expect(wrong.end).toBe('heard');
    wrong.child.stdin?.write('\u0003');
    await closed(wrong.child);
  });

  test('really reboots: PID 1 ends, another boot id, the journal of both boots', async (context) => {
    const guest = await shared(context);
    const pid = await guest.pid();
    const before = guest.bootId();
    // Whoever is inside at that moment does not hold up the shutdown.
    const inside = await guest.spawn(['sleep', 'infinity']);
    const next = guest.boots + 1;
    await output(guest, 'echo kept > /var/kept; systemctl reboot');
    await guest.waitForBoot(next);
    expect(isAlive(pid)).toBe(false);
    await until(() => inside.exitCode !== null);
    expect(await output(guest, `cat ${BOOT_ID}`)).toBe(guest.bootId());
    expect(guest.bootId()).not.toBe(before);
    expect(await output(guest, 'cat /var/kept')).toBe('kept');
    const boots = await output(guest, 'journalctl -q --list-boots --no-pager');
    for (const id of [before, guest.bootId()]) expect(boots).toContain(id?.replaceAll('-', ''));
  });

  test('keeps its boot id when only its processes start again', async (context) => {
    const guest = await shared(context);
    const before = guest.bootId();
    const next = guest.boots + 1;
    guest.softenNextBoot();
    await output(guest, 'systemctl reboot');
    await guest.waitForBoot(next);
    expect(await output(guest, `cat ${BOOT_ID}`)).toBe(before);
  });

  test('loses a reboot when a test says so', async (context) => {
    const guest = await shared(context);
    const { boots } = guest;
    await guest.swallowReboots(1);
    await output(guest, 'systemctl reboot');
    await until(async () => (await output(guest, 'systemctl is-active reboot.target || true')) === 'active');
    expect(await output(guest, 'systemctl is-active dbus systemd-logind | xargs')).toBe('active active');
    expect(guest.boots).toBe(boots);
    await guest.swallowReboots(0);
  });
});

describe('the runner is out of its reach', () => {
  test('its accounts: a password set in the guest is not one of theirs', async (context) => {
    const guest = await shared(context);
    const before = ACCOUNT_FILES.map(digest);
    expect((await guest.exec(['chpasswd'], { input: `root:${crypto.randomUUID()}\n` })).code).toBe(0);
    await output(guest, 'useradd mallory && userdel mallory && usermod -L bob');
    expect(ACCOUNT_FILES.map(digest)).toEqual(before);
    expect(await output(guest, 'cut -d: -f2 /etc/shadow | grep -c "^[$]"')).toMatch(/^[12]$/);
  });

  test('its power: reboots of every kind end the guest alone', async (context) => {
    const guest = await shared(context);
    const runner = [readFileSync(BOOT_ID, 'utf8'), readFileSync('/proc/swaps', 'utf8')];
    const swaps = await output(guest, 'cat /proc/swaps');
    expect(swaps).toBe('');
    for (const argv of [
      ['systemctl', 'reboot', '--force', '--force'],
      ['systemctl', 'reboot', '--force'],
    ]) {
      const next = guest.boots + 1;
      await guest.exec(argv).catch(() => undefined);
      await guest.waitForBoot(next);
    }
    expect([readFileSync(BOOT_ID, 'utf8'), readFileSync('/proc/swaps', 'utf8')]).toEqual(runner);
    const off = new Promise((resolve) => guest.once('powered-off', resolve));
    await guest.exec(['systemctl', 'poweroff']);
    expect(await off).toEqual({ end: 'power-off' });
    await guest.boot();
  });

  test('its kernel: no setting, clock, device or module of it can be changed', async (context) => {
    const guest = await shared(context);
    const attempts = [
      'echo 1 > /proc/sys/kernel/printk',
      'echo b > /proc/sysrq-trigger && test -s /proc/sysrq-trigger',
      'date -s "2001-01-01"',
      'mknod /dev/own b 7 0',
      'echo mem > /sys/power/state',
      'mount -o remount,rw /sys && echo mem > /sys/power/state.none',
      'touch /usr/lib/latchkey-agent/package.json',
    ];
    for (const attempt of attempts) {
      const { code } = await guest.exec(['sh', '-c', attempt]);
      expect([attempt, code === 0]).toEqual([attempt, false]);
    }
  });

  test('its cgroups and processes: the guest sees its own as the whole', async (context) => {
    const guest = await shared(context);
    expect(await output(guest, "sed -n 's/^0:://p' /proc/1/cgroup")).toBe('/init.scope');
    expect(await output(guest, "sed -n 's/^0:://p' /proc/self/cgroup")).toBe('/lab');
    expect(await output(guest, `test ! -e /proc/${process.pid} || readlink /proc/${process.pid}/exe`)).not.toMatch(
      /node/,
    );
  });

  test('nothing is left of it: processes, folder, cgroups', async (context) => {
    demandSystemd(context);
    const guest = await bootSystemdGuest('systemd-gone');
    const pid = await guest.pid();
    const cgroup = findCgroup(parentOf(pid));
    if (cgroup) expect(existsSync(cgroup)).toBe(true);
    await guest.destroy();
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(guestFolder(guest.name))).toBe(false);
    if (cgroup) expect(existsSync(cgroup)).toBe(false);
  });
});

test('services of the other layout are refused', (context) => {
  demandSystemd(context);
  expect(() => createGuest({ name: 'test-mixed', layout: 'systemd', services: [SLEEPER] })).toThrow(/takes units/);
  expect(existsSync(guestFolder('test-mixed'))).toBe(false);
});
