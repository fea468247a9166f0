// What goes wrong on the way: a machine that is off, a process that dies, a control plane that is killed, a reboot that is
// lost, a network that is cut. Expected each time: one true end, and never two effects.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OVERDUE_MS } from '../../control-plane/core/due.ts';
import type { Guest } from '../lab/guest.ts';
import { PRODUCT_SERVICES } from '../lab/services.ts';
import { opens, Scene, shadowField } from './scene.ts';

let scene: Scene;

/** The product's services with an executor that does not wait for long until a reboot counts as swallowed. */
const impatient = PRODUCT_SERVICES.map((service) =>
  service.name === 'executor' ? { ...service, argv: [...service.argv, '--reboot-patience', '2'] } : service,
);

beforeAll(async () => {
  scene = await Scene.open();
});
afterAll(() => scene?.close());

const guestNamed = (name: string) => scene.guest({ name: `${name}-${process.pid}`, vnc: false, services: impatient });

/** Makes `passwd` wait before it works, so that there is a middle to be killed in. */
async function slowPasswd(guest: Guest, seconds: number): Promise<void> {
  const script = `mv /usr/bin/passwd /usr/bin/passwd.real
printf '#!/bin/sh\\ntouch /run/passwd-started\\nsleep ${seconds}\\nexec /usr/bin/passwd.real "$@"\\n' > /usr/bin/passwd
chmod 755 /usr/bin/passwd`;
  const { code, stderr } = await guest.exec(['sh', '-c', script]);
  if (code !== 0) throw new Error(stderr);
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}

describe('a machine that is not there', () => {
  it('is reset as soon as it comes, with generated passwords', async () => {
    const guest = await guestNamed('late');
    await guest.cutNetwork();
    await scene.controlPlane.untilOnline(guest.name, false);
    const running = scene.reset(['reset', guest.name]);
    await scene.untilState(guest, 'QUEUED');
    await guest.restoreNetwork();
    const { done } = await running;
    expect(done.state).toBe('DONE');
    expect(await opens(guest, 'root', done.secrets?.account ?? '')).toBe(true);
  });

  it('cannot be given a typed password, and nothing is queued', async () => {
    const guest = await guestNamed('away');
    await guest.cutNetwork();
    await scene.controlPlane.untilOnline(guest.name, false);
    const { code, done } = await scene.reset(['reset', guest.name, '--password-stdin'], {
      input: 'x7-typed-never-sent\n',
    });
    expect(code).toBe(3);
    expect(done).toMatchObject({ code: 'AGENT_OFFLINE' });
    const { items } = await scene.controlPlane.api(scene.apiKey).operations({ vm: guest.name });
    expect(items.filter(({ ended }) => !ended)).toEqual([]);
  });
});

describe('a process that dies', () => {
  it('the link, killed while the password is being set: the reset is done all the same', async () => {
    const guest = await guestNamed('link-dies');
    await slowPasswd(guest, 1);
    const running = scene.reset(['reset', guest.name]);
    await until(async () => (await guest.exec(['test', '-e', '/run/passwd-started'])).code === 0);
    await guest.kill('link');
    const { done } = await running;
    expect(done.state).toBe('DONE');
    expect(guest.reboots).toBe(1);
    expect(await opens(guest, 'root', done.secrets?.account ?? '')).toBe(true);
  });

  it('the executor, killed before the password was set: INTERRUPTED, and the old entry stands', async () => {
    const guest = await guestNamed('executor-dies');
    await slowPasswd(guest, 30);
    const before = await shadowField(guest, 'root');
    const running = scene.reset(['reset', guest.name]);
    await until(async () => (await guest.exec(['test', '-e', '/run/passwd-started'])).code === 0);
    await guest.exec(['sh', '-c', 'pkill -KILL -f "main.ts executor"; pkill -KILL -f passwd']);
    const { code, done } = await running;
    expect({ code, state: done.state }).toEqual({ code: 1, state: 'INTERRUPTED' });
    expect(await shadowField(guest, 'root')).toBe(before);
    expect(guest.reboots).toBe(0);
  });

  it('the machine itself, without power while it waits: INTERRUPTED, and nothing was changed', async () => {
    const guest = await guestNamed('power-dies');
    const before = await shadowField(guest, 'root');
    const running = scene.reset(['reset', guest.name, '--grace', '600']);
    await scene.untilState(guest, 'WAITING');
    await guest.powerCut();
    await guest.boot();
    const { done } = await running;
    expect(done.state).toBe('INTERRUPTED');
    expect(await shadowField(guest, 'root')).toBe(before);
  });

  it('the machine itself, without power instead of a reboot: another boot is another boot', async () => {
    const guest = await guestNamed('power-reboot');
    await guest.swallowReboots(100);
    const running = scene.reset(['reset', guest.name]);
    await scene.untilState(guest, 'REBOOTING');
    await guest.powerCut();
    await guest.boot();
    const { done } = await running;
    expect(done.state).toBe('DONE');
    expect(await opens(guest, 'root', done.secrets?.account ?? '')).toBe(true);
  });
});

