// Verification over HTTP: each method from its start to the command that follows, a second person, and what nobody gets around.

import { TOTP, Secret as TotpSecret } from 'otpauth';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { demandOperatorProof } from '../../../agent/executor/operator-proof.ts';
import type { OperationView } from '../../../control-plane/api/schemas.ts';
import { type Command, command as commandSchema } from '../../../protocol/command.ts';
import { type ResetIntent, readIntent } from '../../../protocol/intent.ts';
import type { RootPayload } from '../../../protocol/root.ts';
import { parseSchema } from '../../../protocol/schema.ts';
import { payloadOf } from '../../../protocol/token.ts';
import { codeFrom } from '../../protocol/refusal.ts';
import { sampleRoot } from '../../protocol/samples.ts';
import { SoftwarePasskey } from '../../protocol/software-passkey.ts';
import type { ScriptedAgent } from '../scripted-agent.ts';
import { type Answer, World } from '../world.ts';

let world: World;
let agent: ScriptedAgent;
beforeEach(async () => {
  world = await World.start();
  agent = await world.machine('web-1');
});
afterEach(() => world.stop());

/** A draft for which an executor waits, and its intent. */
async function prepared(): Promise<{ draft: OperationView; intent_hash: string; methods: readonly string[] }> {
  const draft = await world.draft(agent);
  await agent.answerPrepare();
  await world.until(draft.op, 'PREPARED');
  const { intent_hash, methods } = await world.intent(draft);
  return { draft, intent_hash, methods };
}

const submit = (op: string, body?: unknown, headers: Record<string, string> = {}) =>
  world.ask('POST', `/v1/operations/${op}/submit`, body, headers);
const start = (op: string, method: 'email' | 'passkey') =>
  world.ask('POST', `/v1/operations/${op}/factors/${method}`, {});
const said = ({ status, body }: Answer) => [status, body['code']];

/** The command that reached the machine, as its executor reads it. */
async function commandTaken(): Promise<{ command: Command; intent: ResetIntent; bytes: string }> {
  const command = parseSchema(commandSchema, payloadOf((await agent.takeCommand()).token));
  const bytes = command.intent ?? '';
  return { command, intent: readIntent(bytes) as ResetIntent, bytes };
}

async function invite(operator: string): Promise<string> {
  return (await world.admin('operator.add', { name: operator, passkey: true })).passkey_invitation ?? '';
}

async function registered(headers: Record<string, string> = {}, operator = 'admin'): Promise<SoftwarePasskey> {
  const invitation = await invite(operator);
  const asked = await world.ask('POST', '/v1/passkeys/options', { invitation }, headers);
  const { challenge, rp } = asked.body['options'] as { challenge: string; rp: { id: string } };
  const passkey = new SoftwarePasskey({ origin: world.origin.replace('127.0.0.1', 'localhost'), rpId: rp.id });
  const answer = await world.ask(
    'POST',
    '/v1/passkeys',
    { invitation, response: passkey.register(challenge) },
    headers,
  );
  if (answer.status !== 201) throw new Error(`no passkey: ${JSON.stringify(answer.body)}`);
  return passkey;
}

