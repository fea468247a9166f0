// The program on many machines at once, over a whole control plane: which machines its options choose, and what it says of each.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ResetIntent, readIntent } from '../../../protocol/intent.ts';
import { signingKeyFromSeed, toBase64url } from '../../../protocol/keys.ts';
import { sealSecret } from '../../../protocol/seal.ts';
import { Secret } from '../../../protocol/secret.ts';
import type { ScriptedAgent } from '../scripted-agent.ts';
import { World } from '../world.ts';
import { collect, type Run, spawnMain } from './programs.ts';

let world: World;
beforeAll(async () => {
  world = await World.start();
  await world.machine('web-1');
  await world.enrolled('db-1');
  writeFileSync(join(world.data, 'key'), world.apiKey, { mode: 0o600 });
});
afterAll(() => world.stop());

function latchkey(...parameters: string[]): Promise<Run> {
  const env = { PATH: process.env['PATH'], HOME: world.data, LATCHKEY_STATE: join(world.data, 'state') };
  const server = { LATCHKEY_URL: world.origin, LATCHKEY_API_KEY_FILE: join(world.data, 'key') };
  return collect(spawnMain(parameters, { ...env, ...server }));
}

test('labels are set and taken away, and choose machines', async () => {
  const set = await latchkey('vm', 'label', 'web-1', 'env=prod', 'tier=web', '--json');
  expect(set.json).toEqual([{ event: 'labels', vm: 'web-1', labels: { env: 'prod', tier: 'web' } }]);
  expect((await latchkey('vm', 'label', 'web-1', 'tier-')).stdout).toBe('env=prod\n');
  const chosen = await latchkey('vm', 'list', '--label', 'env=prod', '--json');
  expect(chosen.json).toMatchObject([{ name: 'web-1', labels: { env: 'prod' } }]);
  expect((await latchkey('vm', 'list', '--label', 'env=test')).stdout).toBe('No such machines.\n');
});

describe('a reset of many', () => {
  /** Carries out what it is commanded; answers the password that it sealed. */
  async function obey(agent: ScriptedAgent): Promise<string> {
    await agent.answerPrepare();
    const { op, intent = '' } = await agent.takeCommand();
    const { account } = readIntent(intent) as ResetIntent;
    if (account?.secret.mode !== 'generated') throw new Error('nothing to generate');
    const password = `Generated-${agent.agent.slice(-8)}`;
    const to = { op, agent: agent.agent, dir: 'to-operator', slot: 'account' } as const;
    const sealed = await sealSecret(Secret.ofBytes(Buffer.from(password)), to, account.secret.recipient_jwk, random);
    await agent.report(op, 'ACCEPTED', { detail: { account: 'root' } });
    await agent.report(op, 'PASSWORD_SET', { sealed: { account: sealed } });
    await agent.report(op, 'REBOOTING', { detail: { boot_before: agent.boot } });
    await agent.report(op, 'BOOTED', { detail: { boot_before: agent.boot, boot_after: crypto.randomUUID() } });
    await agent.report(op, 'DONE', { detail: { verified: { account: true, vnc: 'absent', reboot: true } } });
    return password;
  }

  const random = (count: number) => crypto.getRandomValues(new Uint8Array(count));
  const keyFile = () => join(world.data, 'key.jwk');
  let many: ScriptedAgent[];
  beforeAll(async () => {
    const seed = random(32);
    const { jwk } = await signingKeyFromSeed(seed);
    await world.admin('operator.add', { name: 'admin', key: jwk });
    writeFileSync(keyFile(), JSON.stringify({ ...jwk, d: toBase64url(seed) }), { mode: 0o600 });
    many = [];
    for (const name of ['m-1', 'm-2']) {
      many.push(await (await world.enrolled(name)).online(null, { vmax: 2 }));
      await world.ask('PATCH', `/v1/vms/${name}`, { labels: { group: 'many' } });
    }
  });
  const reset = (...more: string[]) =>
    latchkey('reset', '--label', 'group=many', '--yes', '--key-file', keyFile(), ...more);

  test('needs one proof, and shows each machine’s result and password once', async () => {
    const [run, ...passwords] = await Promise.all([reset('--json', '--reveal'), ...many.map(obey)]);
    expect(run.code, run.stderr).toBe(0);
    const of = (event: string) => run.json.filter((line) => line['event'] === event);
    expect(of('created')).toMatchObject([{ machines: expect.arrayContaining(['m-1', 'm-2']), leftOut: [] }]);
    expect(of('result')).toMatchObject([{ state: 'DONE' }, { state: 'DONE' }]);
    expect(
      of('secrets')
        .map(({ secrets }) => (secrets as { account: string }).account)
        .toSorted(),
    ).toEqual(passwords.toSorted());
    expect(of('done')).toMatchObject([{ state: 'ENDED' }]);
    expect(world.logged.join('')).not.toContain(passwords[0]);
    const again = await latchkey('bulk', 'watch', String(of('done')[0]?.['bulk']));
    expect(again.stdout).toMatch(/^MACHINE +RESULT/);
    expect(again.stdout).not.toContain(passwords[0]);
  });

  test('says in a table who was refused, with the exit code of the one that fared worst', async () => {
    const refuse = async (agent: ScriptedAgent) => {
      const op = await agent.answerPrepare();
      await agent.takeCommand();
      await agent.report(op, 'REFUSED', { code: 'ACCOUNT_LOCKED' });
    };
    const [first, second] = many as [ScriptedAgent, ScriptedAgent];
    const [run] = await Promise.all([reset(), obey(first), refuse(second)]);
    expect(run.code, run.stderr).toBe(3);
    expect(run.stdout).toMatch(/^m-1 +DONE/m);
    expect(run.stdout).toMatch(/^m-2 +REFUSED +ACCOUNT_LOCKED/m);
  });

  test('is stopped by whoever may: what was not sent is cancelled', async () => {
    for (const agent of many) await agent.offline();
    const run = await reset('--detach', '--json');
    const bulk = String(run.json.find(({ event }) => event === 'approved')?.['bulk']);
    const stopped = await latchkey('bulk', 'stop', bulk, '--json');
    expect(stopped.json).toMatchObject([{ state: 'CANCELLED' }, { state: 'CANCELLED' }, { state: 'ENDED' }]);
  });

  test('is not asked of a machine and a label at once, nor with a typed password', async () => {
    expect((await reset('m-1')).code).toBe(2);
    expect((await reset('--type')).code).toBe(2);
  });

  test('a check of many asks each, and says what keeps it from answering', async () => {
    const run = await latchkey('vm', 'check', '--label', 'group=many');
    expect(run.code).toBe(3);
    expect(run.stdout).toMatch(/^m-1 +no +no +AGENT_OFFLINE/m);
    expect(run.stdout).toMatch(/^m-2 +no +no +AGENT_OFFLINE/m);
  });
});

test.each([
  [['vm', 'label', 'web-1', 'a b=c']],
  [['vm', 'check']],
  [['vm', 'list', '--state', 'asleep']],
  [['reset', 'web-1', '--not-before', 'tomorrow']],
  [['vm', 'create', 'web-2', '--label', 'a b=c']],
])('a wrong use is 2: %j', async (parameters) => {
  const run = await latchkey(...parameters);
  expect([run.code, run.stdout]).toEqual([2, '']);
});
