// SLOW: a real machine under emulation. A whole reset of a Debian with its own kernel, as seen from outside it: at the login
// prompt of its serial console, by its VNC server, and on the control plane. One machine serves the tests, in their order.

import { afterAll, describe, expect, it, type TestContext } from 'vitest';
import { drawVncPassword } from '../lab/vnc-password.ts';
import { drawPassword } from '../reset/scene.ts';
import type { Machine } from './machine.ts';
import { demandMachines } from './requirements.ts';
import { VmScene } from './vm-scene.ts';

const BOOT_ID = 'cat /proc/sys/kernel/random/boot_id';
const first = { root: drawPassword(), vnc: drawVncPassword() };
const NAME = 'whole';

let place: VmScene | undefined;
let started: Promise<Machine> | undefined;

async function open(context: TestContext): Promise<VmScene & { machine: Machine }> {
  const debian = demandMachines(context);
  place ??= await VmScene.open(debian);
  const vm = place;
  started ??= (async () => {
    const machine = await vm.machine({ name: NAME, rootPassword: first.root, vncPassword: first.vnc });
    await machine.boot();
    await vm.scene.controlPlane.untilOnline(NAME);
    return machine;
  })();
  return Object.assign(vm, { machine: await started });
}

afterAll(() => place?.close());

describe('a machine with its own kernel', () => {
  it('enrols by itself over TLS, and takes its first passwords', async (context) => {
    const { machine } = await open(context);
    expect(await machine.console.signIn('root', first.root)).toBe('in');
    await machine.console.signOut();
    expect(await machine.vncSays(first.vnc)).toBe('accepted');
  });

  it('a generated reset of both is seen live across the reboot, and both are in force outside', async (context) => {
    const { machine, scene } = await open(context);
    const { code, done, lines } = await scene.reset(['reset', NAME, '--vnc']);
    expect([code, done.code, done.vncState]).toEqual([0, null, 'verified']);
    expect(done).toMatchObject({ state: 'DONE', verified: { account: true, vnc: true, reboot: true } });
    const states = lines.filter(({ event }) => event === 'state').map(({ state }) => state);
    expect(states.slice(states.indexOf('ACCEPTED'))).toEqual([
      'ACCEPTED',
      'SECRET_READY',
      'PASSWORD_SET',
      'VNC_SET',
      'REBOOTING',
      'BOOTED',
      'DONE',
    ]);
    expect(await machine.console.signIn('root', first.root)).toBe('refused');
    expect(await machine.console.signIn('root', done.secrets?.account ?? '')).toBe('in');
    expect(await machine.console.run(BOOT_ID)).toBe(done.bootIdAfter);
    await machine.console.signOut();
    expect(done.bootIdBefore).not.toBe(done.bootIdAfter);
    expect(await machine.vncSays(first.vnc)).toBe('rejected');
    expect(await machine.vncSays(done.secrets?.vnc ?? '')).toBe('accepted');
  });
});
