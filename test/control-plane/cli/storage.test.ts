// `latchkey migrate`, `backup` and `doctor`, as programs over a control plane that runs: nothing is lost by them, and what is
// wrong is said.

import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { pathsIn } from '../../../control-plane/config/paths.ts';
import { migrations, SCHEMA_VERSION } from '../../../control-plane/store/migrations.ts';
import { type Ended, run, ServeProgram } from '../program.ts';
import { ScriptedAgent } from '../scripted-agent.ts';

const PROGRAMS_MS_MAX = 180_000;

let program: ServeProgram;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-storage-'));
  program = await new ServeProgram().start();
}, PROGRAMS_MS_MAX);
afterAll(async () => {
  await program.remove();
  rmSync(folder, { recursive: true, force: true });
}, PROGRAMS_MS_MAX);

const lines = ({ stdout }: Ended) =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

async function machineOf(on: ServeProgram): Promise<{ agent: ScriptedAgent; vm: string; op: string }> {
  const agent = await ScriptedAgent.make(on.agentUrl);
  await agent.enrol(String((await on.ask('POST', '/v1/join-tokens')).body['token']));
  await agent.online();
  const [found] = (await on.ask('GET', '/v1/vms')).body['items'] as { id: string }[];
  const vm = String(found?.id);
  const { body } = await on.ask('POST', '/v1/operations', { vm, account: { mode: 'generated' } });
  return { agent, vm, op: String(body['op']) };
}

test('a backup that is taken while it runs is a control plane that machines know', {
  timeout: PROGRAMS_MS_MAX,
}, async () => {
  const { agent, vm, op } = await machineOf(program);
  const target = join(folder, 'backup');
  const taken = await run(['backup', target, '--data', program.data, '--json']);
  expect(taken.code, taken.stderr).toBe(0);
  expect(lines(taken)[0]).toMatchObject({ event: 'backed_up', databases: [expect.any(String), 'signer/signer.db'] });
  for (const name of readdirSync(target, { recursive: true, encoding: 'utf8' })) {
    if (statSync(join(target, name)).isDirectory()) continue;
    // What is public is so in the original, too.
    expect(statSync(join(target, name)).mode & 0o777, name).toBe(statSync(join(program.data, name)).mode & 0o777);
  }
  // A second one to the same place is refused, and the first stays.
  expect((await run(['backup', target, '--data', program.data])).stderr).toContain('ALREADY_EXISTS');
  // A new program over the copy: the machine is known to it by its key, and the operation is there.
  const restored = await new ServeProgram([], target).start();
  try {
    expect((await restored.ask('GET', `/v1/operations/${op}`)).body).toMatchObject({ op, vm });
    expect(restored.apiKey).toBe(program.apiKey);
    await agent.offline();
    agent.url = restored.agentUrl;
    await agent.online();
    const view = async () => (await restored.ask('GET', `/v1/vms/${vm}`)).body;
    // It is in as soon as the gateway has written down that it is.
    for (const end = performance.now() + 30_000; !(await view())['online'] && performance.now() < end; ) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(await view()).toMatchObject({ id: vm, online: true, quarantine: null });
    await agent.offline();
  } finally {
    await restored.stop();
  }
});

test('doctor finds nothing wrong where nothing is, and says by its code what is', {
  timeout: PROGRAMS_MS_MAX,
}, async () => {
  const well = await run(['doctor', '--data', program.data, '--json']);
  expect(well.code, well.stdout + well.stderr).toBe(0);
  const found = lines(well);
  expect(found.map(({ check }) => check)).toEqual(['data folder', 'root', 'disk space', 'database', 'signer', 'mail']);
  expect(found.filter(({ result }) => result === 'failed')).toEqual([]);
  await program.stop();
  const flags = ['--smtp-url', 'smtp://127.0.0.1:1', '--mail-from', 'a@example.test'];
  const ill = await run(['doctor', '--data', program.data, '--json', ...flags]);
  expect(ill.code).toBe(1);
  const failed = lines(ill).filter(({ result }) => result === 'failed');
  expect(failed.map(({ check, code }) => [check, code])).toEqual([
    ['signer', 'SIGNER_UNAVAILABLE'],
    ['mail', 'MAIL_UNAVAILABLE'],
  ]);
  const nowhere = lines(await run(['doctor', '--data', join(folder, 'nowhere'), '--json']));
  expect(nowhere.filter(({ code }) => code === 'CONFIG_INVALID').length).toBeGreaterThanOrEqual(2);
  await program.start();
});

test('migrate tries, does, and refuses', { timeout: PROGRAMS_MS_MAX }, async () => {
  const target = join(folder, 'older');
  expect((await run(['backup', target, '--data', program.data])).code).toBe(0);
  const file = pathsIn(target).database;
  const version = (set?: number) => {
    const db = new DatabaseSync(file);
    if (set !== undefined) db.exec(`PRAGMA user_version = ${set}`);
    const found = db.prepare('PRAGMA user_version').get()?.['user_version'];
    db.close();
    return found;
  };
  const migrate = (...flags: string[]) => run(['migrate', '--data', target, '--json', ...flags]);
  expect(lines(await migrate())[0]).toEqual({ event: 'migrated', from: SCHEMA_VERSION, to: SCHEMA_VERSION, steps: 0 });
  // As it was one step ago.
  rmSync(file);
  const db = new DatabaseSync(file);
  for (const { sql, sqlite = '' } of migrations.slice(0, -1)) db.exec(`${sql}; ${sqlite}`);
  db.close();
  version(SCHEMA_VERSION - 1);
  expect(lines(await migrate('--dry-run'))[0]).toMatchObject({
    event: 'rehearsed',
    from: SCHEMA_VERSION - 1,
    steps: 1,
  });
  expect(version()).toBe(SCHEMA_VERSION - 1);
  expect(lines(await migrate())[0]).toMatchObject({ event: 'migrated', steps: 1 });
  expect(version()).toBe(SCHEMA_VERSION);
  version(SCHEMA_VERSION + 1);
  const newer = await migrate('--dry-run');
  expect([newer.code, newer.stderr]).toEqual([1, expect.stringContaining('DATABASE_NEWER')]);
  expect(version()).toBe(SCHEMA_VERSION + 1);
  const nothing = await run(['migrate', '--data', join(folder, 'nowhere')]);
  expect([nothing.code, nothing.stderr]).toEqual([1, expect.stringContaining('CONFIG_INVALID')]);
  expect(readdirSync(folder)).not.toContain('nowhere');
});
