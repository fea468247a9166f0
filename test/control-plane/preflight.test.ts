// "Can this machine be reset now", from the API and the command line to a machine and back: whose word is taken, what is
// kept, how often it may be asked, and that nothing else is touched by it.

import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { preflightView } from '../../control-plane/api/schemas-preflight.ts';
import { Preflights, QUESTIONS_AT_ONCE } from '../../control-plane/gateway/preflights.ts';
import { findVm } from '../../control-plane/store/vms.ts';
import type { SigningKey } from '../../protocol/keys.ts';
import type { Preflight } from '../../protocol/preflight.ts';
import { signToken } from '../../protocol/token.ts';
import { WIRE_VERSION } from '../../protocol/version.ts';
import { samplePreflight } from '../protocol/samples.ts';
import { collect, spawnMain } from './cli/programs.ts';
import { random32, type ScriptedAgent } from './scripted-agent.ts';
import { World } from './world.ts';

let world: World;
beforeEach(async () => {
  world = await World.start();
});
afterEach(() => world.stop());

const FINE: Preflight['checks'] = [
  { name: 'environment', verdict: 'ok' },
  { name: 'vnc', verdict: 'ok', code: 'VNC_TRUNCATED', about: 'tigervnc:5901' },
];

/** A connected machine that knows what a preflight is. */
async function machine(name = 'web-1'): Promise<ScriptedAgent> {
  const agent = await world.enrolled(name);
  await agent.connect({ hello: { vmin: 1, vmax: WIRE_VERSION } });
  agent.wire.send({ t: 'synced', open: null });
  return agent;
}

/** Answers the next question. */
async function answer(
  agent: ScriptedAgent,
  changes: Partial<Preflight> = {},
  key: SigningKey = agent.ek,
): Promise<void> {
  const { nonce, now } = await agent.wire.next('preflight');
  const payload = { ...samplePreflight(), agent: agent.agent, nonce, now, checks: FINE, ...changes };
  agent.wire.send({ t: 'preflight', token: await signToken('lk-preflight+jws', payload, key) });
}

const ask = (name = 'web-1') => world.ask('POST', `/v1/vms/${name}/preflight`);
const stored = (name = 'web-1') => world.ask('GET', `/v1/vms/${name}/preflight`);

describe('an answer', () => {
  test('is asked for with server time, verified, kept with its time, and shown in words', async () => {
    const agent = await machine();
    expect((await stored()).status).toBe(404);
    const checks: Preflight['checks'] = [
      { name: 'disk', verdict: 'refused', code: 'FS_READONLY', reason: 'readonly', about: '/etc' },
      { name: 'of_later', verdict: 'warning', code: 'OF_LATER' },
    ];
    const asked = ask();
    await answer(agent, { checks, left_out: 3 });
    const { status, body } = await asked;
    expect(status).toBe(200);
    expect(preflightView.parse(body)).toMatchObject({
      vm_name: 'web-1',
      operator: 'admin',
      at: new Date(world.now).toISOString(),
      code: null,
      can: { account: false, vnc: false },
      left_out: 3,
      ek: agent.ek.jwk,
    });
    expect(body['checks']).toEqual([
      {
        name: 'disk',
        verdict: 'refused',
        code: 'FS_READONLY',
        reason: 'readonly',
        about: '/etc',
        title: 'disk: /etc',
        sentence: 'The file system is read-only (readonly).',
        hint: 'Look for disk errors in the guest.',
      },
      expect.objectContaining({
        name: 'of_later',
        code: 'OF_LATER',
        title: 'of_later',
        sentence: 'OF_LATER',
        hint: '',
      }),
    ]);
    expect((await stored()).body).toEqual(body);
    expect((await world.events()).filter(({ type }) => type === 'vm.preflight')).toMatchObject([
      { data: { operator: 'admin', code: null, account: false, vnc: false } },
    ]);
  });

  test('replaces the one before it', async () => {
    const agent = await machine();
    for (const verdict of ['refused', 'ok'] as const) {
      world.now += 60_000;
      const asked = ask();
      await answer(agent, { checks: [{ name: 'power', verdict }] });
      await asked;
    }
    const { body } = await stored();
    expect(body).toMatchObject({ at: new Date(world.now).toISOString(), can: { account: true, vnc: true } });
  });

  test('that is not given is kept as the agent’s unsigned word', async () => {
    const agent = await machine();
    const asked = ask();
    const { nonce } = await agent.wire.next('preflight');
    agent.wire.send({ t: 'no_preflight', nonce: random32(), code: 'BUSY' });
    agent.wire.send({ t: 'no_preflight', nonce, code: 'JOURNAL_UNSAFE' });
    const { status, body } = await asked;
    expect(status).toBe(200);
    expect(body).toMatchObject({
      code: 'JOURNAL_UNSAFE',
      token: null,
      checks: [],
      can: { account: false, vnc: false },
    });
    expect((await stored()).body).toEqual(body);
  });

  test.each<[string, (agent: ScriptedAgent) => Promise<void>]>([
    ['signed by the link', (agent) => answer(agent, {}, agent.ik)],
    ['for another agent', (agent) => answer(agent, { agent: `agt_${'0'.repeat(25)}9` })],
  ])('%s ends the connection and is not kept', async (_, say) => {
    const agent = await machine();
    const asked = ask();
    await say(agent);
    expect((await asked).body).toMatchObject({ code: 'AGENT_OFFLINE' });
    await agent.wire.closed;
    expect((await stored()).status).toBe(404);
  });

  test.each<[string, Partial<Preflight>]>([
    ['to another question', { nonce: random32() }],
    ['that was judged by another time', { now: 1 }],
  ])('%s is dropped', async (_, changes) => {
    const agent = await machine();
    const asked = ask();
    await answer(agent, changes);
    await agent.offline();
    expect((await asked).body).toMatchObject({ code: 'AGENT_OFFLINE' });
    expect((await stored()).status).toBe(404);
  });

  test('that nobody asked for is dropped, and the connection lives', async () => {
    const agent = await machine();
    const payload = { ...samplePreflight(), agent: agent.agent };
    agent.wire.send({ t: 'preflight', token: await signToken('lk-preflight+jws', payload, agent.ek) });
    agent.wire.send({ t: 'no_preflight', nonce: random32(), code: 'BUSY' });
    const asked = ask();
    await answer(agent);
    expect((await asked).status).toBe(200);
  });
});