describe('a control plane that is killed and started again', () => {
  it('while the machine works loses nothing and repeats nothing', async () => {
    const guest = await guestNamed('cp-dies');
    await slowPasswd(guest, 2);
    const running = scene.reset(['reset', guest.name]);
    await until(async () => (await guest.exec(['test', '-e', '/run/passwd-started'])).code === 0);
    await scene.controlPlane.kill();
    await until(async () => guest.reboots === 1);
    await scene.controlPlane.run();
    const { done } = await running;
    expect(done.state).toBe('DONE');
    expect(guest.reboots).toBe(1);
    expect(await opens(guest, 'root', done.secrets?.account ?? '')).toBe(true);
  });
});

describe('a reboot that is lost', () => {
  it('once is asked for again', async () => {
    const guest = await guestNamed('lost-once');
    await guest.swallowReboots(1);
    const { done, lines } = await scene.reset(['reset', guest.name]);
    expect(done.state).toBe('DONE');
    expect(lines.filter(({ state }) => state === 'REBOOTING')).toHaveLength(2);
    expect(guest.reboots).toBe(1);
  });

  it('again and again ends PARTIAL, and the password is in force', async () => {
    const guest = await guestNamed('lost-always');
    await guest.swallowReboots(100);
    const { code, done } = await scene.reset(['reset', guest.name]);
    expect({ code, state: done.state, reason: done.code }).toEqual({
      code: 4,
      state: 'PARTIAL',
      reason: 'REBOOT_TIMEOUT',
    });
    expect(await opens(guest, 'root', done.secrets?.account ?? '')).toBe(true);
  });
});

describe('a network that is cut', () => {
  it('after the command was taken: every step is seen once it is back', async () => {
    const guest = await guestNamed('cut');
    await slowPasswd(guest, 1);
    const running = scene.reset(['reset', guest.name]);
    await until(async () => (await guest.exec(['test', '-e', '/run/passwd-started'])).code === 0);
    await guest.cutNetwork();
    await until(async () => guest.reboots === 1);
    await guest.restoreNetwork();
    const { done, lines } = await running;
    expect(done.state).toBe('DONE');
    const seen = lines.map(({ state }) => state).filter((state) => typeof state === 'string');
    expect(seen).toEqual(expect.arrayContaining(['ACCEPTED', 'SECRET_READY', 'PASSWORD_SET', 'REBOOTING', 'BOOTED']));
  });
});

describe('a machine that comes back changed', () => {
  it('with a forbidden kernel argument is PARTIAL, never DONE', async () => {
    const guest = await guestNamed('changed');
    guest.setKernelCommandLine('BOOT_IMAGE=/vmlinuz root=/dev/vda1 ro rd.break');
    const { code, done } = await scene.reset(['reset', guest.name]);
    expect({ code, state: done.state, reason: done.code }).toEqual({
      code: 4,
      state: 'PARTIAL',
      reason: 'BOOT_ENV_CHANGED',
    });
  });
});

