// Whole resets with everything real: the command line, the control plane, the signer, the agent, passwd, TigerVNC, and a
// reboot. What is asserted is what an operator relies on: the new secrets work, the old ones do not, and nothing else moved.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Guest } from '../lab/guest.ts';
import { findVncService, VNC_PORT } from '../lab/services.ts';
import { unavailable } from '../requirements.ts';
import { drawPassword, opens, Scene, shadowField, vncSays } from './scene.ts';

let scene: Scene;
let guest: Guest;
let plain: Guest;

const TIGER = 'apt-get install tigervnc-standalone-server';
const hasVnc = findVncService() !== undefined;

beforeAll(async () => {
  scene = await Scene.open();
  guest = await scene.guest({ name: `resets-${process.pid}` });
  plain = await scene.guest({ name: `plain-${process.pid}`, vnc: false });
});
afterAll(() => scene?.close());

describe('a reset of the account', () => {
  it('sets a generated password for an administrator who had none, reboots, and is proven', async () => {
    const before = { bob: await shadowField(guest, 'bob'), boots: guest.boots, bootId: guest.bootId() };
    const { code, done } = await scene.reset(['reset', guest.name]);
    expect({ code, state: done.state, account: done.account }).toEqual({ code: 0, state: 'DONE', account: 'root' });
    expect(done.verified).toEqual({ account: true, vnc: null, reboot: true });
    expect(done.warnings).toContain('ACCOUNT_HAD_NO_PASSWORD');
    expect(done.secrets?.account).toMatch(/^[A-Za-z0-9]{24}$/);
    expect(await opens(guest, 'root', done.secrets?.account ?? '')).toBe(true);
    expect(done.bootIdBefore).toBe(before.bootId);
    expect(done.bootIdAfter).toBe(guest.bootId());
    expect(guest.boots).toBe(before.boots + 1);
    expect(await shadowField(guest, 'bob')).toBe(before.bob);
  });

  it('leaves the VNC password alone', async (context) => {
    if (!hasVnc) return unavailable(context, 'Xvnc', TIGER);
    await guest.untilListening(VNC_PORT);
    expect(await vncSays(guest, guest.vncPassword ?? '')).toBe('accepted');
  });

  it('replaces a password: the old one no longer works', async () => {
    const first = await scene.reset(['reset', plain.name, '--account', 'bob']);
    const second = await scene.reset(['reset', plain.name, '--account', 'bob']);
    expect([first.done.state, second.done.state]).toEqual(['DONE', 'DONE']);
    expect(second.done.account).toBe('bob');
    expect(await opens(plain, 'bob', first.done.secrets?.account ?? '')).toBe(false);
    expect(await opens(plain, 'bob', second.done.secrets?.account ?? '')).toBe(true);
  });

  it('takes a typed password from standard input, with colons and shell characters in it', async () => {
    const typed = `${drawPassword(10)}:$'\\;&`;
    const { code, done } = await scene.reset(['reset', plain.name, '--password-stdin'], { input: `${typed}\n` });
    expect({ code, state: done.state, secrets: done.secrets }).toEqual({
      code: 0,
      state: 'DONE',
      secrets: { account: null, vnc: null },
    });
    expect(await opens(plain, 'root', typed)).toBe(true);
  });

  it('says that a guest has no VNC server', async () => {
    const { done } = await scene.reset(['reset', plain.name]);
    expect(done.state).toBe('DONE');
    expect(done.verified.vnc).toBe('absent');
    expect(done.warnings).toContain('VNC_ABSENT');
  });

  it('with a password that breaks the rule is refused before anything is asked of the machine', async () => {
    const before = await shadowField(plain, 'root');
    const { code, done } = await scene.reset(['reset', plain.name, '--password-stdin'], { input: 'onlyletters\n' });
    expect(code).toBe(3);
    expect(done).toMatchObject({ code: 'PASSWORD_POLICY' });
    expect(await shadowField(plain, 'root')).toBe(before);
  });

  it('of an account that is not there is refused', async () => {
    const { code, done } = await scene.reset(['reset', plain.name, '--account', 'nobody-here']);
    expect(code).toBe(3);
    expect(done).toMatchObject({ code: 'ACCOUNT_NOT_FOUND' });
  });

  it.each(['reroot', 'init-shell', 'rescue-disk', 'kexec'])('by %s is refused and never sent', async (method) => {
    const { code, done } = await scene.reset(['reset', plain.name, '--method', method]);
    expect(code).toBe(3);
    expect(done).toMatchObject({ code: 'REROOT_REFUSED' });
  });
});

describe('a reset of many machines', () => {
  it('by one proof gives each a password of its own, which works there alone, and each its own result', async () => {
    const both = [guest, plain];
    for (const { name } of both) await scene.run(['vm', 'label', name, 'lab=many']);
    const boots = both.map((one) => one.boots);
    const { code, lines, stderr } = await scene.reset(['reset', '--label', 'lab=many', '--concurrency', '1']);
    expect(code, stderr).toBe(0);
    const of = (event: string) => lines.filter((line) => line['event'] === event);
    expect(of('result').map(({ vm, state }) => [vm, state])).toEqual(
      expect.arrayContaining(both.map(({ name }) => [name, 'DONE'])),
    );
    const passwordOf = ({ name }: Guest) =>
      (of('secrets').find(({ vm }) => vm === name)?.['secrets'] as { account: string } | undefined)?.account ?? '';
    for (const one of both) {
      const works = await Promise.all(both.map((other) => opens(one, 'root', passwordOf(other))));
      expect(works).toEqual(both.map((other) => other === one));
    }
    expect(both.map((one) => one.boots)).toEqual(boots.map((count) => count + 1));
  });
});