describe('a question', () => {
  test('to a machine that is away is AGENT_OFFLINE, and to one that is not there NOT_FOUND', async () => {
    await world.enrolled('away');
    expect(await ask('away')).toMatchObject({ status: 409, body: { code: 'AGENT_OFFLINE' } });
    expect(await ask('nobody')).toMatchObject({ status: 404, body: { code: 'NOT_FOUND' } });
  });

  test('to an agent that is too old is refused at once, and nothing is said to it', async () => {
    const agent = await world.enrolled('old');
    await agent.connect({ hello: { vmin: 1, vmax: 1 } });
    agent.wire.send({ t: 'synced', open: null });
    const { status, body } = await ask('old');
    expect({ status, body }).toMatchObject({ status: 409, body: { code: 'VERSION_UNSUPPORTED' } });
    expect(body['detail']).toContain('agent_outdated');
    const { op } = await world.draft(agent);
    expect((await agent.wire.nextOf(['prepare', 'preflight'])).t).toBe('prepare');
    await agent.sayReady(op);
    await world.until(op, 'PREPARED');
  });

  test('asked by several at the same time is one, and all get its answer', async () => {
    const agent = await machine();
    const asked = [ask(), ask(), ask()];
    await answer(agent);
    const bodies = (await Promise.all(asked)).map(({ body }) => body);
    expect(bodies.every((body) => body['token'] === bodies[0]?.['token'])).toBe(true);
    expect(bodies[0]?.['token']).toBeTruthy();
    expect(agent.wire.waiting('preflight')).toBe(0);
  });

  test('may be asked only so often', async () => {
    const agent = await machine();
    for (let count = 0; count < QUESTIONS_AT_ONCE; count += 1) {
      const asked = ask();
      await answer(agent);
      expect((await asked).status).toBe(200);
    }
    expect(await ask()).toMatchObject({ status: 429, body: { code: 'RATE_LIMITED' } });
    // Of one machine: another one can be asked.
    const other = await machine('web-2');
    const asked = ask('web-2');
    await answer(other);
    expect((await asked).status).toBe(200);
  });

  test('that its link is too busy for is RATE_LIMITED, and says nothing of the machine', async () => {
    const agent = await machine();
    const asked = ask();
    const { nonce } = await agent.wire.next('preflight');
    agent.wire.send({ t: 'no_preflight', nonce, code: 'RATE_LIMITED' });
    expect(await asked).toMatchObject({ status: 429, body: { code: 'RATE_LIMITED' } });
    expect((await stored()).status).toBe(404);
  });

  test('leaves an operation that is ready, or under way, as it is', async () => {
    const agent = await machine();
    const draft = await world.draft(agent);
    await agent.answerPrepare();
    const ready = await world.until(draft.op, 'PREPARED');
    const first = ask();
    await answer(agent);
    await first;
    expect(await world.operation(draft.op)).toEqual(ready);
    await world.approve(draft);
    await agent.takeCommand();
    await agent.report(draft.op, 'ACCEPTED', { detail: { account: 'root' } });
    const second = ask();
    await answer(agent, { checks: [{ name: 'operation', verdict: 'refused', code: 'BUSY', about: draft.op }] });
    expect((await second).body).toMatchObject({ can: { account: false } });
    await agent.report(draft.op, 'PASSWORD_SET');
    expect(await world.operation(draft.op)).toMatchObject({ state: 'PASSWORD_SET', warnings: [] });
  });

  test('that is never answered comes to an end, and the next one is a new one', async () => {
    const agent = await machine();
    const { id } = await world.vmOf(agent);
    const [vm, session] = [await findVm(world.store.db, id), world.gateway.switchboard.of(id)];
    const parts = { store: world.store, randomBytes, nowMs: () => world.now, log: pino({ level: 'silent' }) };
    const preflights = new Preflights(parts as never, { of: () => session }, 20);
    await expect(preflights.ask(vm as never, 'admin')).rejects.toMatchObject({
      code: 'EXECUTOR_UNAVAILABLE',
      details: { reason: 'timeout' },
    });
    const { nonce } = await agent.wire.next('preflight');
    await preflights.notAnswered(session as never, nonce, 'BUSY');
    await expect(preflights.ask(vm as never, 'admin')).rejects.toMatchObject({ code: 'EXECUTOR_UNAVAILABLE' });
    expect((await agent.wire.next('preflight')).nonce).not.toBe(nonce);
    expect((await stored()).status).toBe(404);
  });

  test('needs an API key, and no factor', async () => {
    expect(await world.ask('POST', '/v1/vms/web-1/preflight', undefined, { authorization: 'Bearer no' })).toMatchObject(
      {
        status: 401,
      },
    );
  });
});

