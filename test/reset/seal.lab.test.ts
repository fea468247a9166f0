// An image made from a machine that was enrolled: sealed with the agent stopped, checked from outside while it is off, and
// copied, it gives machines of their own. One machine serves the tests, in their order.

import { execFile } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it, type TestContext } from 'vitest';
import { bundleAgent } from '../../agent/image/bundle.ts';
import type { Remnant } from '../../agent/image/remnants.ts';
import type { VmView } from '../../control-plane/api/schemas.ts';
import { demandSystemd } from '../lab/fixture.ts';
import { destroyAll, type Guest } from '../lab/guest.ts';
import { Scene } from './scene.ts';

const STATE = 'var/lib/latchkey-agent';
const JOURNALS = join(import.meta.dirname, '../fixtures/journals/0.1');
const AGENT = ['/usr/bin/latchkey-agent', 'seal'];

const bundle = mkdtempSync(join(tmpdir(), 'latchkey-seal-'));
let made: Promise<Readonly<{ scene: Scene; golden: Guest; before: VmView }>> | undefined;
afterAll(async () => {
  rmSync(bundle, { recursive: true });
  await (await made)?.scene.close();
  await destroyAll();
});

function open(context: TestContext): NonNullable<typeof made> {
  demandSystemd(context);
  made ??= (async () => {
    await bundleAgent(bundle);
    const scene = await Scene.open();
    const golden = await scene.guest({ name: `golden-${process.pid}`, layout: 'systemd', vnc: false });
    return { scene, golden, before: await scene.controlPlane.untilOnline(golden.name) };
  })();
  return made;
}

type Report = Readonly<{ left: readonly Remnant[]; removed?: readonly Remnant[] }>;
const names = (found: readonly Remnant[] = []) => found.map(({ what }) => what);
const disk = (guest: Guest) => join(guest.folder, 'disk');

async function must(guest: Guest, script: string): Promise<string> {
  const { code, stdout, stderr } = await guest.exec(['sh', '-ec', script]);
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

/** The bundled agent, as an image builder runs it on the disk of a machine that is off. */
const outside = (guest: Guest, ...words: string[]) =>
  new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
    const argv = [join(bundle, 'main.js'), 'seal', '--json', ...words, '--image', disk(guest)];
    execFile(process.execPath, argv, (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }));
  });

it('74 a machine at work is told to hold each kind of it, and is not sealed while its agent runs', async (context) => {
  const { golden } = await open(context);
  await golden.writeFile('/root/.bash_history', 'passwd\n', 0o600);
  await golden.writeFile('/var/lib/systemd/random-seed', 'seed', 0o600);
  await golden.writeFile('/etc/latchkey-agent/join-token', 'token', 0o600);
  await must(golden, `cp -a /${STATE}/executor/identity.json /root/identity.json`);
  const files = `find /${STATE} /etc/latchkey-agent -type f ! -name status.json -exec sha256sum {} +`;
  const before = await must(golden, files);
  const refused = await golden.exec(AGENT);
  expect(refused).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/^latchkey-agent: AGENT_RUNNING /),
  });
  expect(await must(golden, files)).toBe(before);
  const checked = await golden.exec([...AGENT, '--check', '--json']);
  expect(checked.code).toBe(1);
  const { left } = JSON.parse(checked.stdout) as Report;
  expect(names(left)).toEqual(
    expect.arrayContaining([
      ...['executor_key', 'link_key', 'identity', 'join_token', 'control_plane_session'],
      ...['machine_id', 'random_seed', 'system_journal', 'shell_history'],
    ]),
  );
});

it('with the agent stopped all of the agent’s own goes, and the system’s is left and named', async (context) => {
  const { golden } = await open(context);
  await must(golden, 'systemctl stop latchkey-agent latchkey-enrol latchkey-executor.socket');
  const { code, stdout, stderr } = await golden.exec([...AGENT, '--json']);
  expect([code, stderr]).toEqual([0, '']);
  const { removed, left } = JSON.parse(stdout) as Report;
  expect(names(removed)).toEqual(expect.arrayContaining(['executor_key', 'link_key', 'identity', 'root_marker']));
  expect(await must(golden, `find /${STATE} -mindepth 1; ls /etc/latchkey-agent`)).toBe('agent.json\ntrust.json\n');
  const checked = await golden.exec([...AGENT, '--check', '--json']);
  expect(checked.code).toBe(1);
  expect(names((JSON.parse(checked.stdout) as Report).left)).toEqual(names(left));
  expect(names(left)).toContain('machine_id');
  const again = await golden.exec(AGENT);
  expect([again.code, again.stdout.split('\n')[0]]).toEqual([0, 'Sealed: there was nothing of the agent’s to remove.']);
});

