// One identity, one machine: a copied disk gets nothing with the keys that lie on it, and an older disk is held until an operator
// has looked.

import { afterEach, expect, it } from 'vitest';
import type { Guest } from '../lab/guest.ts';
import { NODE, opens, Scene } from './scene.ts';

const STATE = '/var/lib/latchkey-agent';
let scene: Scene | undefined;
afterEach(() => scene?.close());

const must = async (guest: Guest, script: string) => {
  const { code, stdout, stderr } = await guest.exec(['sh', '-ec', script]);
  if (code !== 0) throw new Error(stderr);
  return stdout;
};

async function reboot(guest: Guest): Promise<void> {
  const next = guest.boots + 1;
  await guest.exec(['/sbin/reboot']).catch(() => undefined);
  await guest.waitForBoot(next);
}

it('an older state of the disk, put back, is held: STATE_ROLLED_BACK', async () => {
  scene = await Scene.open();
  const { controlPlane } = scene;
  const guest = await scene.guest({ name: `older-${process.pid}`, vnc: false });
  await must(guest, `cp -a ${STATE} /root/aside`);
  const { done } = await scene.reset(['reset', guest.name]);
  expect(done.state).toBe('DONE');
  await controlPlane.untilOnline(guest.name);
  await must(guest, `rm -rf ${STATE} && cp -a /root/aside ${STATE}`);
  await reboot(guest);
  const held = await untilHeld(scene, guest);
  expect(held).toBe('STATE_ROLLED_BACK');
  // Nothing can be started on it, and nothing was.
  const refused = await scene.reset(['reset', guest.name]);
  expect([refused.code, refused.stderr]).toEqual([3, expect.stringContaining('AGENT_QUARANTINED')]);
  expect(await opens(guest, 'root', done.secrets?.account ?? '')).toBe(true);
  // An operator who knows why it went back lets it in again, with a factor.
  const released = await scene.run(['vm', 'unquarantine', guest.name, '--yes', '--key-file', scene.keyFile]);
  expect([released.code, released.stderr]).toEqual([0, '']);
  await controlPlane.untilOnline(guest.name);
  expect((await scene.reset(['reset', guest.name])).done.state).toBe('DONE');
});

it('a copied disk in another machine does not use its keys, and with a token becomes a machine of its own', async () => {
  scene = await Scene.open();
  const { controlPlane } = scene;
  const guest = await scene.guest({ name: `copied-${process.pid}`, vnc: false });
  const before = await controlPlane.untilOnline(guest.name);
  // What a hypervisor's copy finds: the same disk, and another machine-id.
  await must(guest, 'echo 11111111222222223333333344444444 > /etc/machine-id');
  await reboot(guest);
  const { code, stderr } = await guest.exec(['/usr/bin/latchkey-agent', 'enrol']);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^latchkey-agent: CLONE_SUSPECTED [^\n]+\n$/);
  expect((await controlPlane.api().vm(before.id)).online).toBe(false);
  expect(await askExecutor(guest, { t: 'receipts' })).toContain('"code":"CLONE_SUSPECTED"');
  // The copy gets a token of its own: new keys, a new name, and no part in the other's history.
  const { token } = await controlPlane.must<{ token: string }>(['token', 'create', '--name', `own-${process.pid}`]);
  await guest.writeFile('/etc/latchkey-agent/join-token', `${token}\n`, 0o600);
  await must(guest, '/usr/bin/latchkey-agent enrol');
  const own = await controlPlane.untilOnline(`own-${process.pid}`);
  expect(own.ik?.x).not.toBe(before.ik?.x);
  expect(own.ek?.x).not.toBe(before.ek?.x);
  expect((await scene.reset(['reset', own.name])).done.state).toBe('DONE');
  expect((await controlPlane.api().vm(before.id)).flags).toEqual([]);
});

it('one disk with the same ids in two machines is held on both sides, and neither gets in', async () => {
  scene = await Scene.open();
  const { controlPlane } = scene;
  const guest = await scene.guest({ name: `first-${process.pid}`, vnc: false });
  const twin = await controlPlane.attach({ name: `second-${process.pid}`, vnc: false });
  try {
    await twin.boot();
    await controlPlane.untilOnline(twin.name);
    await twin.cutNetwork();
    const copy = await must(
      guest,
      `tar -C / -cf - ${STATE.slice(1)} etc/machine-id etc/latchkey-agent/root-marker | base64 -w0`,
    );
    await twin.writeFile('/root/copy', copy);
    await must(twin, `rm -rf ${STATE} && base64 -d /root/copy | tar -C / -xf -`);
    await reboot(twin);
    await twin.restoreNetwork();
    expect(await untilHeld(scene, guest)).toBe('CLONE_SUSPECTED');
    await controlPlane.untilOnline(guest.name, false);
  } finally {
    await twin.destroy();
  }
});

/** What an executor says to its link, before it ends. */
async function askExecutor(guest: Guest, request: object): Promise<string> {
  const program = `const socket = require('node:net').connect('/run/latchkey-agent/executor.sock');
    socket.on('data', (chunk) => process.stdout.write(chunk));
    socket.write(${JSON.stringify(`${JSON.stringify(request)}\n`)});`;
  const { stdout, stderr, code } = await guest.exec([NODE, '-e', program]);
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

async function untilHeld({ controlPlane }: Scene, { name }: Guest): Promise<string> {
  for (;;) {
    const { quarantine } = await controlPlane.api().vm(name);
    if (quarantine) return quarantine.code;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
