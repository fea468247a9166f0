// Who may connect as a machine, over real sockets: every peer that does not prove itself gets the same silent close.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { FRAMES_AT_ONCE, FRAMES_PER_SECOND } from '../../../control-plane/gateway/agent-session.ts';
import { signingKeyFromSeed } from '../../../protocol/keys.ts';
import { FRAME_BYTES_MAX } from '../../../protocol/limits.ts';
import { WIRE_VERSION } from '../../../protocol/version.ts';
import { random32, Wire } from '../scripted-agent.ts';
import { World } from '../world.ts';

let world: World;
beforeEach(async () => {
  world = await World.start();
});
afterEach(() => world.stop());

const REFUSED = 1008;
const heldFor = async (agent: Parameters<World['vmOf']>[0]) => (await world.vmOf(agent)).quarantine?.code;
const flagsOf = async (agent: Parameters<World['vmOf']>[0]) => (await world.vmOf(agent)).flags;

describe('a hello', () => {
  test('over another challenge than this connection’s is refused', async () => {
    const agent = await world.enrolled();
    expect(await agent.connect({ hello: { sn: random32() } })).toBe(REFUSED);
  });

  test('signed by another key, or for another agent, is refused', async () => {
    const [agent, other] = [await world.enrolled(), await world.enrolled()];
    expect(await agent.connect({ helloKey: await signingKeyFromSeed(randomBytes(32)) })).toBe(REFUSED);
    expect(await agent.connect({ helloKey: agent.ek })).toBe(REFUSED);
    expect(await agent.connect({ hello: { agent: other.agent } })).toBe(REFUSED);
    expect(await agent.connect({ helloKey: other.ik })).toBe(REFUSED);
  });

  test('with a nonce that was seen before is refused, also after a restart of the machine', async () => {
    const agent = await world.enrolled();
    const an = random32();
    expect(await agent.connect({ hello: { an } })).toBeNull();
    await agent.offline();
    expect(await agent.connect({ hello: { an } })).toBe(REFUSED);
    expect(await agent.connect()).toBeNull();
  });

  test('of a version that is not spoken here is refused', async () => {
    const agent = await world.enrolled();
    expect(await agent.connect({ hello: { vmin: WIRE_VERSION + 1, vmax: WIRE_VERSION + 2 } })).toBe(REFUSED);
    expect(await agent.connect({ hello: { vmin: 0, vmax: 0 } })).toBe(REFUSED);
  });

  test('is answered in the highest version that both speak', async () => {
    const agent = await world.enrolled();
    for (const [vmax, version] of [
      [1, 1],
      [WIRE_VERSION, WIRE_VERSION],
      [WIRE_VERSION + 5, WIRE_VERSION],
    ] as const) {
      expect(await agent.connect({ hello: { vmax } })).toBeNull();
      expect(agent.welcomed).toMatchObject({ version });
      await agent.offline();
    }
  });

  test('with a counter below ours holds the identity: STATE_ROLLED_BACK', async () => {
    const agent = await world.machine();
    await agent.offline();
    await agent.online();
    await agent.offline();
    agent.ctr = 0;
    expect(await agent.connect()).toBe(REFUSED);
    expect(await heldFor(agent)).toBe('STATE_ROLLED_BACK');
    expect(agent.told).toBe('AGENT_QUARANTINED');
  });

  test('with a journal that has gone back holds the identity, whatever the counter says', async () => {
    const agent = await world.enrolled();
    const [earlier, later] = [random32(), random32()];
    for (const jhead of [earlier, earlier, null, later, later]) {
      expect(await agent.connect({ hello: { jhead } })).toBeNull();
      await agent.offline();
    }
    expect(await agent.connect({ hello: { jhead: earlier } })).toBe(REFUSED);
    expect(await heldFor(agent)).toBe('STATE_ROLLED_BACK');
  });

  test('whose last answer was lost raises no alarm', async () => {
    const agent = await world.machine();
    await agent.offline();
    agent.ctr += 1;
    expect(await agent.connect()).toBeNull();
    expect(await flagsOf(agent)).toEqual([]);
  });

  test('is followed by hello_ok with the very counter of the welcome', async () => {
    const agent = await world.enrolled();
    const wire = await new Wire(world.agentUrl).opened();
    const { sn } = await wire.next('challenge');
    expect(sn).toHaveLength(43);
    wire.send({ t: 'hello_ok', ctr: 1 });
    expect(await wire.closed).toBe(REFUSED);
    for (const helloOk of [0, 2]) {
      await agent.connect({ helloOk });
      expect(await agent.wire.closed).toBe(REFUSED);
      agent.ctr = 0;
    }
    expect(await agent.connect()).toBeNull();
  });
});

