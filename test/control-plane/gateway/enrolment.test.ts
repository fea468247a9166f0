// Getting an identity over a real socket: one use of a token, proofs of both keys, and one word for every refusal.

import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { VmView } from '../../../control-plane/api/schemas.ts';
import type { JoinTokenView } from '../../../control-plane/api/schemas-installation.ts';
import { instanceSha256 } from '../../../protocol/instance.ts';
import { signingKeyFromSeed } from '../../../protocol/keys.ts';
import { signToken } from '../../../protocol/token.ts';
import { Chance } from '../../simulation/chance.ts';
import { random32, ScriptedAgent } from '../scripted-agent.ts';
import { World } from '../world.ts';

let world: World;
beforeEach(async () => {
  world = await World.start();
});
afterEach(() => world.stop());

const fresh = () => ScriptedAgent.make(world.agentUrl);
const alarms = async () =>
  (await world.events()).filter(({ type }) => type === 'join_token.misused').map(({ data }) => data['code']);

describe('enrolment', () => {
  test('gives an identity that the machine then connects with', async () => {
    const agent = await world.machine('web');
    await world.eventually(async () => ((await world.vmOf(agent)).online ? true : null), 'the machine to be online');
    expect(await world.vmOf(agent)).toMatchObject({ name: 'web', flags: [] });
  });

  test('71 with a token that was used before is refused, with an alarm, and makes no machine', async () => {
    const { token } = await world.joinToken();
    const first = await fresh();
    expect(await first.enrol(token)).toBeNull();
    expect(await (await fresh()).enrol(token)).toBe('JOIN_TOKEN_INVALID');
    expect(await alarms()).toEqual(['JOIN_TOKEN_USED']);
    expect((await world.ask('GET', '/v1/vms')).body['items']).toHaveLength(1);
    expect((await world.events()).find(({ type }) => type === 'join_token.misused')).toMatchObject({
      data: { code: 'JOIN_TOKEN_USED' },
    });
  });

  test('whose answer was lost is answered again to the same keys with the same identity', async () => {
    const { token } = await world.joinToken();
    const agent = await fresh();
    await agent.enrol(token);
    const first = agent.agent;
    expect(await agent.enrol(token)).toBeNull();
    expect(agent.agent).toBe(first);
    expect(await alarms()).toEqual([]);
  });

  test('of keys that have an identity costs no other token, and gives no other identity', async () => {
    const agent = await world.enrolled();
    const other = await world.joinToken();
    expect(await agent.enrol(other.token)).toBe('JOIN_TOKEN_INVALID');
    expect(await (await fresh()).enrol(other.token)).toBeNull();
  });

  test('72 with an expired or revoked token is refused with the same word', async () => {
    const expired = await world.joinToken({ ttl_s: 1 });
    const revoked = await world.joinToken();
    await world.ask('DELETE', `/v1/join-tokens/${revoked.id}`);
    world.now += 1_001;
    for (const { token } of [expired, revoked, { token: `lkj_${random32()}` }]) {
      expect(await (await fresh()).enrol(token)).toBe('JOIN_TOKEN_INVALID');
    }
    expect(await alarms()).toEqual(['JOIN_TOKEN_EXPIRED', 'JOIN_TOKEN_INVALID']);
  });

  test('73 of two at the same moment with one token exactly one wins', async () => {
    const { token } = await world.joinToken();
    const agents = await Promise.all(Array.from({ length: 8 }, fresh));
    const answers = await Promise.all(agents.map((agent) => agent.enrol(token)));
    expect(answers.filter((answer) => answer === null)).toHaveLength(1);
    expect((await world.ask('GET', '/v1/vms')).body['items']).toHaveLength(1);
  });

  test('needs the proof of both keys in this very conversation', async () => {
    const { token } = await world.joinToken();
    const agent = await fresh();
    const nonce = random32();
    const foreign = await signingKeyFromSeed(randomBytes(32));
    const proofBy = (key: typeof foreign, ikKid = agent.ik.kid) =>
      signToken('lk-enrol-ek+jws', { v: 1, ik_kid: ikKid, nonce }, key);
    for (const enrol of [
      { nonce, ek_proof: await proofBy(foreign) },
      { nonce, ek_proof: await proofBy(agent.ek, foreign.kid) },
      { ek_proof: await proofBy(agent.ek) },
      { sn: random32() },
      { ik: foreign.jwk },
      { ek: agent.ik.jwk },
      { nonce, ek: agent.ik.jwk, ek_proof: await proofBy(agent.ik) },
    ]) {
      expect(await agent.enrol(token, { enrol }), JSON.stringify(Object.keys(enrol))).toBe('JOIN_TOKEN_INVALID');
    }
    expect(await agent.enrol(token)).toBeNull();
  });

  test('a token for one machine that is shown twice raises a flag on the machine that it made', async () => {
    const { token } = await world.joinToken();
    const first = await fresh();
    await first.enrol(token);
    await (await fresh()).enrol(token);
    expect((await world.vmOf(first)).flags).toEqual(['JOIN_TOKEN_USED']);
  });

  test('with a token for a group makes as many machines as it says, each with keys of its own', async () => {
    const { token, id } = await world.joinToken({ uses: 3, ttl_s: 86_400, name: 'web' });
    const agents = await Promise.all(Array.from({ length: 5 }, fresh));
    const answers = await Promise.all(agents.map((agent) => agent.enrol(token)));
    expect(answers.filter((answer) => answer === null)).toHaveLength(3);
    const { body } = await world.ask('GET', '/v1/vms');
    const made = body['items'] as VmView[];
    expect(made.map(({ name }) => name).toSorted()).toEqual(['web', 'web-2', 'web-3']);
    expect(new Set(made.map(({ ik }) => ik?.x)).size).toBe(3);
    // Nobody is to be suspected because a group is complete.
    expect(made.flatMap(({ flags }) => flags)).toEqual([]);
    const list = (await world.ask('GET', '/v1/join-tokens')).body['items'] as JoinTokenView[];
    expect(list.find((item) => item.id === id)).toMatchObject({ state: 'used', uses: 3, uses_max: 3 });
    // The one whose answer was lost is answered again, without a use.
    const again = agents[answers.indexOf(null)] as ScriptedAgent;
    const before = again.agent;
    expect(await again.enrol(token)).toBeNull();
    expect(again.agent).toBe(before);
  });

  test('with a token for one instance is refused to every other with the same word, and taken by that one', async () => {
    const uuid = '4C4C4544-0042-3510-8054-B7C04F4D4D32';
    const { token } = await world.joinToken({ instance: uuid });
    const other = (await instanceSha256('4c4c4544-0042-3510-8054-b7c04f4d4d33')) as string;
    expect(await (await fresh()).enrol(token)).toBe('JOIN_TOKEN_INVALID');
    expect(await (await fresh()).enrol(token, { enrol: { instance_sha256: other } })).toBe('JOIN_TOKEN_INVALID');
    const own = (await instanceSha256(uuid.toLowerCase())) as string;
    expect(await (await fresh()).enrol(token, { enrol: { instance_sha256: own } })).toBeNull();
    expect(await alarms()).toEqual(['JOIN_TOKEN_INVALID', 'JOIN_TOKEN_INVALID']);
  });

  test('tokens that make no sense are not made', async () => {
    for (const body of [
      { ttl_s: 3_601 },
      { uses: 2, ttl_s: 2_592_001 },
      { uses: 0 },
      { uses: 10_001 },
      { instance: 'web-1' },
      { instance: '00000000-0000-0000-0000-000000000000' },
      { instance: 'ffffffff-ffff-ffff-ffff-ffffffffffff' },
      { instance: '4c4c4544-0042-3510-8054-b7c04f4d4d33', uses: 2 },
    ]) {
      expect((await world.ask('POST', '/v1/join-tokens', body)).body['code'], JSON.stringify(body)).toBe(
        'REQUEST_INVALID',
      );
    }
    expect((await world.ask('GET', '/v1/join-tokens')).body['items']).toEqual([]);
  });

  test('names machines after their host, with a number when the name is taken', async () => {
    const [one, two] = [await world.enrolled(), await world.enrolled()];
    expect([(await world.vmOf(one)).name, (await world.vmOf(two)).name]).toEqual(['guest', 'guest-2']);
  });
});

