// People: how they come, how they sign in and out, and what a page of another site can do in their name, which is nothing.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, World } from '../world.ts';
import { Browser, PASSWORD, person } from './browser.ts';

let world: World;
beforeAll(async () => {
  world = await World.start();
});
afterAll(() => world.stop());

const said = ({ status, body }: Answer) => [status, body['code'] ?? null];
const signedIn = async (operator: string, more: object = {}) => {
  const browser = await person(world, operator, more);
  expect(said(await browser.signIn(`${operator}@example.test`, PASSWORD))).toEqual([200, null]);
  return browser;
};

describe('an invitation', () => {
  const invite = (body: object, headers?: Record<string, string>) =>
    world.ask(
      'POST',
      '/v1/invitations',
      { email: 'x@example.test', operator: 'xena', role: 'viewer', ...body },
      headers,
    );
  const secretOf = ({ body }: Answer) => String(body['link']).split('#')[1];
  const accept = (invitation: string | undefined, more: object = {}) =>
    new Browser(world).ask('POST', '/v1/auth/invitations', { invitation, name: 'X', password: PASSWORD, ...more });

  test('makes one operator who may what it says, once', async () => {
    const invited = await invite({});
    expect(said(await accept(secretOf(invited), { password: 'too short' }))).toEqual([400, 'REQUEST_INVALID']);
    expect((await accept(secretOf(invited))).body).toEqual({ operator: 'xena', email: 'x@example.test' });
    expect(said(await accept(secretOf(invited)))).toEqual([403, 'AUTHZ_INVALID']);
    const browser = new Browser(world);
    await browser.signIn('X@Example.test', PASSWORD);
    expect((await browser.ask('GET', '/v1/whoami')).body).toMatchObject({
      operator: 'xena',
      projects: [{ project: 'default', role: 'viewer' }],
    });
    expect(said(await browser.ask('POST', '/v1/join-tokens', {}))).toEqual([403, 'FORBIDDEN']);
  });

  test('is mailed to who was invited, with the link, and is as good where no mail goes', async () => {
    const mailed = await invite({ operator: 'wanda', email: 'w@example.test' });
    expect(mailed.body).toMatchObject({ mailed: true });
    const letter = world.letters.at(-1);
    expect([letter?.to, letter?.text.includes(`\n  ${String(mailed.body['link'])}\n`)]).toEqual([
      'w@example.test',
      true,
    ]);
    world.mailIsDown = true;
    const unmailed = await invite({ operator: 'vera', email: 'v@example.test' });
    world.mailIsDown = false;
    expect(unmailed.body).toMatchObject({ mailed: false });
    expect((await accept(secretOf(unmailed))).status).toBe(201);
    // What makes somebody come is in no log, whether it went out or not.
    for (const answer of [mailed, unmailed]) expect(world.logged.join('')).not.toContain(secretOf(answer));
    await world.ask('DELETE', `/v1/invitations/${String(mailed.body['id'])}`);
  });

  test('is worthless once it is revoked or over, and another one is no other person', async () => {
    const [revoked, old] = [
      await invite({ operator: 'yuri', email: 'yy@example.test' }),
      await invite({ operator: 'yuri', email: 'y@example.test' }),
    ];
    await world.ask('DELETE', `/v1/invitations/${String(revoked.body['id'])}`);
    expect(said(await accept(secretOf(revoked)))).toEqual([403, 'AUTHZ_INVALID']);
    world.now += 72 * 3_600_000;
    expect(said(await accept(secretOf(old)))).toEqual([403, 'AUTHZ_INVALID']);
    world.now -= 72 * 3_600_000;
    expect(said(await accept('A'.repeat(43)))).toEqual([403, 'AUTHZ_INVALID']);
    expect(said(await invite({}))).toEqual([409, 'ALREADY_EXISTS']);
    const listed = (await world.ask('GET', '/v1/invitations')).body['items'] as { state: string }[];
    expect(listed.map(({ state }) => state).toSorted()).toEqual(['accepted', 'accepted', 'live', 'revoked', 'revoked']);
  });

  test('of an admin of one project gives nobody what an operator of another has', async () => {
    await world.ask('POST', '/v1/projects', { name: 'shop' });
    const { body } = await world.ask('POST', '/v1/operators', { name: 'paul', project: 'shop' });
    const paul = { authorization: `Bearer ${String(body['api_key'])}` };
    expect(said(await invite({ operator: 'admin', email: 'p@example.test' }, paul))).toEqual([409, 'ALREADY_EXISTS']);
    expect(said(await invite({ operator: 'zoe', project: 'default' }, paul))).toEqual([404, 'NOT_FOUND']);
    const zoe = await invite({ operator: 'zoe', email: 'z@example.test', role: 'admin' }, paul);
    // An operator of that name comes by another way in between.
    await world.ask('POST', '/v1/operators', { name: 'zoe' });
    expect(said(await accept(secretOf(zoe)))).toEqual([403, 'AUTHZ_INVALID']);
  });
});

