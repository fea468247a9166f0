// Whole resets on machines with systemd, under the product's own units: what can go wrong with a restart that is asked for
// and not made. Expected each time: one true end. One guest serves the tests, in their order; another one is suspended
// while they run.

import type { ChildProcess } from 'node:child_process';
import { afterAll, describe, expect, it, type TestContext } from 'vitest';
import { demandSystemd, until } from '../lab/fixture.ts';
import type { Guest } from '../lab/guest.ts';
import { opens, type Reset, Scene, shadowField, vncSays } from './scene.ts';

const DROP_INS = '/etc/systemd/system';
const FAKETIME = `/usr/lib/${process.arch === 'x64' ? 'x86_64' : 'aarch64'}-linux-gnu/faketime/libfaketime.so.1`;

/** A reboot counts as swallowed soon, and the agent's wall clock is the test's. */
const UNITS: Readonly<Record<string, string>> = {
  [`${DROP_INS}/latchkey-executor@.service.d/patience.conf`]:
    '[Service]\nExecStart=\nExecStart=/usr/bin/latchkey-agent executor --reboot-patience 2\n',
  [`${DROP_INS}/latchkey-.service.d/clock.conf`]: `[Service]
Environment=LD_PRELOAD=${FAKETIME} FAKETIME_TIMESTAMP_FILE=/etc/wall-clock FAKETIME_NO_CACHE=1
Environment=FAKETIME_DONT_FAKE_MONOTONIC=1
`,
  '/etc/wall-clock': '+0\n',
};

let scene: Scene | undefined;
let machine: Promise<Guest> | undefined;
let suspended: Promise<{ guest: Guest; running: Promise<Reset> }> | undefined;

async function theScene(): Promise<Scene> {
  scene ??= await Scene.open();
  return scene;
}

async function makeMachine(name: string, vnc: boolean): Promise<Guest> {
  const place = await theScene();
  return place.guest({ name: `${name}-${process.pid}`, layout: 'systemd', vnc, files: UNITS });
}

async function open(context: TestContext): Promise<{ scene: Scene; guest: Guest }> {
  demandSystemd(context);
  machine ??= makeMachine('systemd', true);
  const guest = await machine;
  await (await theScene()).controlPlane.untilOnline(guest.name);
  return { scene: await theScene(), guest };
}

afterAll(() => scene?.close());

async function must(guest: Guest, script: string): Promise<string> {
  const { code, stdout, stderr } = await guest.exec(['sh', '-c', script]);
  if (code !== 0) throw new Error(`${script}: ${stderr}`);
  return stdout.trim();
}

/** `passwd` waits before it works, so that there is a middle; undone when `act` is over. */
async function withSlowPasswd<T>(guest: Guest, seconds: string, act: () => Promise<T>): Promise<T> {
  await must(
    guest,
    `mv /usr/bin/passwd /usr/bin/passwd.real
printf '#!/bin/sh\\nsleep ${seconds}\\nexec /usr/bin/passwd.real "$@"\\n' > /usr/bin/passwd; chmod 755 /usr/bin/passwd`,
  );
  try {
    return await act();
  } finally {
    await must(guest, 'mv /usr/bin/passwd.real /usr/bin/passwd');
  }
}

const passwdWaits = (guest: Guest, seconds: string) =>
  until(async () => (await guest.exec(['pgrep', '-f', `sleep ${seconds}`])).code === 0);

const restarts = ({ lines }: Reset) => lines.filter(({ event, state }) => event === 'state' && state === 'REBOOTING');

/** Somebody who sits at a terminal. */
async function login(guest: Guest): Promise<{ child: ChildProcess; heard: () => string }> {
  const child = await guest.spawn(['login', '-f', 'ada'], { pty: true });
  let heard = '';
  child.stdout?.on('data', (bytes: Buffer) => {
    heard += bytes.toString();
  });
  await until(async () => (await must(guest, 'who')).includes('ada'));
  return { child, heard: () => heard };
}

describe('a machine that is suspended for long', () => {
  it('stands still in the grace period of a reset', async (context) => {
    demandSystemd(context);
    suspended = (async () => {
      const guest = await makeMachine('suspended', false);
      const running = (await theScene()).reset(['reset', guest.name, '--grace', '5']);
      await (await theScene()).untilState(guest, 'WAITING');
      await guest.suspend();
      return { guest, running };
    })();
    const { guest } = await suspended;
    expect(guest.state).toBe('running');
  });
});

