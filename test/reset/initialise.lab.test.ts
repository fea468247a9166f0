// A machine's first boot with everything real: registered and proven before it exists, it comes with the material that it was
// given, and leaves with the passwords that its user is told.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Guest } from '../lab/guest.ts';
import { findVncService, VNC_PORT } from '../lab/services.ts';
import { unavailable } from '../requirements.ts';
import { type Done, opens, Scene, vncSays } from './scene.ts';

const TIGER = 'apt-get install tigervnc-standalone-server';
const hasVnc = findVncService() !== undefined;

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open();
});
afterAll(() => scene?.close());

type Created = Readonly<{ op: string; vm: string; agent: string; approved: boolean; files: string[] }>;

const lastLine = <T>(stdout: string) => JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as T;

/** Registers the machine, boots it with what that gave, and waits for the end of its first operation. */
async function come(
  name: string,
  options: readonly string[],
  vnc: boolean,
): Promise<{ created: Created; guest: Guest; done: Done }> {
  const file = join(scene.controlPlane.folder, `${name}.token`);
  const asked = [
    'vm',
    'create',
    name,
    ...options,
    '--as',
    'file',
    '-o',
    file,
    '--yes',
    '--json',
    '--key-file',
    scene.keyFile,
  ];
  const { code, stdout, stderr } = await scene.run(asked);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const created = lastLine<Created>(stdout);
  const guest = await scene.guest({ name, vnc, joinToken: readFileSync(file, 'utf8').trim() });
  const watched = await scene.run(['op', 'watch', created.op, '--json', '--reveal']);
  return { created, guest, done: lastLine<Done>(watched.stdout) };
}

describe('a machine to come', () => {
  it('gets one password for its account and for VNC, and both work', async (context) => {
    if (!hasVnc) return unavailable(context, 'Xvnc', TIGER);
    const { created, guest, done } = await come(`same-${process.pid}`, [], true);
    expect(done).toMatchObject({
      state: 'DONE',
      account: 'root',
      verified: { account: true, vnc: true, reboot: true },
      warnings: expect.arrayContaining(['VNC_SHARES_ACCOUNT_PASSWORD']),
    });
    const { account, vnc } = done.secrets ?? {};
    expect(account).toMatch(/^[A-Za-z0-9]{24}$/);
    expect(vnc).toBe(account);
    expect(await opens(guest, 'root', account ?? '')).toBe(true);
    await guest.untilListening(VNC_PORT);
    expect(await vncSays(guest, account ?? '')).toBe('accepted');
    expect(await vncSays(guest, guest.vncPassword ?? '')).toBe('rejected');
    const machine = await scene.controlPlane.api().vm(guest.name);
    expect(machine).toMatchObject({ id: created.vm, agent: created.agent, flags: [], provision: { op: created.op } });
    expect((await guest.exec(['test', '-e', '/etc/latchkey-agent/join-token'])).code).toBe(1);
  });

  it('gets two where it was asked to, for the user that was named', async (context) => {
    if (!hasVnc) return unavailable(context, 'Xvnc', TIGER);
    const { guest, done } = await come(`own-${process.pid}`, ['--independent', '--account', 'bob'], true);
    expect(done).toMatchObject({ state: 'DONE', account: 'bob', verified: { account: true, vnc: true, reboot: true } });
    const { account, vnc } = done.secrets ?? {};
    expect(vnc).toHaveLength(8);
    expect(account?.startsWith(vnc ?? '')).toBe(false);
    expect(await opens(guest, 'bob', account ?? '')).toBe(true);
    await guest.untilListening(VNC_PORT);
    expect(await vncSays(guest, vnc ?? '')).toBe('accepted');
  });

  it('with the token of another machine is refused, and nothing of it is changed', async () => {
    const { created } = await come(`first-${process.pid}`, ['--no-vnc'], false);
    const used = readFileSync(created.files[0] ?? '', 'utf8').trim();
    const guest = await scene.controlPlane.attach({ name: `second-${process.pid}`, vnc: false, joinToken: used });
    try {
      await guest.boot();
      const log = async () => (await guest.exec(['/usr/bin/latchkey-agent', 'enrol'])).stderr;
      expect(await log()).toContain('JOIN_TOKEN_INVALID');
      expect((await guest.exec(['test', '-e', '/var/lib/latchkey-agent/executor/identity.json'])).code).toBe(1);
    } finally {
      await guest.destroy();
    }
  });
});