describe('signing in', () => {
  test('is refused in the same words for a wrong password and for somebody who is not known', async () => {
    await person(world, 'ann');
    const ask = async (email: string, password: string) => {
      const { status, body, headers } = await new Browser(world).signIn(email, password);
      return { status, body, cookies: headers.getSetCookie() };
    };
    const wrong = await ask('ann@example.test', 'not the password');
    expect(wrong).toMatchObject({ status: 403, body: { code: 'SIGN_IN_REFUSED' }, cookies: [] });
    expect(await ask('nobody@example.test', 'not the password')).toEqual(wrong);
  });

  test('draws a session that no cookie from before decides', async () => {
    const browser = await person(world, 'bea');
    browser.cookies.set('latchkey.session_token', 'chosen.by-somebody-else');
    await browser.signIn('bea@example.test', PASSWORD);
    const first = browser.token;
    expect(first).not.toBe('chosen.by-somebody-else');
    await browser.signIn('bea@example.test', PASSWORD);
    expect(browser.token).not.toBe(first);
  });

  test('keeps the session in a cookie that no script and no other site reads', async () => {
    const browser = await person(world, 'cat');
    const { headers, body } = await browser.signIn('cat@example.test', PASSWORD);
    const cookie = headers.getSetCookie().find((line) => line.startsWith('latchkey.session_token='));
    expect(cookie).toMatch(/; Path=\/; HttpOnly; SameSite=Lax$/i);
    expect(JSON.stringify(body)).not.toContain(browser.token?.split('.')[0]);
    expect(headers.get('cache-control')).toBe('no-store');
  });

  test('with a password leaves it in no table, no log and no answer', async () => {
    const browser = await signedIn('dan');
    const answers = JSON.stringify((await browser.ask('GET', '/v1/auth/session')).body);
    const tables = ['auth_users', 'auth_accounts', 'invitations', 'events', 'handover'] as const;
    const rows = await Promise.all(tables.map((table) => world.store.db.selectFrom(table).selectAll().execute()));
    for (const text of [answers, JSON.stringify(rows), world.logged.join('\n')]) expect(text).not.toContain(PASSWORD);
    expect(JSON.stringify(rows)).toMatch(/"password":"[0-9a-f]{32}:[0-9a-f]{128}"/);
  });

  test('is slowed down for whoever tries again and again', async () => {
    const slow = await World.start({ signInsPerMinuteMax: 3 });
    try {
      const codes = [];
      for (let tries = 0; tries < 4; tries += 1) {
        codes.push((await new Browser(slow).signIn('nobody@example.test', 'guess')).body['code']);
      }
      expect(codes).toEqual(['SIGN_IN_REFUSED', 'SIGN_IN_REFUSED', 'SIGN_IN_REFUSED', 'RATE_LIMITED']);
    } finally {
      await slow.stop();
    }
  });
});

