// What somebody gains who has taken over the web and asks the signer whatever they like: nothing that an operator did not prove
// in exactly these bytes. That they reach no more than its socket is `apart.lab.test.ts`.

import { connect } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { pathsIn } from '../../../control-plane/config/paths.ts';
import { canonicalBytes } from '../../../protocol/canonical.ts';
import { encodeIntent, intentHash, readIntent } from '../../../protocol/intent.ts';
import { sealingKeyFromSeed } from '../../../protocol/keys.ts';
import { newId } from '../../../protocol/schema.ts';
import { AGENT, type Built, Desk, kernel, refusal, signedReady } from './desk.ts';

let desk: Desk;
let key: Awaited<ReturnType<Desk['key']>>;
beforeEach(async () => {
  desk = await Desk.open();
  key = await desk.key();
});
afterEach(() => desk.end());

async function proven(): Promise<Built> {
  const built = await desk.build();
  await desk.prove(built, await key(built.intent_hash));
  return built;
}

const nothingSigned = () => expect(desk.audit('command.signed')).toEqual([]);

test('an intent that they write themselves is signed by nobody, with or without a proof of it', async () => {
  const built = await proven();
  const { jwk } = await sealingKeyFromSeed(kernel(32));
  const forged = {
    ...readIntent(built.intent),
    account: { name: null, uid: 0, unlock: true, secret: { mode: 'generated', recipient_jwk: jwk } },
  };
  const bytes = canonicalBytes(forged);
  const hash = await intentHash(bytes);
  // No request takes an intent's bytes, and a hash that the signer did not write is known to none.
  for (const more of [{ intent: encodeIntent(bytes) }, { bytes: encodeIntent(bytes) }]) {
    const asked = {
      op: built.op,
      intent_hash: built.intent_hash,
      ready: await signedReady(built.op, desk.ek),
      sealed: null,
      previous: 'never_sent',
      ...more,
    };
    expect(await refusal(desk.ask('command.mint', asked as never))).toBe('REQUEST_INVALID');
  }
  // Nor is it that the request was malformed without them.
  expect(await refusal(desk.mint({ ...built, intent_hash: hash }))).toBe('AUTHZ_INVALID');
  const fresh = newId('op', kernel);
  expect(await refusal(desk.prove({ op: fresh, intent_hash: hash }, await key(hash)))).toBe('AUTHZ_INVALID');
  nothingSigned();
});

test('a proof is replayed for nothing: not for its own operation, nor another, nor another machine', async () => {
  const first = await desk.build();
  const proof = await key(first.intent_hash);
  await desk.prove(first, proof);
  expect(await refusal(desk.prove(first, proof))).toBe('STATE_CONFLICT');
  const second = await desk.build();
  expect(await refusal(desk.prove(second, proof))).toBe('AUTHZ_INVALID');
  expect(await refusal(desk.mint(second))).toBe('AUTHZ_INVALID');
  const elsewhere = await signedReady(first.op, desk.ek, { agent: newId('agt', kernel) });
  const asked = {
    op: first.op,
    intent_hash: first.intent_hash,
    ready: elsewhere,
    sealed: null,
    previous: 'never_sent' as const,
  };
  expect(await refusal(desk.ask('command.mint', asked))).toBe('AUTHZ_INVALID');
  nothingSigned();
});

test('the recipient of a generated password cannot be exchanged once it was proven, nor a sealed one', async () => {
  const built = await proven();
  const asked = readIntent(built.intent);
  // Another intent for the same operation would name another recipient.
  expect(await refusal(desk.build('ada', built.op))).toBe('STATE_CONFLICT');
  const sealed = { account: 'aaaa..bbbb.cccc.dddd' };
  const swapped = {
    op: built.op,
    intent_hash: built.intent_hash,
    ready: await signedReady(built.op, desk.ek),
    sealed,
    previous: 'never_sent' as const,
  };
  expect(await refusal(desk.ask('command.mint', swapped))).toBe('AUTHZ_INVALID');
  nothingSigned();
  const { token } = await desk.mint(built);
  const { intent } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { intent: string };
  expect(readIntent(intent)).toEqual(asked);
});

test('before it was proven, another recipient is another intent: what the operator proved of the first is void', async () => {
  const shown = await desk.build();
  const swapped = await desk.build('ada', shown.op);
  expect(await refusal(desk.prove(swapped, await key(shown.intent_hash)))).toBe('AUTHZ_INVALID');
  expect(await refusal(desk.mint(swapped))).toBe('AUTHZ_INVALID');
  nothingSigned();
});

test('they can register no factor, change no policy, and read no key, seed or code', async () => {
  const totp = await desk.totp();
  const built = await desk.build();
  await desk.prove(built, totp());
  const methods = [
    'operator.add',
    'operator.recover',
    'operator.list',
    'operator.keys',
    'factor.remove',
    'policy.set',
    'policy.get',
    'keys.held',
  ];
  const answers = await raw(methods.map((method) => ({ method, params: { name: 'eve' } })));
  expect(answers.map(({ error }) => error?.code)).toEqual(methods.map(() => 'NOT_FOUND'));
  const [secret] = desk.ledger.rows<{ material: string }>("SELECT material FROM factors WHERE kind = 'totp'");
  const told = await Promise.all([
    desk.ask('intent.show', { op: built.op, operator: 'ada' }),
    desk.ask('intent.status', { op: built.op }),
    desk.ask('alarms', { after: 0 }),
    desk.ask('release.build', { project: 'default', agent: AGENT, operator: 'ada' }),
  ]);
  expect(secret?.material).toMatch(/^[A-Z2-7]{32}$/);
  expect(JSON.stringify([told, answers])).not.toContain(secret?.material);
});

/** Requests as they are on the wire, by whoever keeps to no client. */
function raw(requests: readonly object[]): Promise<{ error?: { code: string } }[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(pathsIn(desk.data).signerSocket);
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      const lines = text.split('\n').slice(0, -1);
      if (lines.length < requests.length) return;
      socket.destroy();
      resolve(lines.map((line) => JSON.parse(line)));
    });
    socket.on('error', reject);
    socket.write(requests.map((request, id) => `${JSON.stringify({ id, ...request })}\n`).join(''));
  });
}
