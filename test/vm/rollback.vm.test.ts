// SLOW: a real machine under emulation. A live snapshot, of memory and disk, from before a reset: the machine that is put back
// to it twice says nothing of its own accord, and each time the control plane notices, by the counter and the journal. One
// machine serves the tests, in their order.

import { afterAll, expect, it, type TestContext } from 'vitest';
import { drawPassword } from '../reset/scene.ts';
import type { Machine } from './machine.ts';
import { demandMachines } from './requirements.ts';
import { untilHeld, VmScene } from './vm-scene.ts';

const NAME = 'older';
const rootPassword = drawPassword();
let vm: VmScene | undefined;
let machine: Machine | undefined;

/** A machine with a snapshot of before a reset that was done. */
async function open(context: TestContext): Promise<{ machine: Machine; scene: VmScene['scene'] }> {
  const debian = demandMachines(context);
  vm ??= await VmScene.open(debian);
  const { scene } = vm;
  if (!machine) {
    machine = await vm.machine({ name: NAME, rootPassword });
    await machine.boot();
    await scene.controlPlane.untilOnline(NAME);
    await machine.saveSnapshot('before');
    expect((await scene.reset(['reset', NAME])).done.state).toBe('DONE');
  }
  return { machine, scene };
}

afterAll(() => vm?.close());

it('a machine that is put back to a live snapshot is held; once let in, a typed reset goes through', async (context) => {
  const { machine, scene } = await open(context);
  await expectHeld(machine, scene);
  const released = await scene.run(['vm', 'unquarantine', NAME, '--yes', '--key-file', scene.keyFile]);
  expect([released.code, released.stderr]).toEqual([0, '']);
  await scene.controlPlane.untilOnline(NAME);
  const typed = drawPassword();
  const { done } = await scene.reset(['reset', NAME, '--password-stdin'], { input: `${typed}\n` });
  expect(done.state).toBe('DONE');
  expect(await machine.console.signIn('root', rootPassword)).toBe('refused');
  expect(await machine.console.signIn('root', typed)).toBe('in');
});

it('put back once more, it is held again', async (context) => {
  const { machine, scene } = await open(context);
  await expectHeld(machine, scene);
});

async function expectHeld(machine: Machine, scene: VmScene['scene']): Promise<void> {
  await machine.restoreSnapshot('before');
  // Its disk is the old one, too.
  expect(await machine.console.signIn('root', rootPassword)).toBe('in');
  await machine.console.signOut();
  expect(await untilHeld(scene, NAME)).toBe('STATE_ROLLED_BACK');
  const refused = await scene.reset(['reset', NAME]);
  expect([refused.code, refused.stderr]).toEqual([3, expect.stringContaining('AGENT_QUARANTINED')]);
}
