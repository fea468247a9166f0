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