describe('a reset of the VNC password', () => {
  it('alone changes nothing else and is in force after the reboot', async (context) => {
    if (!hasVnc) return unavailable(context, 'Xvnc', TIGER);
    const root = await shadowField(guest, 'root');
    const { code, done } = await scene.reset(['vnc', 'reset', guest.name]);
    expect({ code, state: done.state, verified: done.verified }).toEqual({
      code: 0,
      state: 'DONE',
      verified: { account: null, vnc: true, reboot: true },
    });
    const fresh = done.secrets?.vnc ?? '';
    expect(fresh).toMatch(/^[A-Za-z0-9]{8}$/);
    expect(await vncSays(guest, fresh)).toBe('accepted');
    expect(await vncSays(guest, guest.vncPassword ?? '')).toBe('rejected');
    expect(await shadowField(guest, 'root')).toBe(root);
  });

  it('together with the account’s sets both, and they differ', async (context) => {
    if (!hasVnc) return unavailable(context, 'Xvnc', TIGER);
    const { done } = await scene.reset(['reset', guest.name, '--vnc']);
    expect(done.state).toBe('DONE');
    expect(done.verified).toEqual({ account: true, vnc: true, reboot: true });
    const { account, vnc } = done.secrets ?? {};
    expect(account?.slice(0, 8)).not.toBe(vnc);
    expect(await opens(guest, 'root', account ?? '')).toBe(true);
    expect(await vncSays(guest, vnc ?? '')).toBe('accepted');
  });

  it('typed and longer than counts is accepted, works, and says so', async (context) => {
    if (!hasVnc) return unavailable(context, 'Xvnc', TIGER);
    const [account, vnc] = [drawPassword(20), drawPassword(20)];
    const argv = ['reset', guest.name, '--vnc', '--password-stdin', '--vnc-password-stdin'];
    const { done } = await scene.reset(argv, { input: `${account}\n${vnc}\n` });
    expect(done.state).toBe('DONE');
    expect(done.warnings).toContain('VNC_TRUNCATED');
    expect(await opens(guest, 'root', account)).toBe(true);
    expect(await vncSays(guest, vnc)).toBe('accepted');
    expect(await vncSays(guest, vnc.slice(0, 8))).toBe('accepted');
  });

  it('keeps the file its owner’s alone', async (context) => {
    if (!hasVnc) return unavailable(context, 'Xvnc', TIGER);
    const { stdout } = await guest.exec(['stat', '-c', '%U %a %s', '/home/ada/.vnc/passwd']);
    expect(stdout.trim()).toBe('ada 600 8');
  });

  it('of a guest without a VNC server is refused', async () => {
    const { code, done } = await scene.reset(['vnc', 'reset', plain.name]);
    expect(code).toBe(3);
    expect(done).toMatchObject({ code: 'VNC_ABSENT' });
  });
});

describe('the grace period', () => {
  it('can be cancelled, and then nothing was changed', async () => {
    const before = { root: await shadowField(plain, 'root'), boots: plain.boots };
    const running = scene.reset(['reset', plain.name, '--grace', '600']);
    const op = await scene.untilState(plain, 'WAITING');
    const cancel = await scene.run(['op', 'cancel', op, '--json']);
    expect(cancel.code).toBe(0);
    const { code, done } = await running;
    expect({ code, state: done.state }).toEqual({ code: 6, state: 'CANCELLED' });
    expect({ root: await shadowField(plain, 'root'), boots: plain.boots }).toEqual(before);
  });

  it('passes, and then the reset is done', async () => {
    const { done, lines } = await scene.reset(['reset', plain.name, '--grace', '1']);
    expect(done.state).toBe('DONE');
    expect(lines.map(({ state }) => state)).toContain('WAITING');
  });
});

describe('a machine that is busy', () => {
  it('refuses a second operation and says which is running', async () => {
    const running = scene.reset(['reset', plain.name, '--grace', '600']);
    const op = await scene.untilState(plain, 'WAITING');
    const second = await scene.reset(['reset', plain.name]);
    expect(second.code).toBe(3);
    expect(second.done).toMatchObject({ code: 'BUSY' });
    await scene.run(['op', 'cancel', op]);
    expect((await running).done.state).toBe('CANCELLED');
  });
});

describe('a machine’s identity', () => {
  it('is the same after every reboot and restart of its agent, and there is one of it', async () => {
    const before = await scene.controlPlane.untilOnline(plain.name);
    const next = plain.boots + 1;
    await plain.kill('link');
    await plain.exec(['/sbin/reboot']);
    await plain.waitForBoot(next);
    let after = before;
    while (after.boot !== plain.bootId()) after = await scene.controlPlane.untilOnline(plain.name);
    expect({ id: after.id, agent: after.agent, ek: after.ek }).toEqual({
      id: before.id,
      agent: before.agent,
      ek: before.ek,
    });
    const { stdout } = await scene.run(['vm', 'list', '--json']);
    const names = stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { name: string }).name);
    expect(names.filter((name) => name === plain.name)).toHaveLength(1);
    expect((await plain.exec(['test', '-e', '/etc/latchkey-agent/join-token'])).code).toBe(1);
  });
});