describe('a second connection of one identity', () => {
  test('while the first still answers closes both, and holds the identity', async () => {
    const agent = await world.machine();
    const twin = agent.clone();
    expect(await twin.connect()).toBe(REFUSED);
    expect(await agent.wire.closed).toBe(REFUSED);
    expect(await heldFor(agent)).toBe('CLONE_SUSPECTED');
    expect((await world.vmOf(agent)).online).toBe(false);
    // Neither gets in, however often it tries, and each is told so.
    for (const holder of [agent, twin, agent]) {
      expect(await holder.connect()).toBe(REFUSED);
      expect(holder.told).toBe('AGENT_QUARANTINED');
    }
  });

  test('at the same moment as the first holds the identity, too', async () => {
    const agent = await world.enrolled();
    const twin = agent.clone();
    await Promise.all([agent.connect(), twin.connect()]);
    const why = await world.eventually(async () => (await heldFor(agent)) ?? null, 'the quarantine');
    // The slower one may come with a counter that the other has moved meanwhile.
    expect(['CLONE_SUSPECTED', 'STATE_ROLLED_BACK']).toContain(why);
    expect(await agent.connect()).toBe(REFUSED);
  });

  test('of a held identity gets in again once an operator has proven it, and not before', async () => {
    const agent = await world.machine();
    await agent.clone().connect();
    const { id } = await world.vmOf(agent);
    const other = await world.machine();
    const release = (vm: string, body: object) => world.ask('POST', `/v1/vms/${vm}/release`, body);
    const { body: built } = await world.ask('POST', `/v1/vms/${id}/release-intent`, {});
    const { op, intent_hash } = built as { op: string; intent_hash: string };
    const proof = await world.keyProof(intent_hash);
    // Not without a factor, not for a machine that is not held, and not with the proof of another act.
    expect((await release(id, { op, intent_hash })).body['code']).toBe('REQUEST_INVALID');
    expect((await release((await world.vmOf(other)).id, { op, intent_hash, proof })).body['code']).toBe(
      'STATE_CONFLICT',
    );
    const draft = await world.draft(other);
    const reset = await world.intent(draft);
    const stolen = { op: draft.op, intent_hash: reset.intent_hash, proof: await world.keyProof(reset.intent_hash) };
    expect((await release(id, stolen)).body['code']).toBe('AUTHZ_INVALID');
    expect(await agent.connect()).toBe(REFUSED);
    const released = await release(id, { op, intent_hash, proof });
    expect([released.status, released.body['quarantine'], released.body['flags']]).toEqual([200, null, []]);
    expect(await agent.connect()).toBeNull();
    // One proof, one release.
    await agent.clone().connect();
    expect(await heldFor(agent)).toBe('CLONE_SUSPECTED');
    expect((await release(id, { op, intent_hash, proof })).body['code']).toBe('AUTHZ_INVALID');
  });

  test('of a held identity is let in by two people where the policy wants them', async () => {
    const agent = await world.machine();
    await agent.clone().connect();
    const { id } = await world.vmOf(agent);
    await world.admin('policy.set', { second_person: true });
    const bob = await world.operator('bob');
    const { body: first } = await world.ask('POST', `/v1/vms/${id}/release-intent`, {});
    const { op, intent_hash } = first as { op: string; intent_hash: string };
    const mine = { op, intent_hash, proof: await world.keyProof(intent_hash) };
    const proven = await world.ask('POST', `/v1/vms/${id}/release`, mine);
    expect([proven.status, proven.body['quarantine']]).toEqual([202, expect.anything()]);
    expect(await agent.connect()).toBe(REFUSED);
    expect((await world.ask('POST', `/v1/vms/${id}/release`, mine)).status).toBe(403);
    const { body: second } = await world.ask('POST', `/v1/vms/${id}/release-intent`, {}, bob.headers);
    expect(second).toMatchObject({ op, intent_hash, awaits: 'second' });
    const theirs = { op, intent_hash, proof: await world.keyProof(intent_hash, bob.key) };
    const released = await world.ask('POST', `/v1/vms/${id}/release`, theirs, bob.headers);
    expect([released.status, released.body['quarantine']]).toEqual([200, null]);
    expect(await agent.connect()).toBeNull();
  });

  test('of a held identity is not let in by a wrong proof, which is the end of that intent', async () => {
    const agent = await world.machine();
    await agent.clone().connect();
    const { id } = await world.vmOf(agent);
    const { body: built } = await world.ask('POST', `/v1/vms/${id}/release-intent`, {});
    const { op, intent_hash } = built as { op: string; intent_hash: string };
    const wrong = await world.keyProof(random32());
    const refused = await world.ask('POST', `/v1/vms/${id}/release`, { op, intent_hash, proof: wrong });
    expect(refused.status).toBe(403);
    const late = { op, intent_hash, proof: await world.keyProof(intent_hash) };
    expect((await world.ask('POST', `/v1/vms/${id}/release`, late)).body['code']).toBe('AUTHZ_INVALID');
    expect(await heldFor(agent)).toBe('CLONE_SUSPECTED');
  });

  test('of a held identity starts nothing: a draft is AGENT_QUARANTINED', async () => {
    const agent = await world.machine();
    const draft = await world.draft(agent);
    await agent.answerPrepare();
    await world.until(draft.op, 'PREPARED');
    await agent.clone().connect();
    const { id } = await world.vmOf(agent);
    const another = await world.ask('POST', '/v1/operations', { vm: id, account: { mode: 'generated' } });
    expect([another.status, another.body['code']]).toEqual([409, 'AGENT_QUARANTINED']);
    const secret = { mode: 'generated', recipient_jwk: await world.recipient() };
    const intent = await world.ask('POST', `/v1/operations/${draft.op}/intent`, { account: { secret } });
    expect(intent.body['code']).toBe('AGENT_QUARANTINED');
  });

  test('while the first is open and answers no more replaces it, and flags nothing', async () => {
    const agent = await world.machine();
    const dead = agent.wire;
    dead.ws.pause();
    expect(await agent.connect()).toBeNull();
    dead.ws.resume();
    expect(await dead.closed).toBe(1006);
    expect(await flagsOf(agent)).toEqual([]);
    expect(await heldFor(agent)).toBeUndefined();
  });

  test('after the first is gone flags nothing', async () => {
    const agent = await world.machine();
    agent.wire.ws.terminate();
    expect(await agent.connect()).toBeNull();
    expect(await flagsOf(agent)).toEqual([]);
  });
});

