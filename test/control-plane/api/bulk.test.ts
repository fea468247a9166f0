// One proof for many machines: what it covers, how many are at work at a time, what a stop ends, and one result for each. Commands
// are held against the rules by which a real agent obeys them.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { authoriseWork } from '../../../agent/core/authorise.ts';
import { recoverBulks, stopBulk } from '../../../control-plane/api/bulk.ts';
import type { BulkResult, BulkView } from '../../../control-plane/api/schemas-bulk.ts';
import { pathsIn } from '../../../control-plane/config/paths.ts';
import { openLog } from '../../../control-plane/log.ts';
import { signerClient } from '../../../control-plane/signer/client.ts';
import type { Command } from '../../../protocol/command.ts';
import { type ResetIntent, readIntent } from '../../../protocol/intent.ts';
import { sha256Text } from '../../../protocol/keys.ts';
import { openRoot, roleKeys } from '../../../protocol/root.ts';
import { verifyToken } from '../../../protocol/token.ts';
import type { ScriptedAgent } from '../scripted-agent.ts';
import { World } from '../world.ts';

let world: World;
beforeEach(async () => {
  world = await World.start();
});
afterEach(() => world.stop());

/** An agent that knows lists. */
async function machine(name: string): Promise<ScriptedAgent> {
  return (await world.enrolled(name)).online(null, { vmax: 2 });
}

const post = (path: string, body: unknown = {}, headers: Record<string, string> = {}) =>
  world.ask('POST', `/v1/bulk${path}`, body, headers);

async function drafted(vms: string[], more: object = {}): Promise<BulkView> {
  const { status, body } = await post('', { vms, account: {}, ...more });
  expect(status, JSON.stringify(body)).toBe(201);
  return body as BulkView;
}

async function intended({ bulk }: BulkView): Promise<{ intent: string; intent_hash: string }> {
  const secret = { mode: 'generated', recipient_jwk: await world.recipient() };
  const { status, body } = await post(`/${bulk}/intent`, { account: { secret }, valid_s: 86_400 });
  expect(status, JSON.stringify(body)).toBe(200);
  return body as { intent: string; intent_hash: string };
}

async function approved(vms: string[], more: object = {}): Promise<BulkView> {
  const bulk = await drafted(vms, more);
  const proof = await world.keyProof((await intended(bulk)).intent_hash);
  const { status, body } = await post(`/${bulk.bulk}/submit`, proof);
  expect(status, JSON.stringify(body)).toBe(200);
  return body as BulkView;
}

