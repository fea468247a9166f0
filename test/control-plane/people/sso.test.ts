// Single sign-on, against a real OpenID provider: whoever it says was invited comes in, and nobody else.

import { generateKeyPairSync } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import Provider from 'oidc-provider';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Answer, World } from '../world.ts';
import { Browser, person } from './browser.ts';

const CLIENT = { clientId: 'latchkey', clientSecret: 'a secret of this client with the provider' };
/** Whom the provider has signed in, and what it says of them. */
let account = { sub: 'none', email: '', email_verified: true };

let world: World;
let server: Server;
let provider: Provider | undefined;
beforeAll(async () => {
  server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://localhost:${(server.address() as AddressInfo).port}`;
  world = await World.start({ oidc: { issuer, ...CLIENT } });
  await person(world, 'ann');
  // As many do that have a provider: she was invited and has no password.
  const bob = { email: 'bob@example.test', operator: 'bob', role: 'viewer' };
  const [, invitation] = String((await world.ask('POST', '/v1/invitations', bob)).body['link']).split('#');
  await new Browser(world).ask('POST', '/v1/auth/invitations', { invitation, name: 'Bob' });
});
afterAll(async () => {
  await world.stop();
  server.close();
});

const said = ({ status, body }: Answer) => [status, body['code'] ?? null];

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (!provider) return void response.writeHead(503).end();
  if (!request.url?.startsWith('/interaction/')) return void provider.callback()(request, response);
  await provider.interactionFinished(request, response, { login: { accountId: account.sub } });
}

function open(): Provider {
  const { port } = server.address() as AddressInfo;
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const redirect = `${world.publicUrl}/v1/auth/callback/sso`;
  return new Provider(`http://localhost:${port}`, {
    clients: [{ client_id: CLIENT.clientId, client_secret: CLIENT.clientSecret, redirect_uris: [redirect] }],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    findAccount: (_context, accountId) => ({ accountId, claims: () => ({ name: 'N', ...account }) }),
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
    async loadExistingGrant({ oidc }) {
      const { accountId } = oidc.session ?? {};
      const grant = new oidc.provider.Grant({ clientId: CLIENT.clientId, ...(accountId ? { accountId } : {}) });
      grant.addOIDCScope('openid email profile');
      await grant.save();
      return grant;
    },
    cookies: { keys: ['a key of the provider alone'] },
    jwks: { keys: [{ ...(privateKey.export({ format: 'jwk' }) as object), use: 'sig', alg: 'RS256' } as never] },
  });
}

/** What the provider's own pages do in a browser, up to where it sends the browser back. */
async function atProvider(url: string): Promise<string> {
  const cookies = new Map<string, string>();
  for (let next = url; ; ) {
    if (next.startsWith(world.publicUrl)) return next.slice(world.publicUrl.length);
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(next, { redirect: 'manual', headers: { cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      cookies.set(name, value);
    }
    const location = response.headers.get('location');
    if (location === null) throw new Error(`the provider answers ${response.status}: ${await response.text()}`);
    next = new URL(location, next).href;
  }
}

async function signIn(browser: Browser, as: Partial<typeof account>, body?: object): Promise<Response> {
  account = { sub: `sub of ${as.email}`, email: '', email_verified: true, ...as };
  const begun = await browser.ask('POST', '/v1/auth/sso', body);
  return back(browser, await atProvider(String(begun.body['url'])));
}

async function back(browser: Browser, path: string): Promise<Response> {
  const { cookie } = browser;
  const response = await fetch(`${world.origin}${path}`, { redirect: 'manual', headers: { cookie } });
  browser.keep(response.headers);
  return response;
}

test('while the provider is away nobody begins, and once it is there they do', async () => {
  const browser = new Browser(world);
  expect(said(await browser.ask('POST', '/v1/auth/sso'))).toEqual([403, 'SIGN_IN_REFUSED']);
  provider = open();
  expect(said(await browser.ask('POST', '/v1/auth/sso'))).toEqual([200, null]);
});

test('who was invited by an address that the provider has verified comes in as their operator, again and again', async () => {
  for (const operator of ['ann', 'bob', 'ann']) {
    const browser = new Browser(world);
    const { status, headers } = await signIn(browser, { email: `${operator}@example.test` });
    expect([status, headers.get('location')]).toEqual([303, '/v1/auth/session']);
    expect((await browser.ask('GET', '/v1/auth/session')).body).toMatchObject({ operator });
  }
  const told = (await world.events()).filter(({ type }) => type === 'person.signed_in');
  expect(told.map(({ data }) => data)).toMatchObject(
    ['ann', 'bob', 'ann'].map((operator) => ({ operator, method: 'sso' })),
  );
});

test('who came from the login of a program goes back to its page, however it ended, and to no other page', async () => {
  const body = { user_code: 'BCDF-GHJK' };
  const known = await signIn(new Browser(world), { email: 'ann@example.test' }, body);
  expect(known.headers.get('location')).toBe('/device?user_code=BCDF-GHJK');
  const unknown = await signIn(new Browser(world), { email: 'eve@example.test' }, body);
  expect(unknown.headers.get('location')).toMatch(/^\/device\?user_code=BCDF-GHJK&sign-in=refused&error=/);
  const elsewhere = await new Browser(world).ask('POST', '/v1/auth/sso', { user_code: '//evil.example' });
  expect(said(elsewhere)).toEqual([400, 'REQUEST_INVALID']);
  expect(await (await fetch(`${world.origin}/device`)).text()).toContain('data-sso="yes"');
});

test.each([
  ['was not invited', { email: 'eve@example.test' }],
  ['has an address that the provider did not verify', { email: 'ann@example.test', sub: 'eve', email_verified: false }],
])('who %s does not', async (_, as) => {
  const browser = new Browser(world);
  const { status, headers } = await signIn(browser, as);
  expect([status, headers.get('location')]).toEqual([303, expect.stringContaining('error=')]);
  expect(browser.token).toBeUndefined();
  expect(said(await browser.ask('GET', '/v1/auth/session'))).toEqual([401, 'UNAUTHENTICATED']);
  const people = await world.store.db.selectFrom('auth_users').select('operator').orderBy('operator').execute();
  expect(people.map(({ operator }) => operator)).toEqual(['ann', 'bob']);
});

test('what another browser began signs nobody in here', async () => {
  account = { sub: 'sub of ann@example.test', email: 'ann@example.test', email_verified: true };
  const [theirs, here] = [new Browser(world), new Browser(world)];
  const begun = await theirs.ask('POST', '/v1/auth/sso');
  const path = await atProvider(String(begun.body['url']));
  await back(here, path);
  expect(here.token).toBeUndefined();
  expect(said(await here.ask('GET', '/v1/auth/session'))).toEqual([401, 'UNAUTHENTICATED']);
});