describe('latchkey vm check', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'latchkey-check-'));
    writeFileSync(join(folder, 'api-key'), world.apiKey, { mode: 0o600 });
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const check = (...parameters: string[]) =>
    collect(
      spawnMain(['vm', 'check', ...parameters, '--api-key-file', join(folder, 'api-key')], {
        ...process.env,
        LATCHKEY_URL: world.origin,
        LATCHKEY_STATE: join(folder, 'state'),
        NO_COLOR: '1',
      }),
    );

  test('says that a machine can be reset, and ends with 0', async () => {
    const agent = await machine();
    const [run] = await Promise.all([check('web-1'), answer(agent)]);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(run.stdout).toBe(
      [
        '✔ web-1 can be reset now.',
        '  ok       boot environment',
        '  ok       VNC: tigervnc:5901 — This VNC server reads the first 8 characters only.',
        '',
      ].join('\n'),
    );
  });

  test('says why a machine cannot be reset, and ends with 3', async () => {
    const agent = await machine();
    const checks: Preflight['checks'] = [
      { name: 'account', verdict: 'refused', code: 'ACCOUNT_AMBIGUOUS' },
      { name: 'clock', verdict: 'warning', code: 'CLOCK_WRONG', about: '75 s ahead' },
    ];
    const [run] = await Promise.all([check('web-1'), answer(agent, { checks, left_out: 2 })]);
    expect(run.code).toBe(3);
    expect(run.stdout.split('\n')).toEqual([
      '✖ web-1 cannot be reset now.',
      '  refused  account — ACCOUNT_AMBIGUOUS More than one account answers to that user id. Name the administrator in agent.json.',
      '  warning  clock: 75 s ahead — CLOCK_WRONG The clock of this machine is wrong. Set it; signatures carry times.',
      '  and 2 more that did not fit into the answer',
      '',
    ]);
  });

  test('says of a system on which no agent was proven yet that it is one', async () => {
    const agent = await machine();
    const checks: Preflight['checks'] = [
      { name: 'platform', verdict: 'warning', code: 'PLATFORM_UNPROVEN', about: 'Windows' },
    ];
    const [run] = await Promise.all([check('web-1'), answer(agent, { checks })]);
    expect(run.stdout).toMatch(/^ {2}warning {2}operating system: Windows — PLATFORM_UNPROVEN [^\n]*not yet proven/m);
  });

  test('ends with 3 where only the VNC password cannot be reset, and says so', async () => {
    const agent = await machine();
    const checks: Preflight['checks'] = [{ name: 'vnc', verdict: 'refused', code: 'VNC_AMBIGUOUS' }];
    const [run] = await Promise.all([check('web-1', '--json'), answer(agent, { checks })]);
    expect(run.code).toBe(3);
    expect(run.json).toMatchObject([{ event: 'check', vm: 'web-1', can: { account: true, vnc: false }, code: null }]);
  });

  test('of a machine whose agent could not look ends with 3 and its reason', async () => {
    const agent = await machine();
    const refuse = async () => {
      const { nonce } = await agent.wire.next('preflight');
      agent.wire.send({ t: 'no_preflight', nonce, code: 'EXECUTOR_UNAVAILABLE' });
    };
    const [run] = await Promise.all([check('web-1'), refuse()]);
    expect(run.code).toBe(3);
    expect(run.stdout).toContain('EXECUTOR_UNAVAILABLE: The privileged half of the agent does not answer.');
  });

  test('of a machine that is away, or too old, ends with 3', async () => {
    const agent = await world.enrolled('old');
    const away = await check('old');
    expect({ code: away.code, said: away.stderr }).toMatchObject({
      code: 3,
      said: expect.stringMatching(/AGENT_OFFLINE/),
    });
    await agent.connect({ hello: { vmin: 1, vmax: 1 } });
    const old = await check('old');
    expect({ code: old.code, said: old.stderr }).toMatchObject({
      code: 3,
      said: expect.stringMatching(/VERSION_UNSUPPORTED.*agent_outdated/),
    });
  });
});
