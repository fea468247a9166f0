// Passkeys to sign in with: kept for who is signed in, good for signing in, and good for nothing else.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { SoftwarePasskey } from '../../protocol/software-passkey.ts';
import { type Answer, World } from '../world.ts';
import { Browser, PASSWORD, person } from './browser.ts';

let world: World;
let ann: Browser;
let passkey: SoftwarePasskey;
beforeAll(async () => {
  world = await World.start();
  ann = await person(world, 'ann');
  await ann.signIn('ann@example.test', PASSWORD);
  passkey = new SoftwarePasskey({ origin: world.publicUrl, rpId: 'localhost' });
  const { challenge } = await optionsOf(ann, '/v1/auth/passkeys/options');
  const response = passkey.register(challenge);
  expect(said(await ann.ask('POST', '/v1/auth/passkeys', { response, name: 'phone' }))).toEqual([200, null]);
});
afterAll(() => world.stop());

const said = ({ status, body }: Answer) => [status, body['code'] ?? null];
async function optionsOf(browser: Browser, path: string): Promise<{ challenge: string; rpId?: string }> {
  const { status, body } = await browser.ask('POST', path);
  expect(status).toBe(200);
  return body['options'] as { challenge: string };
}
async function signIn(browser: Browser, by: SoftwarePasskey, lie: object = {}): Promise<Answer> {
  const { challenge } = await optionsOf(browser, '/v1/auth/passkey/options');
  return browser.ask('POST', '/v1/auth/passkey/sign-in', { response: by.assert(challenge, lie) });
}

test('one signs in without a password, as its operator', async () => {
  const browser = new Browser(world);
  expect((await signIn(browser, passkey)).body).toMatchObject({ operator: 'ann' });
  expect((await browser.ask('GET', '/v1/whoami')).body).toMatchObject({ operator: 'ann' });
});

test('neither another passkey, nor another page’s, nor an answer to another question signs anybody in', async () => {
  const browser = new Browser(world);
  const stranger = new SoftwarePasskey({ origin: world.publicUrl, rpId: 'localhost' });
  expect(said(await signIn(browser, stranger))).toEqual([403, 'SIGN_IN_REFUSED']);
  expect(said(await signIn(browser, passkey, { origin: 'https://evil.example' }))).toEqual([403, 'SIGN_IN_REFUSED']);
  const { challenge } = await optionsOf(browser, '/v1/auth/passkey/options');
  await optionsOf(browser, '/v1/auth/passkey/options');
  const old = await browser.ask('POST', '/v1/auth/passkey/sign-in', { response: passkey.assert(challenge) });
  expect(said(old)).toEqual([403, 'SIGN_IN_REFUSED']);
  expect(browser.token).toBeUndefined();
});

test('it is no factor: the signer knows nothing of it', async () => {
  const agent = await world.enrolled();
  const { id } = await world.vmOf(agent);
  const draft = await ann.ask('POST', '/v1/operations', { vm: id, account: { mode: 'generated' } });
  const op = String(draft.body['op']);
  const secret = { mode: 'generated', recipient_jwk: await world.recipient() };
  const intent = await ann.ask('POST', `/v1/operations/${op}/intent`, { account: { secret } });
  expect(intent.body['methods']).toEqual([]);
  const response = passkey.assert(String(intent.body['intent_hash']));
  const submitted = await ann.ask('POST', `/v1/operations/${op}/submit`, { method: 'passkey', response });
  expect(said(submitted)).toEqual([403, 'FACTOR_UNKNOWN']);
});

test('one that is forgotten signs nobody in any more, and another person’s cannot be forgotten', async () => {
  const { items } = (await ann.ask('GET', '/v1/auth/passkeys')).body as { items: { id: string; name: string }[] };
  expect(items).toMatchObject([{ name: 'phone' }]);
  const bob = await person(world, 'bob');
  await bob.signIn('bob@example.test', PASSWORD);
  const path = `/v1/auth/passkeys/${items[0]?.id}`;
  expect((await bob.ask('DELETE', path)).status).toBeGreaterThanOrEqual(400);
  expect(said(await ann.ask('DELETE', path))).toEqual([200, null]);
  expect(said(await signIn(new Browser(world), passkey))).toEqual([403, 'SIGN_IN_REFUSED']);
});
