// Keys are replaced under machines that are enrolled, connected or away, and nobody touches the machines.

import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import type { Guest } from '../lab/guest.ts';
import { opens, Scene } from './scene.ts';

let scene: Scene | undefined;
let late: Guest | undefined;
afterEach(async () => {
  await late?.destroy();
  await scene?.close();
});

it('a fleet moves from the key on the host to two of three offline keys, and both online keys are replaced', async () => {
  scene = await Scene.open();
  const { controlPlane } = scene;
  const file = (name: string) => join(controlPlane.folder, name);
  const keys = (...argv: string[]) => controlPlane.must(['keys', ...argv]);
  const connected = await scene.guest({ name: `rotated-${process.pid}`, vnc: false });
  const away = await scene.guest({ name: `away-${process.pid}`, vnc: false });
  await away.cutNetwork();
  // Its image knows the first root alone, and it enrols when that is long gone.
  late = await controlPlane.attach({ name: `late-${process.pid}`, vnc: false });

  const made = ['a', 'b', 'c'].map(file);
  for (const key of made) await keys('init', key);
  await keys('export', '-o', file('root.json'));
  const names = ['--root-key', ...made.map((key) => `${key}.pub`), '--threshold', '2'];
  await keys('ceremony', 'draft', '--root', file('root.json'), ...names, '-o', file('draft-2'));
  const signed = async (draft: string, ...signers: number[]) => {
    for (const signer of signers) await keys('ceremony', 'sign', draft, '--key', made[signer] ?? '');
    await keys('publish', draft);
  };
  await signed(file('draft-2'), 0, 1);
  for (const [role, version] of [
    ['session', 3],
    ['command', 4],
  ] as const) {
    await keys('rotate', role, '-o', file(`draft-${version}`));
    await signed(file(`draft-${version}`), 1, 2);
  }

  // The one that was connected all the time, and the one that hears of three roots at once.
  await away.restoreNetwork();
  for (const guest of [connected, away]) {
    await controlPlane.untilOnline(guest.name);
    const { done } = await scene.reset(['reset', guest.name]);
    expect(done.state).toBe('DONE');
    expect(await opens(guest, 'root', done.secrets?.account ?? '')).toBe(true);
    const { stdout } = await guest.exec(['ls', '/var/lib/latchkey-agent/executor/root']);
    expect(stdout.trim().split('\n')).toEqual(['2.json', '3.json', '4.json']);
  }

  await late.boot();
  await controlPlane.untilOnline(late.name);
  expect((await scene.reset(['reset', late.name])).done.state).toBe('DONE');
});
