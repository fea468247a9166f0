// Prepare, command, cancel: what a machine is told, and what becomes of a command that got lost.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { command as commandSchema } from '../../../protocol/command.ts';
import { readIntent } from '../../../protocol/intent.ts';
import { sealingKeyFromSeed } from '../../../protocol/keys.ts';
import { parseSchema } from '../../../protocol/schema.ts';
import { payloadOf } from '../../../protocol/token.ts';
import { random32, type ScriptedAgent } from '../scripted-agent.ts';
import { World } from '../world.ts';

let world: World;
let agent: ScriptedAgent;
beforeEach(async () => {
  world = await World.start();
  agent = await world.machine();
});
afterEach(() => world.stop());

const commandOf = (token: string) => parseSchema(commandSchema, payloadOf(token));
/** The same answer twice at some distance: nothing comes of it. */
const stays = async (op: string, state: string) => {
  await world.gateway.look();
  expect(await world.operation(op)).toMatchObject({ state });
};

describe('being ready', () => {
  test('is offered with the agent’s own signature, and is gone with the connection', async () => {
    const draft = await world.draft(agent);
    await agent.answerPrepare();
    const prepared = await world.until(draft.op, 'PREPARED');
    expect(payloadOf(prepared.ready ?? '')).toMatchObject({ op: draft.op, agent: agent.agent });
    expect(prepared).toMatchObject({ account: { name: 'root', uid: 0, state: 'active' }, vnc_servers: agent.vnc });
    await agent.offline();
    expect(await world.until(draft.op, 'QUEUED')).toMatchObject({ ready: null });
  });

  test('for another agent, or with a nonce that was seen before, counts for nothing', async () => {
    const draft = await world.draft(agent);
    await agent.wire.next('prepare');
    const cn = random32();
    await agent.sayReady(draft.op, { cn });
    await world.until(draft.op, 'PREPARED');
    const second = await world.draft(agent);
    await agent.wire.next('prepare');
    await agent.sayReady(second.op, { cn });
    const { id } = await world.vmOf(agent);
    await world.eventually(
      async () => ((await world.events(id)).some(({ data }) => data['reason'] === 'nonce_repeated') ? true : null),
      'the alarm',
    );
    await stays(second.op, 'QUEUED');
    await agent.sayReady(second.op, { agent: `agt_${'0'.repeat(26)}` });
    expect(await agent.wire.closed).toBe(1008);
  });

  test('for a newer draft voids that for the older one', async () => {
    const older = await world.draft(agent);
    await agent.answerPrepare();
    await world.until(older.op, 'PREPARED');
    const newer = await world.draft(agent);
    expect(await agent.answerPrepare()).toBe(newer.op);
    await world.until(newer.op, 'PREPARED');
    expect(await world.operation(older.op)).toMatchObject({ state: 'QUEUED', ready: null });
    // Nobody asks for the older one any more.
    await agent.sayReady(older.op);
    const { cn } = await agent.sayReady(newer.op);
    await world.eventually(async () => {
      const { ready } = await world.operation(newer.op);
      return ready && (payloadOf(ready) as { cn: string }).cn === cn ? true : null;
    }, 'the newest word');
    await stays(older.op, 'QUEUED');
  });

  test('for another operation than it is said for ends the connection', async () => {
    const draft = await world.draft(agent);
    await agent.wire.next('prepare');
    await agent.sayReady(draft.op, { op: `op_${'0'.repeat(26)}` });
    expect(await agent.wire.closed).toBe(1008);
    await stays(draft.op, 'QUEUED');
  });

  test('lasts its time and is asked for again', async () => {
    const draft = await world.draft(agent);
    await agent.answerPrepare();
    await world.until(draft.op, 'PREPARED');
    world.now += 590_000;
    await world.gateway.look();
    expect(await agent.answerPrepare()).toBe(draft.op);
    await world.until(draft.op, 'PREPARED');
  });

  test('refused by another machine is nothing', async () => {
    const draft = await world.draft(agent);
    await agent.answerPrepare();
    await world.until(draft.op, 'PREPARED');
    const stranger = await world.machine('stranger');
    stranger.wire.send({ t: 'refused', op: draft.op, code: 'BUSY' });
    stranger.wire.send({ t: 'facts', facts: stranger.facts('later') });
    const { id } = await world.vmOf(stranger);
    await world.eventually(
      async () => ((await world.events(id)).some(({ type }) => type === 'vm.facts') ? true : null),
      'what the stranger said later',
    );
    const { state, ready, reason } = await world.operation(draft.op);
    expect([state, ready === null, reason]).toEqual(['PREPARED', false, null]);
  });

  test('refused leaves the operation where it is, with the reason', async () => {
    const draft = await world.draft(agent);
    await agent.wire.next('prepare');
    agent.wire.send({ t: 'refused', op: draft.op, code: 'EXECUTOR_UNAVAILABLE' });
    await world.eventually(
      async () => ((await world.operation(draft.op)).reason === 'EXECUTOR_UNAVAILABLE' ? true : null),
      'the reason',
    );
    await stays(draft.op, 'QUEUED');
    world.now += 2_001;
    await world.gateway.look();
    expect(await agent.answerPrepare()).toBe(draft.op);
    expect(await world.until(draft.op, 'PREPARED')).toMatchObject({ reason: null });
  });
});

