// Machines to come: registered with what their first boot needs, proven as any operation, and given their first passwords when the
// one machine that has their token is there.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { OperationView } from '../../../control-plane/api/schemas.ts';
import type { VmCreated } from '../../../control-plane/api/schemas-provisioning.ts';
import { command as commandSchema } from '../../../protocol/command.ts';
import { type InitialiseIntent, readIntent } from '../../../protocol/intent.ts';
import { sha256Text } from '../../../protocol/keys.ts';
import { parseSchema } from '../../../protocol/schema.ts';
import { payloadOf } from '../../../protocol/token.ts';
import { WIRE_VERSION } from '../../../protocol/version.ts';
import { random32, ScriptedAgent } from '../scripted-agent.ts';
import { World } from '../world.ts';

const HOUR_MS = 3_600_000;

let world: World;
beforeEach(async () => {
  world = await World.start();
});
afterEach(() => world.stop());

const create = async (body: object = {}): Promise<VmCreated> => {
  const answer = await world.ask('POST', '/v1/vms', { name: 'web', ...body });
  if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
  return answer.body as VmCreated;
};

/** The intent's own slots: the account's alone where VNC gets the same. */
async function intentOf({ op }: VmCreated, more: object = {}) {
  const operation = await world.operation(op);
  const vnc = operation.vnc?.mode === 'same' ? null : operation.vnc;
  return world.intent({ ...operation, vnc } as OperationView, more);
}
async function prove(created: VmCreated) {
  const { intent, intent_hash } = await intentOf(created);
  const proof = await world.keyProof(intent_hash);
  const { status } = await world.ask('POST', `/v1/operations/${created.op}/submit`, proof);
  expect(status).toBe(200);
  return readIntent(intent) as InitialiseIntent;
}
const passes = async (ms: number) => {
  world.now += ms;
};
const fresh = () => ScriptedAgent.make(world.agentUrl);
const arrive = async (agent: ScriptedAgent, vmax = WIRE_VERSION) => {
  await agent.connect({ hello: { vmax } });
  agent.wire.send({ t: 'synced', open: null });
};
const alarms = async () =>
  (await world.events()).filter(({ type }) => type === 'join_token.misused').map(({ data }) => data['code']);

