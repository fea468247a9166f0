// What the product relies on when it reboots a guest: it is a real reboot, and a test decides how it goes.
import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { BOOT_ID, bootGuest, isAlive, output, shell, until } from './fixture.ts';
import { destroyAll } from './guest.ts';

afterAll(destroyAll);

describe('a guest reboots', () => {
  test('for real: a new boot id, the disk kept, /tmp and /run fresh, and the runner goes on', async () => {
    const runner = readFileSync(BOOT_ID, 'utf8');
    const guest = await bootGuest('reboot');
    const first = guest.bootId();
    expect(await output(guest, `cat ${BOOT_ID}`)).toBe(first);
    await output(guest, 'echo kept | tee /etc/kept /home/ada/kept /var/kept /usr/kept /tmp/fresh > /run/fresh');
    await guest.exec(['/sbin/reboot']);
    await guest.waitForBoot(2);
    expect(await output(guest, `cat ${BOOT_ID}`)).toBe(guest.bootId());
    expect(guest.bootIds).toEqual([first, guest.bootId()]);
    expect(new Set([...guest.bootIds, runner.trim()]).size).toBe(3);
    expect(await output(guest, 'cat /etc/kept /home/ada/kept /var/kept | xargs')).toBe('kept kept kept');
    expect(await output(guest, 'ls -A /tmp /run | grep -c fresh || true')).toBe('0');
    expect(guest.reboots).toBe(1);
    expect(readFileSync(BOOT_ID, 'utf8')).toBe(runner);
  });

  test('a service gets SIGTERM and time to end before the reboot', async () => {
    const script = 'trap "echo ended > /var/ended; exit" TERM; : > /run/ready; while :; do sleep 0.05; done';
    const guest = await bootGuest('orderly', {
      services: [shell('tidy', 'always', '/etc/tidy')],
      files: { '/etc/tidy': script },
    });
    await until(async () => (await output(guest, 'ls /run')).includes('ready'));
    await guest.exec(['/sbin/reboot']);
    await guest.waitForBoot(2);
    expect(await output(guest, 'cat /var/ended')).toBe('ended');
  });

  test('a service that ignores SIGTERM does not stop the reboot', async () => {
    const argv = ['/bin/sh', '-c', 'trap : TERM; while :; do sleep 1; done'];
    const guest = await bootGuest('stubborn', {
      services: [{ name: 'stubborn', user: 'root', policy: 'always', argv }],
    });
    await guest.exec(['/sbin/reboot']);
    await guest.waitForBoot(2);
    expect(guest.reboots).toBe(1);
  });

  test('a swallowed reboot does not happen, and the next one does', async () => {
    const guest = await bootGuest('swallow');
    await guest.swallowReboots(1);
    const swallowed = new Promise((resolve) => guest.once('swallowed', () => resolve(true)));
    await guest.exec(['/sbin/reboot']);
    expect(await swallowed).toBe(true);
    expect(await output(guest, `cat ${BOOT_ID}`)).toBe(guest.bootIds[0]);
    await guest.exec(['/sbin/reboot']);
    await guest.waitForBoot(2);
    expect(guest.boots).toBe(2);
  });

  test('reboot with any argument is refused and logged', async () => {
    const guest = await bootGuest('force');
    for (const argument of ['-f', '--force', 'now']) {
      expect((await guest.exec(['/sbin/reboot', argument])).code).toBe(2);
    }
    expect(await output(guest, 'cat /var/log/lab/shutdown.log')).toMatch(
      /^reboot refused: -f\nreboot refused: --force\n/,
    );
    expect(guest.boots).toBe(1);
  });

  test('only root may ask for a reboot', async () => {
    const guest = await bootGuest('ordinary');
    expect((await guest.exec(['/sbin/reboot'], { user: 'ada' })).code).toBe(1);
    expect(guest.state).toBe('running');
  });

  test('a held machine comes back only when it is released', async () => {
    const guest = await bootGuest('held');
    guest.holdNextBoot();
    await guest.exec(['/sbin/reboot']);
    await until(() => guest.state === 'held');
    await expect(guest.exec(['true'])).rejects.toThrow(/is off/);
    guest.releaseBoot();
    await guest.waitForBoot(2);
    expect(guest.bootIds.length).toBe(2);
  });

  test('a power cut ends everything at once, and the disk is there at the next boot', async () => {
    const guest = await bootGuest('cut');
    await output(guest, 'echo kept > /etc/kept');
    const pid = await guest.pid();
    await guest.powerCut();
    expect({ state: guest.state, alive: isAlive(pid), reboots: guest.reboots }).toEqual({
      state: 'off',
      alive: false,
      reboots: 0,
    });
    expect((await guest.readFile('/etc/kept')).toString()).toBe('kept\n');
    await guest.boot();
    expect(await output(guest, 'cat /etc/kept')).toBe('kept');
  });

  test('a guest that is powered off stays off', async () => {
    const guest = await bootGuest('off');
    const off = new Promise((resolve) => guest.once('powered-off', resolve));
    await guest.exec(['/sbin/poweroff']);
    expect(await off).toEqual({ end: 'power-off' });
    expect(guest.state).toBe('off');
  });

  test('the kernel command line is the one that was set, at the next boot or at once', async () => {
    const guest = await bootGuest('cmdline');
    expect(await output(guest, 'cat /proc/cmdline')).toBe('BOOT_IMAGE=/vmlinuz root=/dev/vda1 ro quiet');
    guest.setKernelCommandLine('rd.break', { live: true });
    expect(await output(guest, 'cat /proc/cmdline')).toBe('rd.break');
    guest.setKernelCommandLine('init=/bin/sh');
    expect(await output(guest, 'cat /proc/cmdline')).toBe('rd.break');
    await guest.exec(['/sbin/reboot']);
    await guest.waitForBoot(2);
    expect(await output(guest, 'cat /proc/cmdline')).toBe('init=/bin/sh');
  });
});