describe('a frame', () => {
  test('that is binary, not JSON, unknown or not for this moment ends the connection', async () => {
    const agent = await world.machine();
    for (const spoil of [
      (wire: Wire) => wire.ws.send(Buffer.from('{"t":"synced","open":null}'), { binary: true }),
      (wire: Wire) => wire.ws.send('{'),
      (wire: Wire) => wire.ws.send('{"t":"synced","open":null,"more":1}'),
      (wire: Wire) => wire.ws.send('{"t":"synced", "open":null}'),
      (wire: Wire) => wire.ws.send('{"t":"reroot"}'),
      (wire: Wire) => wire.ws.send('[[[[[[[]]]]]]]'),
      (wire: Wire) => wire.send({ t: 'hello_ok', ctr: 1 }),
    ]) {
      spoil(agent.wire);
      expect(await agent.wire.closed).toBe(REFUSED);
      await agent.online();
    }
  });

  test('56 one byte over the limit is 1009, at the limit it is read', async () => {
    const wire = await new Wire(world.agentUrl).opened();
    wire.ws.send('x'.repeat(FRAME_BYTES_MAX + 1));
    expect(await wire.closed).toBe(1009);
    const other = await new Wire(world.agentUrl).opened();
    other.ws.send('x'.repeat(FRAME_BYTES_MAX));
    expect(await other.closed).toBe(REFUSED);
  });

  test('nested 30,000 deep is refused and the gateway lives', async () => {
    const wire = await new Wire(world.agentUrl).opened();
    wire.ws.send('['.repeat(30_000) + ']'.repeat(30_000));
    expect(await wire.closed).toBe(REFUSED);
    expect((await world.ask('GET', '/healthz')).status).toBe(200);
  });

  test('after a close is not acted upon', async () => {
    const agent = await world.machine();
    const { id } = await world.vmOf(agent);
    agent.wire.ws.send('{');
    agent.wire.send({ t: 'facts', facts: agent.facts('late') });
    await agent.wire.closed;
    await world.eventually(async () => ((await world.vmOf(agent)).online ? null : true), 'the machine to be offline');
    expect((await world.events(id)).map(({ type }) => type)).not.toContain('vm.facts');
  });
});

