// The HTTP contract of operations: who may, what is refused before anything happens, and what is asked twice.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { rerootMembers, rerootMethods, rerootReboots } from '../../../protocol/reroot.ts';
import type { ScriptedAgent } from '../scripted-agent.ts';
import { World } from '../world.ts';

let world: World;
let agent: ScriptedAgent;
let vm: string;
beforeEach(async () => {
  world = await World.start();
  agent = await world.machine('web');
  vm = (await world.vmOf(agent)).id;
});
afterEach(() => world.stop());

const create = (body: unknown) => world.ask('POST', '/v1/operations', body);
const count = async () => ((await world.ask('GET', '/v1/operations')).body['items'] as unknown[]).length;
const generated = { mode: 'generated' };

describe('a request', () => {
  test('without a key, with a wrong one, or with one in another place is 401 and does nothing', async () => {
    const wrong = `lk_${'A'.repeat(43)}`;
    for (const authorization of ['', wrong, `Bearer ${wrong}`, `Basic ${world.apiKey}`, `Bearer  ${world.apiKey}`]) {
      const { status, body } = await world.ask('GET', '/v1/vms', undefined, { authorization });
      expect([status, body['code']]).toEqual([401, 'UNAUTHENTICATED']);
    }
    const answer = await world.ask('POST', '/v1/operations', { vm, account: generated }, { authorization: '' });
    expect(answer.status).toBe(401);
    expect(
      (await world.ask('GET', `/v1/whoami?api_key=${world.apiKey}`, undefined, { authorization: '' })).status,
    ).toBe(401);
    expect(await count()).toBe(0);
  });

  test('for what is not there is 404, whatever it is', async () => {
    const op = `op_${'0'.repeat(26)}`;
    for (const [method, path] of [
      ['GET', `/v1/operations/${op}`],
      ['GET', `/v1/operations/${op}/events`],
      ['POST', `/v1/operations/${op}/cancel`],
      ['POST', `/v1/operations/${op}/collected`],
      ['GET', '/v1/vms/nobody'],
      ['GET', '/v1/operations?vm=nobody'],
      ['DELETE', `/v1/join-tokens/tok_${'0'.repeat(26)}`],
      ['GET', '/v1/nothing'],
      ['GET', '/'],
    ] as const) {
      const { status, body } = await world.ask(method, path);
      expect([status, body['code']], path).toEqual([404, 'NOT_FOUND']);
    }
    expect((await create({ vm: 'nobody', account: generated })).status).toBe(404);
  });

  test('with a field that is unknown is refused with the field’s name', async () => {
    for (const [body, field] of [
      [{ vm, account: generated, more: 1 }, 'more'],
      [{ vm, account: { mode: 'generated', uid: 0 } }, 'account.uid'],
      [{ vm, account: { mode: 'generated', password: 'Canary-1234' } }, 'account.password'],
      [{ vm, account: generated, password: 'Canary-1234' }, 'password'],
      [{ vm }, 'account'],
      [{ account: generated }, 'vm'],
      [{ vm, account: { mode: 'guessed' } }, 'account.mode'],
      [{ vm, account: { mode: 'generated', name: '--root=/x' } }, 'account.name'],
      [{ vm, account: { mode: 'generated', name: 'a b' } }, 'account.name'],
      [{ vm, account: generated, reboot: { grace_s: -1 } }, 'reboot.grace_s'],
      [{ vm, account: generated, reboot: { grace_s: 86_401 } }, 'reboot.grace_s'],
      [{ vm, vnc: { mode: 'generated', server: 'x' } }, 'vnc.server'],
    ] as const) {
      const answer = await create(body);
      expect([answer.status, answer.body['code'], answer.body['detail']]).toEqual([
        400,
        'REQUEST_INVALID',
        `field=${field}`,
      ]);
    }
    expect(await count()).toBe(0);
    expect(world.logged.join()).not.toContain('Canary');
  });

  test('can carry no plaintext password at any step', async () => {
    const draft = await world.draft(agent);
    const jwk = await world.recipient();
    for (const [step, body] of [
      ['intent', { account: { secret: { mode: 'typed', password: 'Canary-1234' } } }],
      ['intent', { account: { secret: { mode: 'typed', sealed: 'Canary-1234' } } }],
      ['intent', { account: { secret: { mode: 'generated', recipient_jwk: jwk }, password: 'Canary-1234' } }],
      ['intent', { password: 'Canary-1234', account: { secret: { mode: 'generated', recipient_jwk: jwk } } }],
      ['submit', { method: 'totp', code: '123456', password: 'Canary-1234' }],
    ] as const) {
      const { status, body: problem } = await world.ask('POST', `/v1/operations/${draft.op}/${step}`, body);
      expect([status, problem['code']]).toEqual([400, 'REQUEST_INVALID']);
      expect(JSON.stringify(problem)).not.toContain('Canary');
    }
    expect(world.logged.join()).not.toContain('Canary');
  });

  test('that is not JSON, too deep, too large, or with a prototype’s name is refused and the server lives', async () => {
    const text = (body: string) => world.ask('POST', '/v1/operations', body);
    for (const body of [
      '{',
      '['.repeat(30_000) + ']'.repeat(30_000),
      `{"vm":"${vm}","account":{"mode":"generated"},"__proto__":{"x":1}}`,
    ]) {
      expect((await text(body)).body['code']).toBe('REQUEST_INVALID');
    }
    expect((await text(JSON.stringify({ vm: 'x'.repeat(70_000) }))).body).toMatchObject({ code: 'REQUEST_INVALID' });
    const form = await world.ask('POST', '/v1/operations', 'vm=x', {
      'content-type': 'application/x-www-form-urlencoded',
    });
    expect(form.body['code']).toBe('REQUEST_INVALID');
    expect(({} as { x?: number }).x).toBeUndefined();
    expect((await world.ask('GET', '/healthz')).status).toBe(200);
  });

  test('whose address does not decode is a problem like any other, and is not quoted', async () => {
    const { status, body, headers } = await world.ask('GET', '/v1/vms/%zzsecret');
    expect([status, body['code']]).toEqual([400, 'REQUEST_INVALID']);
    expect(headers.get('content-type')).toContain('application/problem+json');
    expect(JSON.stringify(body)).not.toContain('secret');
  });

  test('is answered so that nobody stores or frames it', async () => {
    for (const path of ['/healthz', '/v1/vms', '/v1/nothing']) {
      const { headers } = await world.ask('GET', path);
      expect(headers.get('cache-control')).toBe('no-store');
      expect(headers.get('content-security-policy')).toContain("default-src 'none'");
      expect(headers.get('x-frame-options')).toBe('DENY');
    }
  });

  test('too many a minute are RATE_LIMITED', async () => {
    await world.stop();
    world = await World.start({ requestsPerMinuteMax: 3 });
    const answers = [];
    for (let n = 0; n < 4; n += 1) answers.push((await world.ask('GET', '/healthz')).body['code'] ?? 'ok');
    expect(answers).toEqual(['ok', 'ok', 'ok', 'RATE_LIMITED']);
  });
});