describe('a machine that does not return from its restart', () => {
  afterAll(async () => {
    await scene.controlPlane.kill();
    await scene.controlPlane.run();
  });

  it('is OVERDUE, which is no end, and heals when it does return', async () => {
    const guest = await guestNamed('overdue');
    guest.holdNextBoot();
    const running = scene.reset(['reset', guest.name]);
    await until(async () => guest.state === 'held');
    const op = await scene.untilState(guest, 'REBOOTING');
    await scene.controlPlane.kill();
    await scene.controlPlane.run({ aheadMs: OVERDUE_MS + 60_000 });
    const { code, done } = await running;
    expect({ code, state: done.state, reboot: done.verified.reboot }).toEqual({
      code: 5,
      state: 'REBOOTING',
      reboot: false,
    });
    const api = scene.controlPlane.api(scene.apiKey);
    expect(await api.operation(op)).toMatchObject({ overdue: true, ended: false });
    guest.releaseBoot();
    const watched = await scene.run(['op', 'watch', op, '--json']);
    const last = JSON.parse(watched.stdout.trim().split('\n').at(-1) ?? '') as typeof done;
    expect({ code: watched.code, state: last.state }).toEqual({ code: 0, state: 'DONE' });
    expect(await api.operation(op)).toMatchObject({ overdue: false, ended: true });
    expect(await opens(guest, 'root', done.secrets?.account ?? '')).toBe(true);
  });
});

describe('a machine that is not heard of for weeks', () => {
  const WEEKS_MS = 21 * 86_400_000;
  afterAll(async () => {
    await scene.controlPlane.kill();
    await scene.controlPlane.run();
  });

  it('ends by itself, and its results are told and taken when both sides have been started anew', async () => {
    const guest = await guestNamed('weeks');
    await slowPasswd(guest, 1);
    const running = scene.reset(['reset', guest.name]);
    await until(async () => (await guest.exec(['test', '-e', '/run/passwd-started'])).code === 0);
    await guest.cutNetwork();
    await until(async () => guest.reboots === 1);
    const journal = async () => (await guest.readFile('/var/lib/latchkey-agent/executor/journal.jsonl')).toString();
    await until(async () => guest.state === 'running' && (await journal()).includes('"state":"DONE"'));
    await scene.controlPlane.kill();
    await guest.kill('link');
    await scene.controlPlane.run({ aheadMs: WEEKS_MS });
    // Nothing was heard for three weeks: a presumption, and it says so.
    const { code, done } = await running;
    expect({ code, state: done.state, reason: done.code }).toEqual({
      code: 5,
      state: 'EXPIRED',
      reason: 'AGENT_SILENT',
    });
    await guest.restoreNetwork();
    const api = scene.controlPlane.api(scene.apiKey);
    await until(async () => (await api.operation(done.op)).state === 'DONE');
    const { receipts, times } = await api.operation(done.op);
    expect(receipts.map(({ n }) => n)).toEqual(receipts.map((_, i) => i + 1));
    // Nobody's clock saw how long the reboot took.
    expect(times.find(({ state, to }) => state === 'REBOOTING' && to === 'BOOTED')).toMatchObject({ ms: null });
    const watched = await scene.run(['op', 'watch', done.op, '--json']);
    const last = JSON.parse(watched.stdout.trim().split('\n').at(-1) ?? '') as typeof done;
    expect({ code: watched.code, state: last.state }).toEqual({ code: 0, state: 'DONE' });
    // It was sealed before the network was cut, so the operator has it already.
    expect(await opens(guest, 'root', done.secrets?.account ?? '')).toBe(true);
    await until(async () => (await journal()).includes(`{"kind":"acked","op":"${done.op}","n":${receipts.length}}`));
  });
});