const shown = async ({ bulk }: BulkView) => (await world.ask('GET', `/v1/bulk/${bulk}`)).body as BulkView;
const states = ({ results }: BulkView) => Object.fromEntries(results.map(({ vm_name, state }) => [vm_name, state]));
/** Long enough for whatever a look begins. */
async function looked(): Promise<void> {
  for (let look = 0; look < 2; look += 1) {
    await world.gateway.look();
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
const resultOf = ({ results }: BulkView, name: string) => results.find(({ vm_name }) => vm_name === name) as BulkResult;
const until = (bulk: BulkView, wanted: object) =>
  world.eventually(async () => {
    const view = await shown(bulk);
    return JSON.stringify(states(view)) === JSON.stringify({ ...states(view), ...wanted }) ? view : null;
  }, JSON.stringify(wanted));

describe('a bulk submission', () => {
  test('is one intent that names every machine, and each machine’s command is one that its agent obeys', async () => {
    const agents = [await machine('web-1'), await machine('web-2')];
    const bulk = await drafted(['web-1', 'web-2'], { reboot: { grace_s: 5 } });
    expect(bulk).toMatchObject({ state: 'DRAFT', machines: 2, results: [{ op: null, state: null }, { op: null }] });
    const { intent, intent_hash } = await intended(bulk);
    const read = readIntent(intent) as ResetIntent;
    expect(read.targets?.toSorted()).toEqual(agents.map(({ agent }) => agent).toSorted());
    expect(read).toMatchObject({ op: bulk.bulk, operator: 'admin', reboot: { grace_s: 5 } });
    expect(await sha256Text(Buffer.from(intent, 'base64url'))).toBe(intent_hash);
    expect((await post(`/${bulk.bulk}/submit`, await world.keyProof(intent_hash))).status).toBe(200);
    const trust = (await world.ask('GET', '/v1/trust')).body['root'];
    const root = await openRoot(trust);
    for (const agent of agents) {
      const ready = await agent.sayReady((await agent.wire.next('prepare')).op);
      const { op, token, intent: carried = '' } = await agent.takeCommand();
      expect([op, carried]).toEqual([bulk.bulk, intent]);
      const verified = await verifyToken(
        token,
        'lk-command+jws',
        roleKeys(root, 'command', Math.floor(world.now / 1000)),
      );
      const addressee = { agent: agent.agent, project: 'default', root, op, cn: ready.cn, expired: false };
      const beside = { bytes: carried, sha256: await sha256Text(Buffer.from(carried, 'base64url')) };
      const order = authoriseWork(verified, addressee as never, beside);
      expect(order.command.authz).toMatchObject({ operator: 'admin', method: 'key' });
    }
  });

  test('ends with one result for each machine, also for one that was away when it was proven', async () => {
    const [web, db] = [await machine('web'), await world.enrolled('db')];
    const bulk = await approved(['web', 'db']);
    await web.answerPrepare();
    await web.takeCommand();
    await web.carryOut(bulk.bulk);
    await until(bulk, { web: 'DONE', db: 'QUEUED' });
    expect(await shown(bulk)).toMatchObject({ state: 'RUNNING', working: 1 });
    await db.online(null, { vmax: 2 });
    await db.answerPrepare();
    await db.takeCommand();
    await db.report(bulk.bulk, 'REFUSED', { code: 'ACCOUNT_LOCKED' });
    const view = await until(bulk, { web: 'DONE', db: 'REFUSED' });
    expect(view).toMatchObject({ state: 'ENDED', working: 0 });
    expect(resultOf(view, 'db')).toMatchObject({ code: 'ACCOUNT_LOCKED', ended: true });
    const operation = await world.operation(String(resultOf(view, 'web').op));
    expect(operation).toMatchObject({ bulk: bulk.bulk, state: 'DONE', verified: { account: true } });
    expect(operation.receipts).toHaveLength(5);
    expect((await world.ask('GET', '/v1/bulk')).body).toMatchObject({ items: [{ bulk: bulk.bulk, state: 'ENDED' }] });
  });

  test('is proven once: the same proof again starts nothing, nor does another one', async () => {
    await world.enrolled('web');
    const bulk = await drafted(['web']);
    const { intent_hash } = await intended(bulk);
    const proof = await world.keyProof(intent_hash);
    expect((await post(`/${bulk.bulk}/submit`, proof)).status).toBe(200);
    expect((await post(`/${bulk.bulk}/submit`, proof)).body['code']).toBe('STATE_CONFLICT');
    expect((await world.ask('GET', '/v1/operations')).body['items']).toHaveLength(1);
    const secret = { mode: 'generated', recipient_jwk: await world.recipient() };
    expect((await post(`/${bulk.bulk}/intent`, { account: { secret } })).body['code']).toBe('STATE_CONFLICT');
  });

  test('with a proof of something else is void, and starts nothing', async () => {
    await world.enrolled('web');
    const [bulk, other] = [await drafted(['web']), await drafted(['web'])];
    await intended(bulk);
    const proof = await world.keyProof((await intended(other)).intent_hash);
    expect((await post(`/${bulk.bulk}/submit`, proof)).body['code']).toBe('AUTHZ_INVALID');
    expect(await shown(bulk)).toMatchObject({ state: 'VOID', code: 'AUTHZ_INVALID' });
    expect((await world.ask('GET', '/v1/operations')).body['items']).toEqual([]);
  });

  test('whose proof’s answer was lost is recovered, once', async () => {
    await world.enrolled('web');
    const bulk = await drafted(['web']);
    const proof = await world.keyProof((await intended(bulk)).intent_hash);
    world.lost.add('intent.prove');
    expect((await post(`/${bulk.bulk}/submit`, proof)).body['code']).toBe('SIGNER_UNAVAILABLE');
    expect((await shown(bulk)).state).toBe('DRAFT');
    const parts = { store: world.store, signer: signerClient(pathsIn(world.data).signerSocket) };
    const around = { nowMs: () => world.now, log: openLog('test', 'silent'), randomBytes: kernel };
    await Promise.all([recoverBulks({ ...parts, ...around }), recoverBulks({ ...parts, ...around })]);
    expect(await shown(bulk)).toMatchObject({ state: 'RUNNING', results: [{ state: 'QUEUED' }] });
    expect((await world.ask('GET', '/v1/operations')).body['items']).toHaveLength(1);
  });

  test('that is proven too late starts nothing', async () => {
    await world.enrolled('web');
    const bulk = await drafted(['web']);
    const proof = await world.keyProof((await intended(bulk)).intent_hash);
    world.now += 86_401_000;
    expect((await post(`/${bulk.bulk}/submit`, proof)).body['code']).toBe('EXPIRED');
    expect((await shown(bulk)).state).toBe('EXPIRED');
    expect((await world.ask('GET', '/v1/operations')).body['items']).toEqual([]);
  });

  test('waits for a second person where policy wants one', async () => {
    await world.enrolled('web');
    await world.admin('policy.set', { second_person: true });
    const { headers, key } = await world.operator('eve');
    const bulk = await drafted(['web']);
    const { intent_hash } = await intended(bulk);
    const proven = await post(`/${bulk.bulk}/submit`, await world.keyProof(intent_hash));
    expect(proven.body).toMatchObject({ state: 'DRAFT', awaits_second: true, results: [{ op: null }] });
    const { body } = await world.ask('GET', `/v1/bulk/${bulk.bulk}/intent`, undefined, headers);
    expect(body).toMatchObject({ intent_hash, awaits: 'second', methods: ['key'] });
    const seconded = await post(`/${bulk.bulk}/submit`, await world.keyProof(intent_hash, key), headers);
    expect(seconded.body).toMatchObject({ state: 'RUNNING', awaits_second: false, results: [{ state: 'QUEUED' }] });
  });
});

const kernel = (count: number) => crypto.getRandomValues(new Uint8Array(count));

describe('so many at a time', () => {
  const asked = (agent: ScriptedAgent) => agent.wire.waiting('prepare');

  test('begin, and the next one when one has ended', async () => {
    const agents = [await machine('a'), await machine('b'), await machine('c')];
    const bulk = await approved(['a', 'b', 'c'], { concurrency: 2 });
    const first = await world.eventually(
      async () => (agents.filter(asked).length === 2 ? agents.filter(asked) : null),
      'two of them to be asked',
    );
    await looked();
    const third = agents.find((agent) => !first.includes(agent)) as ScriptedAgent;
    expect(asked(third)).toBe(0);
    const [one] = first as [ScriptedAgent];
    await one.answerPrepare();
    await one.takeCommand();
    await one.report(bulk.bulk, 'REFUSED', { code: 'ACCOUNT_LOCKED' });
    expect((await third.wire.next('prepare')).op).toBe(bulk.bulk);
  });

  test('and one that goes away, or cannot begin, leaves its turn to another', async () => {
    const agents = [await machine('a'), await machine('b')];
    const bulk = await approved(['a', 'b'], { concurrency: 1 });
    const first = await world.eventually(async () => agents.find(asked) ?? null, 'one of them to be asked');
    const second = agents.find((agent) => agent !== first) as ScriptedAgent;
    await first.offline();
    await second.wire.next('prepare');
    second.wire.send({ t: 'refused', op: bulk.bulk, code: 'EXECUTOR_UNAVAILABLE' });
    await first.online(null, { vmax: 2 });
    await first.answerPrepare();
    expect((await first.takeCommand()).op).toBe(bulk.bulk);
  });

  test('one that was sent its command keeps its place until it has ended, also where it is away', async () => {
    const agents = [await machine('a'), await machine('b')];
    await approved(['a', 'b'], { concurrency: 1 });
    const first = await world.eventually(async () => agents.find(asked) ?? null, 'one of them to be asked');
    const second = agents.find((agent) => agent !== first) as ScriptedAgent;
    await first.answerPrepare();
    await first.takeCommand();
    await first.offline();
    await looked();
    expect(asked(second)).toBe(0);
  });
});

describe('a stop', () => {
  test('ends what has not been sent, and leaves what has', async () => {
    const [web, db] = [await machine('web'), await world.enrolled('db')];
    const bulk = await approved(['web', 'db']);
    await web.answerPrepare();
    await web.takeCommand();
    const stopped = (await post(`/${bulk.bulk}/stop`)).body as BulkView;
    expect(stopped).toMatchObject({ state: 'RUNNING', stopped_by: 'admin' });
    expect(states(stopped)).toEqual({ web: 'SENT', db: 'CANCELLED' });
    await db.online(null, { vmax: 2 });
    await web.carryOut(bulk.bulk);
    await until(bulk, { web: 'DONE', db: 'CANCELLED' });
    expect(db.wire.waiting('prepare')).toBe(0);
    expect((await shown(bulk)).state).toBe('ENDED');
    expect((await post(`/${bulk.bulk}/stop`)).status).toBe(200);
  });

  test('of a draft ends it: no proof starts it any more', async () => {
    await world.enrolled('web');
    const bulk = await drafted(['web']);
    const proof = await world.keyProof((await intended(bulk)).intent_hash);
    expect((await post(`/${bulk.bulk}/stop`)).body).toMatchObject({ state: 'ENDED' });
    expect((await post(`/${bulk.bulk}/submit`, proof)).body['code']).toBe('STATE_CONFLICT');
    expect((await world.ask('GET', '/v1/operations')).body['items']).toEqual([]);
  });

  test('between a proof and its record wins', async () => {
    await world.enrolled('web');
    const bulk = await drafted(['web']);
    const proof = await world.keyProof((await intended(bulk)).intent_hash);
    const parts = { store: world.store, nowMs: () => world.now };
    world.meanwhile.set('intent.prove', async () => {
      await stopBulk(parts as never, { op: bulk.bulk } as never, 'eve');
    });
    expect((await post(`/${bulk.bulk}/submit`, proof)).body['code']).toBe('STATE_CONFLICT');
    expect(await shown(bulk)).toMatchObject({ state: 'ENDED', stopped_by: 'eve', results: [{ op: null }] });
  });

  test('of what has ended is refused', async () => {
    const web = await machine('web');
    const bulk = await approved(['web']);
    await web.answerPrepare();
    await web.takeCommand();
    await web.report(bulk.bulk, 'REFUSED', { code: 'ACCOUNT_LOCKED' });
    await until(bulk, { web: 'REFUSED' });
    expect((await post(`/${bulk.bulk}/stop`)).body['code']).toBe('STATE_CONFLICT');
  });

  test('of one machine alone is a cancel of its operation, signed for that machine', async () => {
    const [web, db] = [await machine('web'), await machine('db')];
    const bulk = await approved(['web', 'db']);
    for (const agent of [web, db]) await agent.answerPrepare();
    for (const agent of [web, db]) await agent.takeCommand();
    await web.report(bulk.bulk, 'ACCEPTED');
    await world.ask('POST', `/v1/operations/${resultOf(await until(bulk, { web: 'ACCEPTED' }), 'web').op}/cancel`);
    const { op, token } = await web.wire.next('cancel');
    const command = JSON.parse(Buffer.from(String(token.split('.')[1]), 'base64url').toString()) as Command;
    expect([op, command.aud]).toEqual([bulk.bulk, web.agent]);
    expect(db.wire.waiting('cancel')).toBe(0);
  });
});

describe('what is chosen', () => {
  test('is chosen by label, at the time of the draft', async () => {
    for (const name of ['web', 'db', 'mail']) await world.enrolled(name);
    for (const name of ['web', 'db']) await world.ask('PATCH', `/v1/vms/${name}`, { labels: { env: 'prod' } });
    const { status, body } = await post('', { label: 'env=prod', account: {} });
    const bulk = body as BulkView;
    await world.ask('PATCH', '/v1/vms/mail', { labels: { env: 'prod' } });
    expect([status, Object.keys(states(await shown(bulk))).toSorted()]).toEqual([201, ['db', 'web']]);
    expect((await post('', { label: 'env=test', account: {} })).body['code']).toBe('NOT_FOUND');
  });

  test('a held identity is left out, and a machine that is busy when it is proven is refused: each with its result', async () => {
    for (const name of ['held', 'busy', 'old', 'free']) await world.enrolled(name);
    await world.store.db
      .updateTable('vms')
      .set({ quarantine_code: 'CLONE_SUSPECTED', quarantined_at: world.now })
      .where('name', '=', 'held')
      .execute();
    const single = (await world.ask('POST', '/v1/operations', { vm: 'busy', account: { mode: 'generated' } })).body;
    await world.approve(single as never);
    const bulk = await approved(['held', 'busy', 'free']);
    expect(bulk).toMatchObject({ machines: 2 });
    expect(resultOf(bulk, 'held')).toMatchObject({ op: null, state: 'REFUSED', code: 'AGENT_QUARANTINED' });
    expect(resultOf(bulk, 'busy')).toMatchObject({ state: 'REFUSED', code: 'BUSY' });
    expect(resultOf(bulk, 'free')).toMatchObject({ state: 'QUEUED', code: null });
    expect((await post('', { vms: ['held'], account: {} })).body['code']).toBe('AGENT_QUARANTINED');
  });

  test('an agent that does not know lists is sent none', async () => {
    const old = await world.machine('old');
    const bulk = await approved(['old']);
    const view = await until(bulk, { old: 'REFUSED' });
    expect(resultOf(view, 'old').code).toBe('VERSION_UNSUPPORTED');
    expect(old.wire.waiting('prepare')).toBe(0);
  });

  test.each<[string, object]>([
    ['nothing to reset', { vms: ['web'] }],
    ['no machines', { account: {} }],
    ['an empty list', { vms: [], account: {} }],
    ['two ways to choose', { vms: ['web'], label: 'env', account: {} }],
    ['more than the intent may name', { vms: Array.from({ length: 501 }, (_, n) => `web-${n}`), account: {} }],
    ['a typed password', { vms: ['web'], account: { mode: 'typed' } }],
    ['nobody at work', { vms: ['web'], account: {}, concurrency: 0 }],
  ])('%s is refused', async (_, body) => {
    await world.enrolled('web');
    expect((await post('', body)).body['code']).toBe('REQUEST_INVALID');
  });

  test('a reset by reroot is refused by its own name', async () => {
    await world.enrolled('web');
    const asked = { vms: ['web'], account: {}, reboot: { kind: 'kexec' } };
    expect((await post('', asked)).body['code']).toBe('REROOT_REFUSED');
  });
});