describe('a reset by reroot', () => {
  test.each(rerootMethods)('by the method %s is refused by its name', async (method) => {
    const { status, body } = await create({ vm, account: generated, method });
    expect([status, body['code']]).toEqual([422, 'REROOT_REFUSED']);
    expect(await count()).toBe(0);
  });

  test('by any member or kind of reboot that would do the same is refused by its name', async () => {
    const bodies = [
      ...rerootMembers.map((member) => ({ vm, account: { ...generated, [member]: '/x' } })),
      ...rerootReboots.map((reboot) => ({ vm, account: generated, reboot })),
      ...rerootReboots.map((kind) => ({ vm, account: generated, reboot: { kind } })),
    ];
    for (const body of bodies) expect((await create(body)).body['code'], JSON.stringify(body)).toBe('REROOT_REFUSED');
    const draft = await world.draft(agent);
    const { body } = await world.ask('POST', `/v1/operations/${draft.op}/intent`, { method: 'rescue' });
    expect(body['code']).toBe('REROOT_REFUSED');
  });

  test('in another spelling is refused all the same', async () => {
    for (const method of ['Reroot', 'reroot ', 'rеscue', 'offline\u200b']) {
      expect((await create({ vm, account: generated, method })).body['code']).toBe('REQUEST_INVALID');
    }
  });
});

