// Whole operations against a scripted agent: from a wish to DONE, online and offline.

import { TOTP, Secret as TotpSecret } from 'otpauth';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { command as commandSchema } from '../../protocol/command.ts';
import { readIntent } from '../../protocol/intent.ts';
import { parseSchema } from '../../protocol/schema.ts';
import { payloadOf } from '../../protocol/token.ts';
import { World } from './world.ts';

let world: World;
beforeEach(async () => {
  world = await World.start();
});
afterEach(() => world.stop());

describe('an operation', () => {
  test('goes from a draft to DONE with a key as its proof', async () => {
    const agent = await world.machine('web');
    const { op, token } = await world.sent(agent);
    const command = parseSchema(commandSchema, payloadOf(token));
    expect(command.aud).toBe(agent.agent);
    expect(command.authz).toMatchObject({ operator: 'admin', method: 'key', proof: { kid: world.key.kid } });
    expect(readIntent(command.intent ?? '')).toMatchObject({
      op,
      act: 'reset',
      method: 'online',
      account: { name: null, uid: 0 },
    });
    await agent.carryOut(op);
    const done = await world.until(op, 'DONE');
    expect(done.verified).toEqual({ account: true, vnc: 'absent', reboot: true });
    expect(done.account).toMatchObject({ name: 'root', uid: 0 });
    expect(done.boot_after).toBe(agent.boot);
    expect(done.receipts.map(({ state }) => state)).toEqual([
      'ACCEPTED',
      'PASSWORD_SET',
      'REBOOTING',
      'BOOTED',
      'DONE',
    ]);
    const moves = (await world.events(op))
      .filter(({ type }) => type === 'operation.state')
      .map(({ data }) => data['state']);
    expect(moves).toEqual(['PREPARED', 'SENT', 'ACCEPTED', 'PASSWORD_SET', 'REBOOTING', 'BOOTED', 'DONE']);
  });

  test('tells how long each state lasted, and by whose clock', async () => {
    const agent = await world.machine();
    const { op } = await world.sent(agent);
    world.now += 3_000;
    await agent.report(op, 'ACCEPTED', { mono: 5_000 });
    world.now += 60_000;
    await agent.report(op, 'PASSWORD_SET', { mono: 5_400 });
    await agent.report(op, 'REBOOTING', { mono: 5_450 });
    await agent.offline();
    const before = agent.boot;
    agent.boot = '00000000-0000-4000-8000-00000000000b';
    world.now += 14_000;
    await agent.online(op);
    await world.until(op, 'REBOOTING');
    await agent.report(op, 'BOOTED', { mono: 800, detail: { boot_before: before, boot_after: agent.boot } });
    const view = await world.operation(op);
    expect(view.times.filter(({ n }) => n !== null)).toEqual([
      { state: 'SENT', ms: 3_000, measured_by: 'control_plane', to: 'ACCEPTED', n: 1 },
      { state: 'ACCEPTED', ms: 400, measured_by: 'machine', to: 'PASSWORD_SET', n: 2 },
      { state: 'PASSWORD_SET', ms: 50, measured_by: 'machine', to: 'REBOOTING', n: 3 },
      { state: 'REBOOTING', ms: 14_000, measured_by: 'control_plane', to: 'BOOTED', n: 4 },
    ]);
    world.now += 1_500;
    expect((await world.operation(op)).state_ms).toBe(1_500);
    const event = (await world.events(op)).findLast(({ type }) => type === 'operation.state');
    expect(event?.data).toEqual({
      from: 'REBOOTING',
      state: 'BOOTED',
      code: null,
      n: 4,
      spent_ms: 14_000,
      measured_by: 'control_plane',
    });
  });

  test('does not make up a time for a reboot that it heard of only afterwards', async () => {
    const agent = await world.machine();
    const { op } = await world.sent(agent);
    await agent.report(op, 'ACCEPTED', { mono: 5_000 });
    await agent.offline();
    const waited = [await agent.write(op, 'PASSWORD_SET', { mono: 5_400 }), await agent.write(op, 'REBOOTING')];
    agent.boot = '00000000-0000-4000-8000-00000000000b';
    waited.push(await agent.write(op, 'BOOTED'), await agent.write(op, 'DONE', { mono: 700 }));
    await agent.connect();
    for (const token of waited) agent.sendReceipt(token);
    const { times } = await world.until(op, 'DONE');
    expect(times.filter(({ n }) => n !== null && n > 1)).toMatchObject([
      { state: 'ACCEPTED', ms: 400, measured_by: 'machine' },
      { state: 'PASSWORD_SET', measured_by: null },
      { state: 'REBOOTING', ms: null, measured_by: null },
      { state: 'BOOTED', ms: 699, measured_by: 'machine' },
    ]);
  });

  test('goes from a draft to a command with a code as its proof', async () => {
    const { totp_uri } = await world.admin('operator.add', { name: 'admin' });
    const secret = TotpSecret.fromBase32(new URL(totp_uri ?? '').searchParams.get('secret') ?? '');
    const agent = await world.machine();
    const draft = await world.draft(agent);
    await agent.answerPrepare();
    await world.until(draft.op, 'PREPARED');
    expect((await world.intent(draft)).methods.toSorted()).toEqual(['key', 'totp']);
    const code = new TOTP({ secret }).generate({ timestamp: world.now });
    const answer = await world.ask('POST', `/v1/operations/${draft.op}/submit`, { method: 'totp', code });
    expect(answer.status).toBe(200);
    const { token } = await agent.takeCommand();
    const { authz } = parseSchema(commandSchema, payloadOf(token));
    expect(authz.method).toBe('totp');
    expect(authz.proof).toBeUndefined();
  });

  test('approved while the machine is away is sent when it comes', async () => {
    const agent = await world.enrolled();
    const draft = await world.draft(agent);
    const approved = await world.approve(draft, { valid_s: 3_600 });
    expect(approved.body).toMatchObject({ state: 'QUEUED', approved: true });
    await agent.online();
    await agent.answerPrepare();
    const { op } = await agent.takeCommand();
    expect(op).toBe(draft.op);
  });

  test('keeps generated secrets until they are collected, and no longer', async () => {
    const agent = await world.machine();
    const { op } = await world.sent(agent);
    const account = 'aaaa..bbbb.cccc.dddd';
    await agent.report(op, 'ACCEPTED');
    await agent.report(op, 'SECRET_READY', { sealed: { account } });
    expect((await world.operation(op)).sealed).toEqual({ account });
    const collected = await world.ask('POST', `/v1/operations/${op}/collected`);
    expect(collected.body).toMatchObject({ sealed: null, collected: true });
    expect((await world.ask('POST', `/v1/operations/${op}/collected`)).status).toBe(200);
    const { record_json } = await world.store.db
      .selectFrom('operations')
      .select('record_json')
      .where('op', '=', op)
      .executeTakeFirstOrThrow();
    expect(record_json).not.toContain(account);
  });
});