test('a machine that talks without end is listened to at a bounded rate', async () => {
  const agent = await world.machine();
  const startedMs = performance.now();
  for (let count = 0; count < 600; count += 1) agent.wire.send({ t: 'facts', facts: agent.facts(`h${count}`) });
  const told = async () => (await world.events()).filter(({ type }) => type === 'vm.facts').length;
  await world.eventually(async () => ((await told()) >= 190 ? true : null), 'the first of them');
  await sleep(2_000);
  const found = await told();
  const earned = ((performance.now() - startedMs) / 1_000) * FRAMES_PER_SECOND;
  expect(found).toBeLessThanOrEqual(FRAMES_AT_ONCE + earned);
  expect((await world.vmOf(agent)).online).toBe(true);
});

describe('the door', () => {
  const statusOf = (headers: Record<string, string>, path = '/agent/v1') =>
    new Promise<number>((resolve, reject) => {
      const ws = new WebSocket(world.agentUrl.replace('/agent/v1', path), { headers });
      ws.once('unexpected-response', (_request, response) => {
        resolve(response.statusCode ?? 0);
        ws.terminate();
      });
      ws.once('open', () => {
        resolve(101);
        ws.terminate();
      });
      ws.on('error', reject);
    });

  test('is closed to browsers: an Origin or a Cookie is refused', async () => {
    expect(await statusOf({ origin: 'https://console.test' })).toBe(403);
    expect(await statusOf({ origin: 'null' })).toBe(403);
    expect(await statusOf({ cookie: 'a=b' })).toBe(403);
    expect(await statusOf({})).toBe(101);
  });

  test('is at one path', async () => {
    expect(await statusOf({}, '/agent/v2')).toBe(404);
    expect(await statusOf({}, '/agent/v1/../v1x')).toBe(404);
  });

  test('stands when the target of an upgrade is no URL', async () => {
    const { port } = new URL(world.origin);
    for (const target of ['//', 'http://[', '///agent/v1', '*']) {
      const socket = connect(Number(port), '127.0.0.1');
      let answer = '';
      socket.setEncoding('utf8').on('data', (chunk: string) => {
        answer += chunk;
      });
      socket.write(
        `GET ${target} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n`,
      );
      await once(socket, 'close');
      expect(answer, target).toMatch(/^HTTP\/1\.1 404 /);
    }
    expect(await statusOf({})).toBe(101);
  });

  test('answers a plain request like any unknown path, and offers no compression', async () => {
    expect((await world.ask('GET', '/agent/v1')).body['code']).toBe('NOT_FOUND');
    const wire = await new Wire(world.agentUrl).opened();
    expect(wire.ws.extensions).toBe('');
  });

  test('63 lets a bounded number of strangers in at a time, and those who are in stay in', async () => {
    await world.stop();
    world = await World.start({ handshakesMax: 8 });
    const agent = await world.machine();
    const strangers = Array.from({ length: 60 }, () => connect(Number(new URL(world.origin).port), '127.0.0.1'));
    const upgrade =
      'GET /agent/v1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
    const answers = await Promise.all(
      strangers.map(
        (socket) =>
          new Promise<string>((resolve) => {
            socket.on('error', () => resolve('error'));
            socket.once('data', (data) => resolve(data.toString('latin1').slice(9, 12)));
            socket.write(upgrade);
          }),
      ),
    );
    expect(answers.filter((answer) => answer === '101')).toHaveLength(8);
    expect(answers.filter((answer) => answer === '503')).toHaveLength(52);
    agent.wire.send({ t: 'facts', facts: agent.facts('still-here') });
    await world.eventually(
      async () => ((await world.events()).some(({ type }) => type === 'vm.facts') ? true : null),
      'the machine’s facts',
    );
    for (const socket of strangers) socket.destroy();
  });

  test('closes for a while to an address whose handshakes keep failing', async () => {
    await world.stop();
    world = await World.start({ failuresPerMinuteMax: 3 });
    for (let n = 0; n < 3; n += 1) {
      const wire = await new Wire(world.agentUrl).opened();
      wire.ws.send('{');
      await wire.closed;
    }
    await world.eventually(async () => ((await statusOf({})) === 503 ? true : null), 'the door to close');
  });

  test('does not wait for an upgrade that is never finished', async () => {
    const port = Number(new URL(world.origin).port);
    const half = request({ port, path: '/agent/v1', headers: { connection: 'Upgrade', upgrade: 'websocket' } });
    half.on('error', () => undefined);
    half.end();
    const status = await new Promise<number>((resolve) =>
      half.once('response', ({ statusCode }) => resolve(statusCode ?? 0)),
    );
    expect(status).toBeGreaterThanOrEqual(400);
  });
});