describe('a draft', () => {
  test('is found by the machine’s name, shows what was asked, and moves nothing before its proof', async () => {
    const { status, body } = await create({ vm: 'web', account: generated, vnc: generated, reboot: { grace_s: 60 } });
    expect(status).toBe(201);
    expect(body).toMatchObject({
      vm,
      vm_name: 'web',
      approved: false,
      ended: false,
      grace_s: 60,
      operator: 'admin',
      sealed: null,
    });
    await agent.answerPrepare();
    await world.until(String(body['op']), 'PREPARED');
    expect(agent.wire.waiting('command')).toBe(0);
  });

  test('for a machine that is busy is BUSY, with who and since when', async () => {
    const { op } = await world.sent(agent);
    const { status, body } = await create({ vm, account: generated });
    expect([status, body['code']]).toEqual([409, 'BUSY']);
    expect(body['detail']).toContain(`op=${op} operator=admin state=SENT since=20`);
    expect((await world.ask('GET', `/v1/vms/${vm}`)).body['busy']).toBe(op);
  });

  test('that was proven second waits for the first', async () => {
    const [one, two] = [await world.draft(agent), await world.draft(agent)];
    await world.approve(one);
    const late = await world.approve(two);
    expect([late.status, late.body['code']]).toEqual([409, 'BUSY']);
    expect((await world.operation(two.op)).approved).toBe(false);
  });

  test('whose proof was checked while another one took the machine ends as REFUSED, for good', async () => {
    const [late, first] = [await world.draft(agent), await world.draft(agent)];
    world.meanwhile.set('intent.prove', () => world.approve(first));
    expect((await world.approve(late)).body['code']).toBe('BUSY');
    expect(await world.operation(late.op)).toMatchObject({ state: 'REFUSED', code: 'BUSY', approved: false });
    expect(await world.operation(first.op)).toMatchObject({ approved: true });
  });

  test('without a proof ends after a quarter of an hour', async () => {
    const { op } = await world.draft(agent);
    world.now += 900_001;
    await world.gateway.look();
    expect(await world.operation(op)).toMatchObject({ state: 'EXPIRED', code: 'PROOF_MISSING', ended: true });
  });
});

describe('an intent', () => {
  test('shows what its bytes say, and which proofs there are', async () => {
    const draft = await world.draft(agent, {
      account: { mode: 'generated', name: 'ada', unlock: true },
      vnc: generated,
    });
    const { summary, methods, intent_hash } = await world.intent(draft);
    expect(summary).toMatchObject({
      vm_name: 'web',
      agent: agent.agent,
      operator: 'admin',
      account: { name: 'ada', unlock: true, secret: { mode: 'generated' } },
      vnc: { server: null, restart: false },
      reboot: { kind: 'normal', grace_s: 0 },
    });
    expect(summary.warnings).toContain('DATA_KEYS_AT_RISK');
    expect(methods).toEqual(['key']);
    expect((await world.operation(draft.op)).intent_hash).toBe(intent_hash);
  });

  test('has the slots and modes of its draft and no others', async () => {
    const draft = await world.draft(agent);
    const secret = { mode: 'generated', recipient_jwk: await world.recipient() };
    for (const body of [
      {},
      { account: { secret }, vnc: { secret } },
      { vnc: { secret } },
      { account: { secret: { mode: 'typed', sealed: 'a..b.c.d' } } },
    ]) {
      expect((await world.ask('POST', `/v1/operations/${draft.op}/intent`, body)).body['code']).toBe('REQUEST_INVALID');
    }
  });

  test('with a typed password needs the machine there and ready', async () => {
    const draft = await world.draft(agent, { account: { mode: 'typed' } });
    const ask = () =>
      world.ask('POST', `/v1/operations/${draft.op}/intent`, {
        account: { secret: { mode: 'typed', sealed: 'a..b.c.d' } },
      });
    expect((await ask()).body['code']).toBe('READY_EXPIRED');
    await agent.offline();
    await world.eventually(async () => ((await world.vmOf(agent)).online ? null : true), 'the machine to be away');
    expect((await ask()).body['code']).toBe('AGENT_OFFLINE');
  });

  test('may live a day and no longer', async () => {
    const draft = await world.draft(agent);
    const { summary } = await world.intent(draft, { valid_s: 86_400 });
    expect(Date.parse(summary.not_after)).toBe(Math.floor(world.now / 1000) * 1000 + 86_400_000);
    await expect(world.intent(draft, { valid_s: 86_401 })).rejects.toThrow('REQUEST_INVALID');
  });
});