test('whoever asks with whatever token, in whatever order: one identity a key pair, and no token for more than it is good', async () => {
  const chance = new Chance(7);
  const tokens = await Promise.all([1, 1, 2, 3].map((uses) => world.joinToken({ uses })));
  const agents = await Promise.all(Array.from({ length: 9 }, fresh));
  for (let round = 0; round < 20; round += 1) {
    const asked = Array.from({ length: 3 }, () => chance.pick(agents as [ScriptedAgent, ...ScriptedAgent[]]));
    await Promise.all(asked.map((agent) => agent.enrol(tokens[chance.int(tokens.length)]?.token ?? '')));
  }
  const made = (await world.ask('GET', '/v1/vms')).body['items'] as VmView[];
  expect(made).toHaveLength(7);
  for (const key of ['ik', 'ek'] as const) expect(new Set(made.map((vm) => vm[key]?.x)).size).toBe(7);
  expect(new Set(made.map(({ agent }) => agent)).size).toBe(7);
  const list = (await world.ask('GET', '/v1/join-tokens')).body['items'] as JoinTokenView[];
  expect(list.map(({ uses, uses_max }) => [uses, uses_max]).toSorted()).toEqual([
    [1, 1],
    [1, 1],
    [2, 2],
    [3, 3],
  ]);
});
