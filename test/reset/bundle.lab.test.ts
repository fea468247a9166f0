// The agent as it is packaged: every process of it in the guest runs from the bundle. It does a whole reset, and refuses a
// reset by reroot, both as a signed command and as a machine that is in such a state.

import { afterAll, beforeAll, expect, it } from 'vitest';
import { bundleAgent } from '../../agent/image/bundle.ts';
import { sealingKeyFromSeed } from '../../protocol/keys.ts';
import { AGENT_URL, createAttachedGuest } from '../lab/enrolled.ts';
import { type Guest, KERNEL_COMMAND_LINE } from '../lab/guest.ts';
import { Issuer } from '../lab/issuer.ts';
import { bundleServices } from '../lab/services.ts';
import { opens, Scene, shadowField } from './scene.ts';

let scene: Scene;
let guest: Guest;

beforeAll(async () => {
  await bundleAgent();
  scene = await Scene.open();
  guest = await scene.guest({ name: `bundle-${process.pid}`, services: bundleServices() });
});
afterAll(() => scene?.close());

const unchanged = async (machine: Guest) => [await shadowField(machine, 'root'), machine.bootId(), machine.reboots];

it('a reset by the bundled agent sets both passwords, reboots, and is proven', async () => {
  const { code, done } = await scene.reset(['reset', guest.name, '--account', 'bob', '--vnc']);
  expect({ code, state: done.state, verified: done.verified }).toEqual({
    code: 0,
    state: 'DONE',
    verified: { account: true, vnc: guest.vncPassword === undefined ? 'absent' : true, reboot: true },
  });
  expect(await opens(guest, 'bob', done.secrets?.account ?? '')).toBe(true);
  const [link] = await guest.servicePids('link');
  const words = (await guest.exec(['tr', '\\0', ' '], { input: await guest.readFile(`/proc/${link}/cmdline`) })).stdout;
  expect(words).toMatch(/ \/usr\/lib\/latchkey-agent\/dist\/agent\/main\.js run $/);
});

it('a machine whose kernel was started into a shell is refused by the bundled agent', async () => {
  await guest.setKernelCommandLine(`${KERNEL_COMMAND_LINE} rd.break`, { live: true });
  const before = await unchanged(guest);
  const { code, done } = await scene.reset(['reset', guest.name]);
  expect({ code, state: done.state, reason: done.code }).toEqual({ code: 3, state: 'REFUSED', reason: 'ENV_REFUSED' });
  expect(await unchanged(guest)).toEqual(before);
});

it('a correctly signed reset by reroot is refused by the bundled executor', async () => {
  const issuer = await Issuer.start();
  const attachment = { port: issuer.port, trust: await issuer.trust(AGENT_URL), joinToken: issuer.joinToken };
  const name = `bundle-reroot-${process.pid}`;
  const machine = await createAttachedGuest(attachment, { name, vnc: false, services: bundleServices() });
  try {
    await machine.boot();
    await issuer.frame('synced');
    const before = await unchanged(machine);
    const ready = await issuer.prepare();
    const secret = { mode: 'generated', recipient_jwk: (await sealingKeyFromSeed(new Uint8Array(32).fill(7))).jwk };
    const account = { name: null, uid: null, secret, unlock: false };
    await issuer.command(ready, issuer.intent(ready, { account, method: 'reroot' }));
    expect(await issuer.end(ready.op)).toMatchObject({ state: 'REFUSED', code: 'REROOT_REFUSED' });
    expect(await unchanged(machine)).toEqual(before);
  } finally {
    await machine.destroy();
    await issuer.stop();
  }
});