describe('a session', () => {
  test('is an operator, who may what their role says', async () => {
    const browser = await signedIn('eli');
    const agent = await world.enrolled('web-eli');
    const draft = await browser.ask('POST', '/v1/operations', { vm: 'web-eli', account: { mode: 'generated' } });
    expect(draft.body).toMatchObject({ operator: 'eli', agent: agent.agent });
    expect((await browser.ask('GET', '/v1/auth/session')).body).toMatchObject({ operator: 'eli', name: 'eli' });
    expect(said(await browser.ask('POST', '/v1/join-tokens', {}))).toEqual([403, 'FORBIDDEN']);
    // A proof is another thing: signing in gives none.
    const { op } = draft.body as { op: string };
    expect(said(await browser.ask('POST', `/v1/operations/${op}/submit`, {}))).toEqual([403, 'AUTHZ_INVALID']);
  });

  test('that is ended is nobody’s, and the streams that it opened end', async () => {
    const browser = await signedIn('fay');
    const stream = await browser.stream('/v1/events');
    const { cookie } = browser;
    expect(said(await browser.ask('POST', '/v1/auth/sign-out'))).toEqual([200, null]);
    await world.joinToken();
    expect(await stream.said).not.toContain('join_token.created');
    expect(said(await world.ask('GET', '/v1/whoami', undefined, { authorization: '', cookie }))).toEqual([
      401,
      'UNAUTHENTICATED',
    ]);
  });

  test('ends with all others of that person by signing out everywhere, and with a new password', async () => {
    const [here, there] = [await signedIn('gil'), new Browser(world)];
    await there.signIn('gil@example.test', PASSWORD);
    const change = { current: PASSWORD, new: 'another long enough one' };
    expect(said(await here.ask('POST', '/v1/auth/password', { ...change, current: 'wrong' }))).toEqual([
      403,
      'SIGN_IN_REFUSED',
    ]);
    expect(said(await there.ask('GET', '/v1/auth/session'))).toEqual([200, null]);
    expect(said(await here.ask('POST', '/v1/auth/password', change))).toEqual([200, null]);
    expect(said(await there.ask('GET', '/v1/auth/session'))).toEqual([401, 'UNAUTHENTICATED']);
    expect(said(await here.ask('GET', '/v1/auth/session'))).toEqual([200, null]);
    expect(said(await there.signIn('gil@example.test', PASSWORD))).toEqual([403, 'SIGN_IN_REFUSED']);
    await there.signIn('gil@example.test', change.new);
    const stream = await there.stream('/v1/events');
    expect(said(await here.ask('POST', '/v1/auth/sign-out-everywhere'))).toEqual([200, null]);
    await world.joinToken();
    expect(await stream.said).not.toContain('join_token.created');
    for (const browser of [here, there]) {
      expect(said(await browser.ask('GET', '/v1/auth/session'))).toEqual([401, 'UNAUTHENTICATED']);
    }
  });

  test('is what a program with a key has none of, and a key beside a cookie is what counts', async () => {
    const browser = await signedIn('hal');
    expect(said(await world.ask('GET', '/v1/auth/session'))).toEqual([403, 'FORBIDDEN']);
    const bearer = { authorization: `Bearer ${world.apiKey}` };
    expect((await browser.ask('GET', '/v1/whoami', undefined, bearer)).body['operator']).toBe('admin');
    const wrong = { authorization: 'Bearer nonsense' };
    expect(said(await browser.ask('GET', '/v1/whoami', undefined, wrong))).toEqual([401, 'UNAUTHENTICATED']);
  });
});

describe('a page of another site', () => {
  test.each(['https://evil.example', 'null', 'http://localhost.evil.example', 'http://localhost:1', ''])(
    'of origin %j changes nothing in the name of who is signed in, and signs nobody in or out',
    async (origin) => {
      const name = `ivy${Math.random().toString(36).slice(2, 8)}`;
      const browser = await signedIn(name, { role: 'admin' });
      const events = async () => (await world.events()).length;
      const before = await events();
      browser.origin = origin;
      for (const [method, path, body] of [
        ['POST', '/v1/join-tokens', {}],
        ['POST', '/v1/auth/sign-out', {}],
        ['POST', '/v1/auth/sign-out-everywhere', {}],
        ['POST', '/v1/auth/sign-in', { email: `${name}@example.test`, password: PASSWORD }],
        ['POST', '/v1/auth/invitations', { invitation: 'A'.repeat(43), name: 'x' }],
        ['DELETE', '/v1/api-keys/key_AAAAAAAAAAAAAAAA', {}],
      ] as const) {
        expect(said(await browser.ask(method, path, body)), path).toEqual([403, 'ORIGIN_REFUSED']);
      }
      expect(await events()).toBe(before);
      browser.origin = world.publicUrl;
      expect(said(await browser.ask('GET', '/v1/auth/session'))).toEqual([200, null]);
    },
  );

  test('changes nothing by a GET, nor by a form', async () => {
    const browser = await signedIn('jan', { role: 'admin' });
    expect(said(await browser.ask('GET', '/v1/auth/sign-out'))).toEqual([404, 'NOT_FOUND']);
    const form = await fetch(`${world.origin}/v1/join-tokens`, {
      method: 'POST',
      headers: { cookie: browser.cookie, 'content-type': 'application/x-www-form-urlencoded' },
      body: 'uses=1',
    });
    expect([form.status, ((await form.json()) as { code: string }).code]).toEqual([403, 'ORIGIN_REFUSED']);
  });

  test('reads no answer, frames none, and runs nothing in one', async () => {
    const { headers } = await (await signedIn('kim')).ask('GET', '/v1/whoami', undefined, {
      origin: 'https://evil.example',
    });
    expect(headers.get('access-control-allow-origin')).toBeNull();
    expect(headers.get('x-frame-options')).toBe('DENY');
    expect(headers.get('content-security-policy')).toBe("default-src 'none';frame-ancestors 'none'");
    expect(headers.get('cache-control')).toBe('no-store');
  });
});