describe('a command that was sent into a connection that broke', () => {
  test('is given again with a new nonce when the machine knows nothing of it', async () => {
    const { op, token } = await world.sent(agent);
    await agent.offline();
    await agent.online();
    expect(await agent.answerPrepare()).toBe(op);
    const again = await agent.takeCommand();
    expect(commandOf(again.token).cn).not.toBe(commandOf(token).cn);
    expect(commandOf(again.token).intent).toBe(commandOf(token).intent);
    await agent.carryOut(op);
    await world.until(op, 'DONE');
  });

  test('is left alone while the machine works on it', async () => {
    const { op } = await world.sent(agent);
    await agent.offline();
    await agent.online(op);
    await stays(op, 'SENT');
    expect(agent.wire.waiting('prepare')).toBe(0);
    await agent.report(op, 'ACCEPTED');
    await world.until(op, 'ACCEPTED');
  });

  test('is over when its password was typed: nobody can open it any more', async () => {
    const body = { account: { mode: 'typed' } };
    const draft = await world.draft(agent, body);
    await agent.answerPrepare();
    await world.until(draft.op, 'PREPARED');
    const secret = { mode: 'typed', sealed: 'aaaa..bbbb.cccc.dddd' };
    const { body: built } = await world.ask('POST', `/v1/operations/${draft.op}/intent`, { account: { secret } });
    await world.ask('POST', `/v1/operations/${draft.op}/submit`, await world.keyProof(String(built['intent_hash'])));
    const { token } = await agent.takeCommand();
    expect(commandOf(token).sealed).toEqual({ account: secret.sealed });
    await agent.offline();
    await agent.online();
    expect(await world.until(draft.op, 'EXPIRED')).toMatchObject({ code: 'READY_EXPIRED' });
  });

  test('and never answered on a whole connection ends with it, 30 seconds after its end', async () => {
    const { op } = await world.sent(agent);
    world.now += 149_000;
    await stays(op, 'SENT');
    world.now += 3_000;
    await stays(op, 'EXPIRED');
  });
});

describe('a cancel', () => {
  test('before anything was sent is immediate, and a second one changes nothing', async () => {
    const draft = await world.draft(agent);
    for (let n = 0; n < 2; n += 1) {
      const { status, body } = await world.ask('POST', `/v1/operations/${draft.op}/cancel`);
      expect({ status, state: body['state'], code: body['code'] }).toEqual({
        status: 200,
        state: 'CANCELLED',
        code: 'CANCELLED',
      });
    }
  });

  test('of what the agent holds is a signed command; the agent’s receipt decides', async () => {
    const { op, token } = await world.sent(agent);
    await agent.report(op, 'ACCEPTED');
    await agent.report(op, 'WAITING', { detail: { grace_s: 600 } });
    const { body } = await world.ask('POST', `/v1/operations/${op}/cancel`, {});
    expect(body['state']).toBe('WAITING');
    const cancel = commandOf((await agent.wire.next('cancel')).token);
    expect(cancel).toMatchObject({ op, cn: commandOf(token).cn, authz: { method: 'session', operator: 'admin' } });
    expect(readIntent(cancel.intent ?? '').act).toBe('cancel');
    await agent.report(op, 'CANCELLED');
    expect(await world.until(op, 'CANCELLED')).toMatchObject({ ended: true });
  });

  test('that overtook its command and was refused is sent again', async () => {
    const { op } = await world.sent(agent);
    await world.ask('POST', `/v1/operations/${op}/cancel`);
    await agent.wire.next('cancel');
    agent.wire.send({ t: 'refused', op, code: 'NONCE_UNKNOWN' });
    await agent.report(op, 'ACCEPTED');
    await agent.report(op, 'WAITING', { detail: { grace_s: 600 } });
    await world.gateway.look();
    expect(agent.wire.waiting('cancel')).toBe(0);
    world.now += 2_000;
    await world.gateway.look();
    expect((await agent.wire.next('cancel')).op).toBe(op);
  });

  test('reaches a machine that was away when it was asked for', async () => {
    const { op } = await world.sent(agent);
    await agent.report(op, 'ACCEPTED');
    await agent.offline();
    await world.ask('POST', `/v1/operations/${op}/cancel`);
    await agent.online(op);
    expect((await agent.wire.next('cancel')).op).toBe(op);
  });

  test('of what has ended otherwise is a conflict', async () => {
    const { op } = await world.sent(agent);
    await agent.report(op, 'REFUSED', { code: 'ENV_REFUSED' });
    await world.until(op, 'REFUSED');
    const { status, body } = await world.ask('POST', `/v1/operations/${op}/cancel`);
    expect([status, body['code']]).toEqual([409, 'STATE_CONFLICT']);
  });
});

