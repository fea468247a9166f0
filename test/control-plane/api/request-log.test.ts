// Every line that a request causes can be found by the request's id, and by the operation that it is about.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { World } from '../world.ts';

let world: World;
beforeEach(async () => {
  world = await World.start();
});
afterEach(() => world.stop());

type Line = Readonly<{ request?: string; op?: string; msg: string; method?: string; code?: string; part: string }>;
const lines = (): Line[] => world.logged.map((line) => JSON.parse(line) as Line);

test('a refused proof is one story of three lines: the signer’s, the refusal, the answer', async () => {
  const agent = await world.machine();
  const draft = await world.draft(agent);
  const { intent_hash } = await world.intent(draft);
  const proof = { ...(await world.keyProof(intent_hash)), kid: 'A'.repeat(43) };
  const path = `/v1/operations/${draft.op}/submit`;
  const answer = await world.ask('POST', path, proof, { 'x-request-id': 'from-the-proxy_1' });
  expect([answer.status, answer.headers.get('x-request-id')]).toEqual([403, 'from-the-proxy_1']);
  const answered = () => lines().find(({ msg, op }) => msg === 'answered' && op === draft.op) ?? null;
  await world.eventually(async () => answered(), 'the line of the answer');
  const story = lines().filter(({ request }) => request === 'from-the-proxy_1');
  expect(story.map(({ msg, op, method, code }) => ({ msg, op, method, code }))).toEqual([
    { msg: 'request refused', op: draft.op, method: 'intent.prove', code: 'AUTHZ_INVALID' },
    { msg: 'request refused', op: draft.op, method: 'POST', code: 'AUTHZ_INVALID' },
    { msg: 'answered', op: draft.op, method: 'POST', code: undefined },
  ]);
});

test('an id is drawn where none is given, or one that does not belong into a log', async () => {
  const ids: string[] = [];
  for (const given of [undefined, 'short', 'x'.repeat(65), 'a b c d e f g', '{"level":60}', 'ümlaut-ümlaut']) {
    const headers = given === undefined ? {} : { 'x-request-id': encodeURI(given) };
    const answer = await world.ask('GET', '/v1/whoami', undefined, headers);
    ids.push(answer.headers.get('x-request-id') ?? '');
  }
  expect(ids.every((id) => /^[A-Za-z0-9_-]{16}$/.test(id))).toBe(true);
  expect(new Set(ids).size).toBe(ids.length);
});

test('a line is of the request that caused it, and not of another that is under way', async () => {
  const agents = await Promise.all([world.machine(), world.machine(), world.machine()]);
  const drafts = await Promise.all(agents.map((agent) => world.draft(agent)));
  await Promise.all(
    drafts.map(async (draft, at) => {
      const { intent_hash } = await world.intent(draft);
      const proof = await world.keyProof(intent_hash);
      await world.ask('POST', `/v1/operations/${draft.op}/submit`, proof, { 'x-request-id': `request-${at}` });
    }),
  );
  for (const [at, { op }] of drafts.entries()) {
    const mine = lines().filter(({ request }) => request === `request-${at}`);
    expect(mine.map(({ msg }) => msg)).toContain('approved');
    expect(new Set(mine.map((line) => line.op))).toEqual(new Set([op]));
  }
});

test('what a machine says is no request of anybody', async () => {
  const agent = await world.machine();
  const { op } = await world.sent(agent);
  await agent.carryOut(op);
  await world.until(op, 'DONE');
  const ofMachines = lines().filter(({ msg }) => ['connected', 'disconnected', 'command sent'].includes(msg));
  expect(ofMachines.length).toBeGreaterThan(3);
  expect(ofMachines.filter(({ request }) => request !== undefined)).toEqual([]);
  expect(ofMachines.find(({ msg }) => msg === 'command sent')?.op).toBe(op);
});