it('a seal that was cut off before its last step leaves no machine that a token could make one', async (context) => {
  const { scene, golden } = await open(context);
  const { token } = await scene.controlPlane.must<{ token: string }>(['token', 'create', '--name', 'nobody']);
  await must(golden, `mkdir -m 0700 /${STATE}/executor; mv /root/identity.json /${STATE}/executor/`);
  await golden.writeFile('/etc/latchkey-agent/join-token', token, 0o600);
  const refused = await golden.exec(['/usr/bin/latchkey-agent', 'enrol']);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/^latchkey-agent: NOT_ENROLLED /) });
  const { code, stdout } = await golden.exec([...AGENT, '--json']);
  expect([code, names((JSON.parse(stdout) as Report).removed)]).toEqual([
    0,
    expect.arrayContaining(['identity', 'join_token']),
  ]);
});

it('a disk with an operation under way is not sealed from outside; one whose operations ended is', async (context) => {
  const { golden } = await open(context);
  await golden.stop();
  const journal = join(disk(golden), STATE, 'executor/journal.jsonl');
  mkdirSync(join(journal, '..'), { mode: 0o700 });
  copyFileSync(join(JOURNALS, 'open-rebooting.jsonl'), journal);
  const busy = await outside(golden);
  expect(busy).toMatchObject({ code: 1, stderr: expect.stringMatching(/BUSY .*state=REBOOTING/) });
  expect(names((JSON.parse((await outside(golden, '--check')).stdout) as Report).left)).toContain('operation_journal');
  copyFileSync(join(JOURNALS, 'ended-cancelled.jsonl'), journal);
  mkdirSync(join(journal, '../root'));
  writeFileSync(join(journal, '../root/9.json'), '{}');
  const sealed = await outside(golden);
  expect(sealed.code).toBe(0);
  const { removed, left } = JSON.parse(sealed.stdout) as Report;
  expect(names(removed)).toEqual(['operation_journal', 'learned_roots']);
  // Copies would begin with the older root of the trust file.
  expect(names(left)).toContain('trust_file_older');
  expect(names((JSON.parse((await outside(golden)).stdout) as Report).left)).not.toContain('trust_file_older');
});

it('a check of the disk passes once the system’s own is cleaned, too', async (context) => {
  const { golden } = await open(context);
  const { left } = JSON.parse((await outside(golden, '--check')).stdout) as Report;
  expect(names(left)).toEqual(expect.arrayContaining(['machine_id', 'random_seed', 'system_journal', 'shell_history']));
  for (const path of left.flatMap(({ paths }) => paths)) writeFileSync(join(disk(golden), path), '');
  expect(await outside(golden, '--check')).toEqual({ code: 0, stdout: '{"left":[]}\n', stderr: '' });
});

it('two copies, each with a token, become two machines of their own', async (context) => {
  const { scene, golden, before } = await open(context);
  const twins = await Promise.all(
    ['one', 'two'].map(async (name) => {
      const twin = await scene.controlPlane.attach({ name: `${name}-${process.pid}`, layout: 'systemd', vnc: false });
      const token = await twin.readFile('/etc/latchkey-agent/join-token');
      rmSync(disk(twin), { recursive: true });
      cpSync(disk(golden), disk(twin), { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
      await twin.writeFile('/etc/latchkey-agent/join-token', token, 0o600);
      await twin.boot();
      return twin;
    }),
  );
  const machines = [before];
  for (const { name } of twins) machines.push(await scene.controlPlane.untilOnline(name));
  for (const of of ['agent', 'id'] as const) expect(new Set(machines.map((vm) => vm[of])).size).toBe(3);
  for (const key of ['ik', 'ek'] as const) expect(new Set(machines.map((vm) => vm[key]?.x)).size).toBe(3);
  const ids = await Promise.all(twins.map((twin) => must(twin, 'cat /etc/machine-id')));
  expect(new Set(ids).size).toBe(2);
  for (const { name } of machines) expect((await scene.controlPlane.api().vm(name)).flags).toEqual([]);
  const { done } = await scene.reset(['reset', twins[0]?.name ?? '']);
  expect(done.state).toBe('DONE');
});