describe('a submission', () => {
  const submit = (op: string, body: unknown) => world.ask('POST', `/v1/operations/${op}/submit`, body);

  test('without an intent, or with the proof of another operation, is AUTHZ_INVALID and 403', async () => {
    const [one, two] = [await world.draft(agent), await world.draft(agent)];
    const bare = await submit(one.op, { method: 'totp', code: '123456' });
    expect([bare.status, bare.body['code']]).toEqual([403, 'AUTHZ_INVALID']);
    const { intent_hash } = await world.intent(one);
    await world.intent(two);
    const crossed = await submit(two.op, await world.keyProof(intent_hash));
    expect([crossed.status, crossed.body['code']]).toEqual([403, 'AUTHZ_INVALID']);
    expect(await world.operation(two.op)).toMatchObject({ state: 'REFUSED', code: 'AUTHZ_INVALID' });
    const late = await submit(two.op, await world.keyProof(intent_hash));
    expect([late.status, late.body['code']]).toEqual([403, 'AUTHZ_INVALID']);
  });

  test('with a method that is not offered is refused', async () => {
    const draft = await world.draft(agent);
    await world.intent(draft);
    expect((await submit(draft.op, { method: 'session' })).body['code']).toBe('REQUEST_INVALID');
    expect((await submit(draft.op, { method: 'none' })).body['code']).toBe('REQUEST_INVALID');
    expect((await submit(draft.op, { method: 'totp', code: '123456' })).body['code']).toBe('FACTOR_UNKNOWN');
  });

  test('twice is one command', async () => {
    const draft = await world.draft(agent);
    await agent.answerPrepare();
    await world.until(draft.op, 'PREPARED');
    const { intent_hash } = await world.intent(draft);
    const proof = await world.keyProof(intent_hash);
    const answers = await Promise.all([submit(draft.op, proof), submit(draft.op, proof)]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 409]);
    await agent.takeCommand();
    await agent.report(draft.op, 'ACCEPTED');
    expect((await submit(draft.op, proof)).body['code']).toBe('STATE_CONFLICT');
    expect(agent.wire.waiting('command')).toBe(0);
  });

  test('whose answer was lost on its way is taken as given when it is made again', async () => {
    const draft = await world.draft(agent);
    const { intent_hash } = await world.intent(draft);
    const proof = await world.keyProof(intent_hash);
    const { signerClient } = await import('../../../control-plane/signer/client.ts');
    const { pathsIn } = await import('../../../control-plane/config/paths.ts');
    const signer = signerClient(pathsIn(world.data).signerSocket);
    await signer('intent.prove', { op: draft.op, intent_hash, operator: 'admin', proof: proof as never });
    expect((await submit(draft.op, proof)).body).toMatchObject({ approved: true });
  });

  test('wrong too often ends the operation with FACTOR_LOCKED', async () => {
    await world.admin('operator.add', { name: 'admin' });
    const draft = await world.draft(agent);
    await world.intent(draft);
    const codes = [];
    for (let n = 0; n < 6; n += 1)
      codes.push((await submit(draft.op, { method: 'totp', code: '000000' })).body['code']);
    expect(codes).toEqual([...Array(5).fill('FACTOR_REFUSED'), 'FACTOR_LOCKED']);
    expect(await world.operation(draft.op)).toMatchObject({ state: 'REFUSED', code: 'FACTOR_LOCKED', ended: true });
  });

  test('by another operator than the intent names is refused', async () => {
    const { body } = await world.ask('POST', '/v1/operators', { name: 'eve' });
    const draft = await world.draft(agent);
    const { intent_hash } = await world.intent(draft);
    const proof = await world.keyProof(intent_hash);
    const asEve = { authorization: `Bearer ${body['api_key']}` };
    const answer = await world.ask('POST', `/v1/operations/${draft.op}/submit`, proof, asEve);
    expect([answer.status, answer.body['code']]).toEqual([403, 'AUTHZ_INVALID']);
  });
});

describe('operators and join tokens', () => {
  test('are made once; their secrets are shown once and kept as hashes', async () => {
    const made = await world.ask('POST', '/v1/operators', { name: 'ada' });
    expect(made.status).toBe(201);
    const key = String(made.body['api_key']);
    const who = await world.ask('GET', '/v1/whoami', undefined, { authorization: `Bearer ${key}` });
    expect(who.body).toMatchObject({ operator: 'ada', project: 'default' });
    expect((await world.ask('POST', '/v1/operators', { name: 'ada' })).body['code']).toBe('ALREADY_EXISTS');
    const { token, id } = await world.joinToken();
    expect(JSON.stringify((await world.ask('GET', '/v1/join-tokens')).body)).not.toContain(token);
    const rows = await world.store.db.selectFrom('join_tokens').selectAll().execute();
    const keys = await world.store.db.selectFrom('api_keys').selectAll().execute();
    expect(JSON.stringify([rows, keys])).not.toContain(token);
    expect(JSON.stringify([rows, keys])).not.toContain(key);
    expect((await world.ask('DELETE', `/v1/join-tokens/${id}`)).body['state']).toBe('revoked');
  });
});
