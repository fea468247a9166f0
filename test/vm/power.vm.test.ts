// SLOW: a real machine under emulation. The power fails at several moments of a reset: the emulator is killed, and with it
// goes exactly what the machine had not flushed to its disk. Expected each time: one end, and it says what the login prompt says.

import { afterAll, expect, it, type TestContext } from 'vitest';
import { drawPassword } from '../reset/scene.ts';
import type { Machine } from './machine.ts';
import { demandMachines } from './requirements.ts';
import { VmScene } from './vm-scene.ts';

const NAME = 'struck';
let password = drawPassword();
let vm: VmScene | undefined;
let machine: Machine | undefined;

async function open(context: TestContext): Promise<{ machine: Machine; scene: VmScene['scene'] }> {
  const debian = demandMachines(context);
  vm ??= await VmScene.open(debian);
  if (!machine) {
    machine = await vm.machine({ name: NAME, rootPassword: password });
    await machine.boot();
  }
  await vm.scene.controlPlane.untilOnline(NAME);
  return { machine, scene: vm.scene };
}

afterAll(() => vm?.close());

it.for([
  ['ACCEPTED', 'INTERRUPTED'],
  ['PASSWORD_SET', 'DONE'],
  ['REBOOTING', 'DONE'],
])('the power fails when %s has arrived', async ([moment = '', end], context) => {
  const { machine, scene } = await open(context);
  const wished = drawPassword();
  const running = scene.reset(['reset', NAME, '--password-stdin'], { input: `${wished}\n` });
  await scene.untilState(machine, moment);
  await machine.powerCut();
  await machine.boot();
  const { done } = await running;
  // How far the machine had come, when the news of that moment had arrived, differs; that it tells the truth does not.
  const [isSet, wasSet] = [await opens(machine, wished), await opens(machine, password)];
  expect([isSet, wasSet]).toEqual(['DONE', 'PARTIAL'].includes(done.state) ? [true, false] : [false, true]);
  expect(['DONE', 'PARTIAL', 'INTERRUPTED']).toContain(done.state);
  if (end === 'DONE') expect(done.state).toBe('DONE');
  if (isSet) password = wished;
});

it('a machine that comes back with an argument that leaves the normal boot is never called done', async (context) => {
  const { machine, scene } = await open(context);
  const wished = drawPassword();
  const running = scene.reset(['reset', NAME, '--password-stdin'], { input: `${wished}\n` });
  await scene.untilState(machine, 'REBOOTING');
  await machine.powerCut();
  await machine.boot('rd.break');
  const { code, done } = await running;
  expect([code, done.state, done.code]).toEqual([4, 'PARTIAL', 'BOOT_ENV_CHANGED']);
  expect([await opens(machine, wished), await opens(machine, password)]).toEqual([true, false]);
});

async function opens({ console }: Machine, word: string): Promise<boolean> {
  const isIn = (await console.signIn('root', word)) === 'in';
  if (isIn) await console.signOut();
  return isIn;
}