describe('an operation', () => {
  test('that nobody proved is 403 and never becomes a command', async () => {
    const { draft } = await prepared();
    for (const body of [undefined, {}, { code: '123456' }]) {
      expect(said(await submit(draft.op, body))).toEqual([403, 'AUTHZ_INVALID']);
    }
    expect(await world.operation(draft.op)).toMatchObject({ state: 'PREPARED', approved: false });
  });

  test('is approved by a code that was mailed for it, in the signer’s own letter', async () => {
    await world.admin('operator.add', { name: 'admin', email: 'admin@example.org' });
    const { draft, intent_hash, methods } = await prepared();
    expect(methods.toSorted()).toEqual(['email', 'key']);
    const mailed = await start(draft.op, 'email');
    expect(mailed).toMatchObject({ status: 200, body: { sent_to: 'a***@example.org' } });
    const [letter] = world.letters;
    expect(letter).toMatchObject({ to: 'admin@example.org', text: expect.stringContaining('web-1') });
    const code = /^ {4}([0-9]{8})$/m.exec(letter?.text ?? '')?.[1];
    // Nothing but the letter has the code: no answer, no log, no table of the control plane.
    expect(JSON.stringify([mailed.body, world.logged, await world.events()])).not.toContain(code);
    expect((await submit(draft.op, { method: 'email', code, intent_hash })).status).toBe(200);
    expect((await commandTaken()).command.authz).toMatchObject({ operator: 'admin', method: 'email' });
  });

  test('is approved by a passkey, with a proof that machines accept and would refuse for anybody else', async () => {
    const passkey = await registered();
    const { draft, intent_hash } = await prepared();
    const { body } = await start(draft.op, 'passkey');
    const { challenge } = body['options'] as { challenge: string };
    expect(challenge).toBe(intent_hash);
    const answer = await submit(draft.op, { method: 'passkey', response: passkey.assert(challenge) });
    expect(answer.status).toBe(200);
    const order = await commandTaken();
    const { operators } = await world.admin('operator.keys', {});
    const root = (named: RootPayload['roles']['operators']): RootPayload => ({
      ...sampleRoot(),
      roles: { ...sampleRoot().roles, ...(named ? { operators: named } : {}) },
      policy: { ...sampleRoot().policy, require_operator_proof: true },
    });
    await demandOperatorProof(root(operators), order);
    const { admin } = operators;
    expect(await codeFrom(() => demandOperatorProof(root({ other: admin as never }), order))).toBe('AUTHZ_INVALID');
  });

  test('with a passkey’s assertion for another one is void', async () => {
    const passkey = await registered();
    const [one, two] = [await world.draft(agent), await world.draft(agent)];
    const { intent_hash } = await world.intent(one);
    await world.intent(two);
    const crossed = await submit(two.op, { method: 'passkey', response: passkey.assert(intent_hash) });
    expect(said(crossed)).toEqual([403, 'AUTHZ_INVALID']);
    expect(await world.operation(two.op)).toMatchObject({ state: 'REFUSED', code: 'AUTHZ_INVALID' });
    expect(await world.operation(one.op)).toMatchObject({ ended: false });
  });

  test('whose code was meant for an intent that has changed since is void', async () => {
    const [code = ''] = (await world.admin('operator.add', { name: 'admin', recovery: true })).recovery_codes;
    const { draft, intent_hash } = await prepared();
    await world.intent(draft);
    expect(said(await submit(draft.op, { method: 'recovery', code, intent_hash }))).toEqual([403, 'AUTHZ_INVALID']);
    expect(await world.operation(draft.op)).toMatchObject({ state: 'REFUSED', code: 'AUTHZ_INVALID' });
  });

  test('is not approved by a method that policy does not allow', async () => {
    const [code = ''] = (await world.admin('operator.add', { name: 'admin', recovery: true })).recovery_codes;
    await world.admin('policy.set', { methods: ['key'] });
    const { draft, intent_hash, methods } = await prepared();
    expect(methods).toEqual(['key']);
    expect(said(await submit(draft.op, { method: 'recovery', code }))).toEqual([403, 'FACTOR_NOT_ALLOWED']);
    expect((await submit(draft.op, await world.keyProof(intent_hash))).status).toBe(200);
  });
});

describe('a passkey', () => {
  test('is registered by the operator who was invited and by nobody else, and history says so', async () => {
    const bob = await world.operator('bob');
    const invitation = await invite('admin');
    const asked = await world.ask('POST', '/v1/passkeys/options', { invitation }, bob.headers);
    expect(said(asked)).toEqual([403, 'AUTHZ_INVALID']);
    await registered(bob.headers, 'bob');
    expect((await world.events()).filter(({ type }) => type === 'operator.passkey')).toMatchObject([
      { data: { operator: 'bob' } },
    ]);
  });
});