describe('a whole reset under the units', () => {
  it('sets both secrets, warns who is signed in, restarts and proves', async (context) => {
    const { scene, guest } = await open(context);
    const before = guest.bootId();
    const { heard } = await login(guest);
    let known: readonly string[] = [];
    guest.once('rebooting', () => {
      void scene.controlPlane
        .api(scene.apiKey)
        .operations({ vm: guest.name })
        .then(({ items }) => {
          known = items[0]?.receipts.map(({ state }) => state) ?? [];
        });
    });
    const { done } = await scene.reset(['reset', guest.name, '--vnc', '--grace', '2']);
    expect(done).toMatchObject({ state: 'DONE', verified: { account: true, vnc: true, reboot: true } });
    expect([done.bootIdBefore, done.bootIdAfter]).toEqual([before, guest.bootId()]);
    expect(await opens(guest, 'root', done.secrets?.account ?? '')).toBe(true);
    expect(await vncSays(guest, done.secrets?.vnc ?? '')).toBe('accepted');
    expect(heard()).toContain("restarts in 2 seconds: its administrator's password is being reset");
    expect(heard()).toContain("restarts now: its administrator's password was reset");
    // The last word before the link went down had arrived.
    expect(known).toContain('REBOOTING');
  });

  it('goes on when the link is restarted in the middle', async (context) => {
    const { scene, guest } = await open(context);
    const { done, pids } = await withSlowPasswd(guest, '3.1', async () => {
      const running = scene.reset(['reset', guest.name]);
      await passwdWaits(guest, '3.1');
      const before = await guest.servicePids('executor');
      await must(guest, 'systemctl restart latchkey-agent');
      const after = await guest.servicePids('executor');
      return { done: (await running).done, pids: [before, after] };
    });
    expect(pids[0]).toHaveLength(1);
    expect(pids[1]).toEqual(expect.arrayContaining(pids[0] ?? []));
    expect(done.state).toBe('DONE');
    expect(await opens(guest, 'root', done.secrets?.account ?? '')).toBe(true);
  });

  it('is done without logind, too', async (context) => {
    const { scene, guest } = await open(context);
    await must(guest, 'systemctl mask --runtime --now systemd-logind 2>&1');
    const { done } = await scene.reset(['reset', guest.name]);
    expect(done.state).toBe('DONE');
  });

  it('is not misled by a wall clock that is years away, and moved in the middle', async (context) => {
    const { scene, guest } = await open(context);
    await guest.writeFile('/etc/wall-clock', '+10y\n');
    const running = scene.reset(['reset', guest.name, '--grace', '2']);
    await scene.untilState(guest, 'WAITING');
    await guest.writeFile('/etc/wall-clock', '-20y\n');
    const { done } = await running;
    await guest.writeFile('/etc/wall-clock', '+0\n');
    expect(done.state).toBe('DONE');
    const logged = await must(guest, 'journalctl -q -o cat -u latchkey-agent | grep -o \'"time":[0-9]*\'');
    const years = logged.split('\n').map((word) => new Date(Number(word.slice(7))).getFullYear());
    expect(Math.max(...years) - Math.min(...years)).toBeGreaterThan(15);
  });
});

describe('a restart that is refused', () => {
  it('because a program asked the machine not to go down: REBOOT_DENIED, and nothing is forced', async (context) => {
    const { scene, guest } = await open(context);
    const { boots } = guest;
    await must(
      guest,
      'systemd-run -q --unit=upgrade systemd-inhibit --what=shutdown:sleep --mode=block --why=upgrade sleep infinity',
    );
    await until(async () => (await must(guest, 'systemd-inhibit --list')).includes('upgrade'));
    const { code, done } = await scene.reset(['reset', guest.name]);
    await must(guest, 'systemctl stop upgrade');
    expect({ code, state: done.state, reason: done.code }).toEqual({
      code: 4,
      state: 'PARTIAL',
      reason: 'REBOOT_DENIED',
    });
    expect(guest.boots).toBe(boots);
    expect(await opens(guest, 'root', done.secrets?.account ?? '')).toBe(true);
  });

  it('by the init itself: REBOOT_DENIED', async (context) => {
    const { scene, guest } = await open(context);
    const { boots } = guest;
    await must(guest, 'systemctl mask --runtime reboot.target 2>&1');
    const { done } = await scene.reset(['reset', guest.name]);
    await must(guest, 'systemctl unmask --runtime reboot.target 2>&1');
    expect(done).toMatchObject({ state: 'PARTIAL', code: 'REBOOT_DENIED' });
    expect(guest.boots).toBe(boots);
  });
});

