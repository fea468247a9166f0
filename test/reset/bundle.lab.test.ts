// A whole reset with the agent as it is packaged: every process of it in the guest runs from the bundle.

import { afterAll, beforeAll, expect, it } from 'vitest';
import { bundleAgent } from '../../agent/image/bundle.ts';
import type { Guest } from '../lab/guest.ts';
import { bundleServices } from '../lab/services.ts';
import { opens, Scene } from './scene.ts';

let scene: Scene;
let guest: Guest;

beforeAll(async () => {
  await bundleAgent();
  scene = await Scene.open();
  guest = await scene.guest({ name: `bundle-${process.pid}`, vnc: false, services: bundleServices() });
});
afterAll(() => scene?.close());

it('a reset by the bundled agent sets the password, reboots, and is proven', async () => {
  const { code, done } = await scene.reset(['reset', guest.name, '--account', 'bob']);
  expect({ code, state: done.state, verified: done.verified }).toEqual({
    code: 0,
    state: 'DONE',
    verified: { account: true, vnc: 'absent', reboot: true },
  });
  expect(await opens(guest, 'bob', done.secrets?.account ?? '')).toBe(true);
  const [link] = await guest.servicePids('link');
  const words = (await guest.exec(['tr', '\\0', ' '], { input: await guest.readFile(`/proc/${link}/cmdline`) })).stdout;
  expect(words).toMatch(/ \/usr\/lib\/latchkey-agent\/dist\/agent\/main\.js run $/);
});