describe('a second person', () => {
  test('reads the same intent and approves it; the first one’s proof alone is no approval', async () => {
    const bob = await world.operator('bob');
    await world.admin('policy.set', { second_person: true });
    const { draft, intent_hash } = await prepared();
    const first = await submit(draft.op, await world.keyProof(intent_hash));
    expect(first).toMatchObject({ status: 200, body: { approved: false, awaits_second: true, state: 'PREPARED' } });
    // Neither twice by the same person, nor with another intent in between.
    expect(said(await submit(draft.op, await world.keyProof(intent_hash)))).toEqual([403, 'AUTHZ_INVALID']);
    const secret = { mode: 'generated', recipient_jwk: await world.recipient() };
    const again = await world.ask('POST', `/v1/operations/${draft.op}/intent`, { account: { secret } });
    expect(again.body['code']).toBe('STATE_CONFLICT');
    const shown = await world.ask('GET', `/v1/operations/${draft.op}/intent`, undefined, bob.headers);
    expect(shown.body).toMatchObject({
      intent_hash,
      awaits: 'second',
      methods: ['key'],
      summary: { operator: 'admin' },
    });
    const second = await submit(draft.op, await world.keyProof(intent_hash, bob.key), bob.headers);
    expect(second).toMatchObject({ status: 200, body: { approved: true, awaits_second: false } });
    expect((await commandTaken()).command.authz).toMatchObject({ operator: 'admin', method: 'key' });
    const types = (await world.events(draft.op)).map(({ type, data }) => [type, data['operator']]);
    expect(types).toContainEqual(['operation.proven', 'admin']);
    expect(types).toContainEqual(['operation.approved', 'bob']);
  });
});

describe('alarms', () => {
  test('of a code that was used twice, and of a recovery, are in the history once each', async () => {
    const { totp_uri } = await world.admin('operator.add', { name: 'admin' });
    const secret = TotpSecret.fromBase32(new URL(totp_uri ?? '').searchParams.get('secret') ?? '');
    const code = new TOTP({ secret }).generate({ timestamp: world.now });
    const proven = async (machine: ScriptedAgent) => {
      const { op } = await world.draft(machine);
      await world.intent(await world.operation(op));
      return submit(op, { method: 'totp', code });
    };
    expect((await proven(agent)).status).toBe(200);
    const other = await world.machine('web-2');
    expect(await proven(other)).toMatchObject({ status: 403, body: { code: 'FACTOR_REFUSED' } });
    await world.admin('operator.recover', { name: 'admin' });
    expect((await proven(other)).body['code']).toBe('FACTOR_REFUSED');
    const alarms = (await world.events()).filter(({ type }) => type === 'operator.alarm');
    expect(alarms.map(({ data }) => [data['alarm'], data['operator']])).toEqual([
      ['factor.reused', 'admin'],
      ['operator.recovered', 'admin'],
    ]);
  });
});

test('whoever did not approve is not written down as the approver, should the answer to the proof be lost', async () => {
  const { draft, intent_hash } = await prepared();
  const { api_key } = (await world.ask('POST', '/v1/operators', { name: 'eve' })).body;
  world.lost.add('intent.prove');
  await submit(draft.op, await world.keyProof(intent_hash));
  const hers = await submit(draft.op, { method: 'totp', code: '000000' }, { authorization: `Bearer ${api_key}` });
  expect(hers.body['code']).toBe('AUTHZ_INVALID');
  expect((await submit(draft.op, await world.keyProof(intent_hash))).status).toBe(200);
  const approved = (await world.events(draft.op)).filter(({ type }) => type === 'operation.approved');
  expect(approved.map(({ data }) => data['operator'])).toEqual(['admin']);
});