describe('a restart that does not come', () => {
  it('once is asked for again', async (context) => {
    const { scene, guest } = await open(context);
    await guest.swallowReboots(1);
    const running = scene.reset(['reset', guest.name]);
    await scene.untilState(guest, 'REBOOTING');
    await until(async () => (await guest.exec(['systemctl', 'is-active', 'reboot.target'])).code === 0);
    await guest.swallowReboots(0);
    const reset = await running;
    expect(reset.done.state).toBe('DONE');
    expect(restarts(reset)).toHaveLength(2);
  });

  it('ever is asked for three times and ends REBOOT_TIMEOUT', async (context) => {
    const { scene, guest } = await open(context);
    const { boots } = guest;
    await guest.swallowReboots(1);
    const reset = await scene.reset(['reset', guest.name]);
    await guest.swallowReboots(0);
    await must(guest, 'systemctl stop reboot.target');
    expect(reset.done).toMatchObject({ state: 'PARTIAL', code: 'REBOOT_TIMEOUT' });
    expect(restarts(reset)).toHaveLength(3);
    expect(guest.boots).toBe(boots);
  });

  it('but restarts the processes alone does not count: the boot is the same', async (context) => {
    const { scene, guest } = await open(context);
    const before = guest.bootId();
    guest.softenNextBoot();
    const reset = await scene.reset(['reset', guest.name]);
    expect(reset.done).toMatchObject({ state: 'DONE', bootIdBefore: before, bootIdAfter: guest.bootId() });
    expect(restarts(reset)).toHaveLength(2);
    expect(guest.bootIds.slice(-3)).toEqual([before, before, guest.bootId()]);
    expect(guest.bootId()).not.toBe(before);
  });

  it('because the shutdown hangs, until somebody cuts the power: the new boot counts', async (context) => {
    const { scene, guest } = await open(context);
    const stubborn = "trap '' TERM; while :; do sleep 1; done";
    await must(guest, `systemd-run -q --unit=stubborn -p TimeoutStopSec=infinity sh -c "${stubborn}"`);
    const running = scene.reset(['reset', guest.name]);
    await scene.untilState(guest, 'REBOOTING');
    await scene.controlPlane.untilOnline(guest.name, false);
    expect(guest.state).toBe('rebooting');
    await guest.powerCut();
    await guest.boot();
    expect((await running).done.state).toBe('DONE');
  });

  it('because the machine stays away is no end: it is one when the machine is back', async (context) => {
    const { scene, guest } = await open(context);
    guest.holdNextBoot();
    const running = scene.reset(['reset', guest.name]);
    await until(() => guest.state === 'held');
    await scene.controlPlane.untilOnline(guest.name, false);
    const { items } = await scene.controlPlane.api(scene.apiKey).operations({ vm: guest.name });
    expect(items[0]).toMatchObject({ state: 'REBOOTING', ended: false });
    guest.releaseBoot();
    expect((await running).done.state).toBe('DONE');
  });
});

describe('a restart that somebody else makes', () => {
  it('in the grace period: INTERRUPTED, and nothing was changed', async (context) => {
    const { scene, guest } = await open(context);
    const before = await shadowField(guest, 'root');
    const running = scene.reset(['reset', guest.name, '--grace', '600']);
    await scene.untilState(guest, 'WAITING');
    await must(guest, 'systemctl reboot');
    expect((await running).done.state).toBe('INTERRUPTED');
    expect(await shadowField(guest, 'root')).toBe(before);
  });

  it('without power, while the password is being set: INTERRUPTED, and the old one stands', async (context) => {
    const { scene, guest } = await open(context);
    const before = await shadowField(guest, 'root');
    const { done } = await withSlowPasswd(guest, '30.1', async () => {
      const running = scene.reset(['reset', guest.name]);
      await passwdWaits(guest, '30.1');
      await guest.powerCut();
      await guest.boot();
      return running;
    });
    expect(done.state).toBe('INTERRUPTED');
    expect(await shadowField(guest, 'root')).toBe(before);
  });
});

describe('a cancel', () => {
  it.for(['ACCEPTED', 'PASSWORD_SET', 'REBOOTING'])(
    'that races with the restart after %s either stops it or does not, and the end says which',
    async (state, context) => {
      const { scene, guest } = await open(context);
      const { boots } = guest;
      const before = await shadowField(guest, 'root');
      const running = scene.reset(['reset', guest.name, '--grace', state === 'ACCEPTED' ? '600' : '0']);
      const op = await scene.untilState(guest, state);
      const { code } = await scene.run(['op', 'cancel', op]);
      const { done } = await running;
      const changed = (await shadowField(guest, 'root')) !== before;
      expect(['CANCELLED', 'PARTIAL', 'DONE']).toContain(done.state);
      if (state === 'ACCEPTED') expect({ code, state: done.state }).toEqual({ code: 0, state: 'CANCELLED' });
      if (done.state === 'PARTIAL') expect(done.code).toBe('REBOOT_CANCELLED');
      expect({ restarted: guest.boots - boots, changed }).toEqual({
        restarted: done.state === 'DONE' ? 1 : 0,
        changed: done.state !== 'CANCELLED',
      });
    },
  );
});

describe('the machine that was suspended all the while', () => {
  it('goes on where it stood, comes back to the control plane, and ends truly', async (context) => {
    demandSystemd(context);
    if (!suspended) throw new Error('nothing was suspended');
    const { guest, running } = await suspended;
    expect(guest.boots).toBe(1);
    await guest.resume();
    const { done } = await running;
    expect(done).toMatchObject({ state: 'DONE', verified: { account: true, reboot: true } });
    expect(await opens(guest, 'root', done.secrets?.account ?? '')).toBe(true);
  });
});
