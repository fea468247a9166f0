// SLOW: real machines under emulation, each in another state than the usual: a locked administrator, no VNC server, a kernel
// that was told to leave the normal boot, and a copied disk.

import { afterEach, expect, it, type TestContext } from 'vitest';
import { drawPassword } from '../reset/scene.ts';
import type { Machine } from './machine.ts';
import { demandMachines } from './requirements.ts';
import { type MachineWishes, untilHeld, VmScene } from './vm-scene.ts';

const WITHOUT_VNC = { kernelArguments: 'systemd.mask=tigervncserver@:1.service' };
let vm: VmScene | undefined;
afterEach(() => vm?.close());

async function boot(context: TestContext, wishes: MachineWishes): Promise<{ vm: VmScene; machine: Machine }> {
  const debian = demandMachines(context);
  vm = await VmScene.open(debian);
  const machine = await vm.machine(wishes);
  await machine.boot();
  await vm.scene.controlPlane.untilOnline(wishes.name);
  return { vm, machine };
}

it('a locked root without a VNC server: refused, and with consent unlocked, reset and let in', async (context) => {
  const rootPassword = drawPassword();
  const { vm, machine } = await boot(context, { name: 'locked', rootPassword, rootLocked: true, ...WITHOUT_VNC });
  const { scene } = vm;
  const refused = await scene.reset(['reset', machine.name]);
  expect([refused.code, refused.done.code]).toEqual([3, 'ACCOUNT_LOCKED']);
  expect(await machine.console.signIn('root', rootPassword)).toBe('refused');
  const { done } = await scene.reset(['reset', machine.name, '--unlock']);
  expect(done).toMatchObject({ state: 'DONE', verified: { account: true, reboot: true } });
  expect(done.warnings).toContain('VNC_ABSENT');
  expect(await machine.console.signIn('root', rootPassword)).toBe('refused');
  expect(await machine.console.signIn('root', done.secrets?.account ?? '')).toBe('in');
});

it('a kernel that was told rd.break is refused, and the password stays', async (context) => {
  const rootPassword = drawPassword();
  const { vm, machine } = await boot(context, { name: 'broken', rootPassword, kernelArguments: 'rd.break' });
  const { code, done } = await vm.scene.reset(['reset', machine.name]);
  expect([code, done.state, done.code]).toEqual([3, 'REFUSED', 'ENV_REFUSED']);
  expect(await machine.console.signIn('root', rootPassword)).toBe('in');
});

it('two machines on copies of one enrolled disk are both held', async (context) => {
  const { vm, machine } = await boot(context, { name: 'first', rootPassword: drawPassword() });
  const { controlPlane } = vm.scene;
  await machine.shutDown();
  const twin = vm.twinOf(machine);
  await Promise.all([machine.boot(), twin.boot()]);
  // Whether the first was still answering, or had been counted on, when the second came: either says that there are two.
  expect(['CLONE_SUSPECTED', 'STATE_ROLLED_BACK']).toContain(await untilHeld(vm.scene, machine.name));
  await controlPlane.untilOnline(machine.name, false);
  const refused = await vm.scene.reset(['reset', machine.name]);
  expect([refused.code, refused.stderr]).toEqual([3, expect.stringContaining('AGENT_QUARANTINED')]);
});