describe('a machine to come', () => {
  test('is answered with what its first boot needs, and seen before it is there', async () => {
    const { vm, join, op } = await create({ labels: { tier: 'web' }, account: 'ubuntu' });
    expect(vm).toMatchObject({
      name: 'web',
      enrolled_at: null,
      ik: null,
      ek: null,
      labels: { tier: 'web' },
      online: false,
    });
    expect(vm.provision).toEqual({ account: 'ubuntu', vnc_initial: 'same', op });
    const { smbios, user_data, nocloud } = join.material;
    expect(smbios).toBe(`io.systemd.credential:latchkey.join-token=${join.token}`);
    expect(JSON.parse(user_data.replace(/^#.*\n/, ''))).toMatchObject({
      write_files: [{ path: '/etc/latchkey-agent/join-token', permissions: '0600', content: `${join.token}\n` }],
    });
    expect(nocloud.map(({ name }) => name)).toEqual(['user-data', 'meta-data', 'latchkey-join-token']);
    const listed = (await world.ask('GET', '/v1/vms?label=tier=web')).body['items'];
    expect(listed).toEqual([vm]);
    expect(await world.operation(op)).toMatchObject({ act: 'initialise', state: 'QUEUED', approved: false, ek: null });
    expect((await world.store.db.selectFrom('join_tokens').selectAll().execute())[0]?.sha256).toBe(
      await sha256Text(join.token),
    );
  });

  test('gets its passwords when it is there: the proof was for its token and no other', async () => {
    const created = await create();
    const intent = await prove(created);
    expect(intent).toMatchObject({
      act: 'initialise',
      agent: created.vm.agent,
      join_sha256: await sha256Text(created.join.token),
      account: { name: null, uid: null },
      vnc: { secret: 'same' },
    });
    const agent = await fresh();
    expect(await agent.enrol(created.join.token)).toBeNull();
    expect(agent.agent).toBe(created.vm.agent);
    await arrive(agent);
    await agent.answerPrepare();
    const { op, token } = await agent.takeCommand();
    expect(op).toBe(created.op);
    const command = parseSchema(commandSchema, payloadOf(token));
    expect(readIntent(command.intent ?? '')).toEqual(intent);
    await agent.carryOut(op);
    await world.until(op, 'DONE');
    const { body } = await world.ask('GET', '/v1/vms/web');
    expect(body).toMatchObject({ id: created.vm.id, agent: agent.agent, flags: [], provision: { op } });
    expect(body['enrolled_at']).not.toBeNull();
  });

  test('with two passwords, or without VNC, is asked for just that', async () => {
    const secret = { mode: 'generated', recipient_jwk: await world.recipient() };
    const own = await create({ name: 'own', vnc_initial: 'independent' });
    expect((await prove(own)).vnc).toMatchObject({ secret });
    const none = await create({ name: 'none', vnc_initial: null });
    expect((await prove(none)).vnc).toBeUndefined();
    const answer = await world.ask('POST', `/v1/operations/${(await create()).op}/intent`, {
      account: { secret },
      vnc: { secret },
    });
    expect(answer).toMatchObject({ status: 400, body: { code: 'REQUEST_INVALID' } });
  });

  test('that is there before the proof waits for it', async () => {
    const created = await create();
    const agent = await fresh();
    await agent.enrol(created.join.token);
    await arrive(agent);
    await agent.answerPrepare();
    await world.until(created.op, 'PREPARED');
    expect((await prove(created)).account.uid).toBeNull();
    expect((await agent.takeCommand()).op).toBe(created.op);
  });

  test('whose agent is too old for it is refused, and stays as it is', async () => {
    const created = await create();
    await prove(created);
    const agent = await fresh();
    await agent.enrol(created.join.token);
    await arrive(agent, WIRE_VERSION - 1);
    expect(await world.until(created.op, 'REFUSED')).toMatchObject({ code: 'VERSION_UNSUPPORTED' });
    expect(agent.wire.waiting('command')).toBe(0);
  });

  test('has its name to itself', async () => {
    await create();
    expect(await world.ask('POST', '/v1/vms', { name: 'web' })).toMatchObject({
      status: 409,
      body: { code: 'ALREADY_EXISTS' },
    });
    expect(await world.vmOf(await world.enrolled('web'))).toMatchObject({ name: 'web-2' });
  });

  test('is reset by nobody before it is there', async () => {
    const { vm } = await create();
    const answer = await world.ask('POST', '/v1/operations', { vm: vm.id, account: { mode: 'generated' } });
    expect(answer).toMatchObject({ status: 409, body: { code: 'NOT_ENROLLED' } });
    expect(await world.ask('POST', `/v1/vms/${vm.id}/preflight`, {})).toMatchObject({
      body: { code: 'AGENT_OFFLINE' },
    });
    expect(await world.ask('GET', `/v1/vms/${vm.id}/preflight`)).toMatchObject({ status: 404 });
  });

  test('is made once for one idempotency key, and its token is shown once', async () => {
    const headers = { 'idempotency-key': 'a' };
    const first = await world.ask('POST', '/v1/vms', { name: 'web' }, headers);
    const again = await world.ask('POST', '/v1/vms', { name: 'web' }, headers);
    expect([first.status, again.body['code']]).toEqual([201, 'SHOWN_ONCE']);
  });
});

describe('what does not admit a machine to come', () => {
  test.each<[string, (created: VmCreated) => Promise<unknown>, string]>([
    ['its token, after its end', () => passes(HOUR_MS + 1), 'JOIN_TOKEN_EXPIRED'],
    ['its token, used by another machine', async ({ join }) => (await fresh()).enrol(join.token), 'JOIN_TOKEN_USED'],
    ['its token, taken back with it', ({ vm }) => world.ask('DELETE', `/v1/vms/${vm.id}`), 'JOIN_TOKEN_INVALID'],
    ['its token, revoked', ({ join }) => world.ask('DELETE', `/v1/join-tokens/${join.id}`), 'JOIN_TOKEN_INVALID'],
    [
      'its operation, cancelled',
      ({ op }) => world.ask('POST', `/v1/operations/${op}/cancel`, {}),
      'JOIN_TOKEN_INVALID',
    ],
  ])('%s', async (_, happens, code) => {
    const created = await create();
    await prove(created);
    await happens(created);
    const late = await fresh();
    expect(await late.enrol(created.join.token)).toBe('JOIN_TOKEN_INVALID');
    expect(await alarms()).toEqual([code]);
  });

  test('a proof that nobody gave in time', async () => {
    const created = await create();
    world.now += 900_001;
    await world.gateway.look();
    expect(await world.until(created.op, 'EXPIRED')).toMatchObject({ code: 'PROOF_MISSING' });
    expect(await (await fresh()).enrol(created.join.token)).toBe('JOIN_TOKEN_INVALID');
    expect(await alarms()).toEqual(['JOIN_TOKEN_EXPIRED']);
  });

  test('a proof that is too old by the time that the machine is ready', async () => {
    const created = await create();
    const { intent_hash } = await intentOf(created, { valid_s: 60 });
    await world.ask('POST', `/v1/operations/${created.op}/submit`, await world.keyProof(intent_hash));
    const agent = await fresh();
    await agent.enrol(created.join.token);
    world.now += 61_000;
    await arrive(agent);
    await world.gateway.look();
    expect(await world.until(created.op, 'EXPIRED')).toMatchObject({ receipts: [] });
    expect(agent.wire.waiting('command')).toBe(0);
  });

  test('another instance than the one that was named', async () => {
    const instance = '2c7f2f1e-6d9f-4c7e-9d57-7b1f0a6f2d31';
    const created = await create({ instance });
    const stranger = await fresh();
    expect(await stranger.enrol(created.join.token, { enrol: { instance_sha256: random32() } })).toBe(
      'JOIN_TOKEN_INVALID',
    );
    expect(await alarms()).toEqual(['JOIN_TOKEN_INVALID']);
  });

  test('a wrong proof approves nothing, and what was not proven is signed for no machine', async () => {
    const created = await create();
    const { op } = created;
    await intentOf(created);
    const wrong = await world.keyProof(random32());
    expect(await world.ask('POST', `/v1/operations/${op}/submit`, wrong)).toMatchObject({
      body: { code: 'AUTHZ_INVALID' },
    });
    expect(await (await fresh()).enrol(created.join.token)).toBe('JOIN_TOKEN_INVALID');
    expect((await world.operation(op)).state).toBe('REFUSED');
  });

  test('a second use of one proof', async () => {
    const created = await create();
    const { intent_hash } = await intentOf(created);
    const proof = await world.keyProof(intent_hash);
    await world.ask('POST', `/v1/operations/${created.op}/submit`, proof);
    const other = await create({ name: 'other' });
    await intentOf(other);
    expect(await world.ask('POST', `/v1/operations/${other.op}/submit`, proof)).toMatchObject({
      body: { code: 'AUTHZ_INVALID' },
    });
    expect(await world.ask('POST', `/v1/operations/${created.op}/submit`, proof)).toMatchObject({
      body: { code: 'STATE_CONFLICT' },
    });
  });
});

describe('a machine that shall not come after all', () => {
  test('is gone from the list, its name is free, and its operation is over', async () => {
    const { vm, op, join } = await create();
    const { status, body } = await world.ask('DELETE', '/v1/vms/web');
    expect([status, body['removed']]).toEqual([200, true]);
    expect((await world.ask('GET', '/v1/vms')).body['items']).toEqual([]);
    expect(await world.operation(op)).toMatchObject({ state: 'CANCELLED', vm: vm.id });
    const tokens = (await world.ask('GET', '/v1/join-tokens')).body['items'];
    expect(tokens).toMatchObject([{ id: join.id, state: 'revoked' }]);
    expect((await create()).vm.id).not.toBe(vm.id);
  });

  test('one that is there is not taken back', async () => {
    const agent = await world.enrolled('web');
    expect(await world.ask('DELETE', '/v1/vms/web')).toMatchObject({ status: 409, body: { code: 'STATE_CONFLICT' } });
    expect(await world.vmOf(agent)).toMatchObject({ name: 'web', removed: false });
  });

  test.each<[string, object]>([
    ['a name that is none', { name: '-' }],
    ['an account that is none', { account: '-R' }],
    ['another policy', { vnc_initial: 'none' }],
    ['more than an hour', { ttl_s: 3_601 }],
    ['an instance that is none', { instance: '00000000-0000-0000-0000-000000000000' }],
    ['a password', { password: 'x' }],
  ])('nothing is made of %s', async (_, body) => {
    expect(await world.ask('POST', '/v1/vms', { name: 'web', ...body })).toMatchObject({ status: 400 });
    expect(await world.store.db.selectFrom('join_tokens').selectAll().execute()).toEqual([]);
    expect(await world.store.db.selectFrom('vms').selectAll().execute()).toEqual([]);
  });
});