describe('while a command is being signed', () => {
  const approved = async () => {
    const draft = await world.draft(agent);
    await agent.answerPrepare();
    await world.until(draft.op, 'PREPARED');
    return draft;
  };

  test('a cancel wins: the command is never sent', async () => {
    const draft = await approved();
    world.meanwhile.set('command.mint', () => world.ask('POST', `/v1/operations/${draft.op}/cancel`));
    await world.approve(draft);
    await world.until(draft.op, 'CANCELLED');
    await stays(draft.op, 'CANCELLED');
    expect(agent.wire.waiting('command')).toBe(0);
  });

  test('a machine that goes away gets another one when it is back', async () => {
    const draft = await approved();
    const gone = Promise.withResolvers<void>();
    world.meanwhile.set('command.mint', async () => {
      await agent.offline();
      await world.until(draft.op, 'QUEUED');
      gone.resolve();
    });
    await world.approve(draft);
    await gone.promise;
    await agent.online();
    await agent.answerPrepare();
    expect((await agent.takeCommand()).op).toBe(draft.op);
  });

  test('an answer that is lost costs the executor and not the operation', async () => {
    const draft = await approved();
    world.lost.add('command.mint');
    await world.approve(draft);
    await world.eventually(async () => (world.lost.size === 0 ? true : null), 'the answer to be lost');
    await world.gateway.look();
    await agent.answerPrepare();
    expect((await agent.takeCommand()).op).toBe(draft.op);
    expect(await world.operation(draft.op)).toMatchObject({ state: 'SENT', code: null });
  });
});

describe('a signer that is away', () => {
  test('lets nothing through and says so; what was approved is sent when it is back', async () => {
    const draft = await world.draft(agent);
    await agent.answerPrepare();
    await world.until(draft.op, 'PREPARED');
    const { intent_hash } = await world.intent(draft);
    await world.stopSigner();
    const refused = await world.ask('POST', `/v1/operations/${draft.op}/submit`, await world.keyProof(intent_hash));
    expect([refused.status, refused.body['code']]).toEqual([503, 'SIGNER_UNAVAILABLE']);
    expect(await world.operation(draft.op)).toMatchObject({ state: 'PREPARED', approved: false });
    await world.startSigner();
    await world.ask('POST', `/v1/operations/${draft.op}/submit`, await world.keyProof(intent_hash));
    expect((await agent.takeCommand()).op).toBe(draft.op);
  });

  test('a seal key of another ready than the intent’s is refused before a code is spent', async () => {
    const draft = await world.draft(agent, { account: { mode: 'typed' } });
    await agent.answerPrepare();
    await world.until(draft.op, 'PREPARED');
    const secret = { mode: 'typed', sealed: 'aaaa..bbbb.cccc.dddd' };
    const { body } = await world.ask('POST', `/v1/operations/${draft.op}/intent`, { account: { secret } });
    await agent.offline();
    await agent.online();
    await agent.answerPrepare({ seal: (await sealingKeyFromSeed(new Uint8Array(32).fill(7))).jwk });
    await world.until(draft.op, 'PREPARED');
    const proof = await world.keyProof(String(body['intent_hash']));
    const refused = await world.ask('POST', `/v1/operations/${draft.op}/submit`, proof);
    expect([refused.status, refused.body['code']]).toEqual([409, 'READY_EXPIRED']);
  });
});
