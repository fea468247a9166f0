// The login of a program by a person in a browser: what the program is told, who may decide and how often they may guess, and
// what comes of it, once.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Answer, World } from '../world.ts';
import { Browser, PASSWORD, person } from './browser.ts';

const MINUTES_10 = 10 * 60_000;

let world: World;
let ann: Browser;
beforeAll(async () => {
  world = await World.start();
  ann = await signedIn('ann');
});
afterAll(() => world.stop());
beforeEach(() => {
  ann.origin = world.publicUrl;
  // Whatever was tried before counts no more.
  world.now += 2 * MINUTES_10;
});

const said = ({ status, body }: Answer) => [status, body['code'] ?? null];
async function signedIn(operator: string, more: object = {}): Promise<Browser> {
  const browser = await person(world, operator, more);
  await browser.signIn(`${operator}@example.test`, PASSWORD);
  return browser;
}

type Begun = { device_code: string; user_code: string; interval: number; expires_in: number };
const program = (path: string, body: object) =>
  world.ask('POST', `/v1/auth/device${path}`, body, { authorization: '' });
const begin = async (more: object = {}) => (await program('', { host: 'desk', ...more })).body as Begun;
const take = (device_code: string) => program('/token', { device_code });
const decide = (browser: Browser, word: 'look' | 'approve' | 'deny', user_code: string) =>
  browser.ask('POST', `/v1/auth/device/${word}`, { user_code });
const keyed = ({ body }: Answer) => ({ authorization: `Bearer ${String(body['api_key'])}` });

describe('a program that was let in', () => {
  test('gets one key of that person, for what was shown, until then, and once', async () => {
    const begun = (await program('', { host: 'desk', scopes: ['read'], ttl_s: 3_600 })).body as Begun;
    expect(begun).toMatchObject({ expires_in: 600, interval: 1 });
    expect(begun.user_code).toMatch(/^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$/);
    expect(begun).toMatchObject({
      verification_uri: `${world.publicUrl}/device`,
      verification_uri_complete: `${world.publicUrl}/device?user_code=${begun.user_code}`,
    });
    expect(said(await take(begun.device_code))).toEqual([400, 'LOGIN_PENDING']);
    const until = new Date(world.now + 3_600_000).toISOString();
    expect((await decide(ann, 'look', begun.user_code.toLowerCase().replace('-', ''))).body).toMatchObject({
      ...{ user_code: begun.user_code, host: 'desk', address: '127.0.0.1', asked: ['read'], scopes: ['read'] },
      key_expires_at: until,
    });
    expect(said(await decide(ann, 'approve', begun.user_code))).toEqual([200, null]);
    expect(said(await decide(ann, 'approve', begun.user_code))).toEqual([409, 'STATE_CONFLICT']);
    world.now += 1_000;
    const taken = await take(begun.device_code);
    expect(taken.body).toMatchObject({
      ...{ operator: 'ann', name: 'cli on desk', scopes: ['read'], state: 'live' },
      expires_at: new Date(world.now + 3_600_000).toISOString(),
    });
    expect((await world.ask('GET', '/v1/whoami', undefined, keyed(taken))).body['operator']).toBe('ann');
    expect(said(await take(begun.device_code))).toEqual([403, 'AUTHZ_INVALID']);
    const types = (await world.events()).map(({ type, data }) => [type, data['operator']]);
    expect(types.slice(-2)).toEqual([
      ['person.login_approved', 'ann'],
      ['api_key.created', 'ann'],
    ]);
  });

  test('leaves neither its code nor its key in a table or a log', async () => {
    const begun = await begin();
    await decide(ann, 'approve', begun.user_code);
    const logins = JSON.stringify(await world.store.db.selectFrom('device_logins').selectAll().execute());
    expect(logins).toContain(begun.user_code.replace('-', ''));
    const taken = await take(begun.device_code);
    const tables = ['api_keys', 'events', 'handover', 'device_logins'] as const;
    const rows = await Promise.all(tables.map((table) => world.store.db.selectFrom(table).selectAll().execute()));
    for (const text of [logins, JSON.stringify(rows), world.logged.join('\n')]) {
      expect(text).not.toContain(begun.device_code);
      expect(text).not.toContain(taken.body['api_key']);
    }
  });

  test('by two requests at once gets one key', async () => {
    const begun = await begin();
    await decide(ann, 'approve', begun.user_code);
    const both = await Promise.all([take(begun.device_code), take(begun.device_code)]);
    expect(both.map(({ status }) => status).toSorted()).toEqual([201, 403]);
  });

  test('by a viewer may no more than a viewer, whatever it asked for', async () => {
    const viewer = await signedIn('viv', { role: 'viewer' });
    const begun = await begin({ scopes: ['read', 'operate', 'administer'] });
    expect((await decide(viewer, 'look', begun.user_code)).body).toMatchObject({
      ...{ asked: ['read', 'operate', 'administer'], scopes: ['read'] },
    });
    await decide(viewer, 'approve', begun.user_code);
    const taken = await take(begun.device_code);
    expect(taken.body['scopes']).toEqual(['read']);
    // Also after a rise: what was let in is what was shown.
    await world.ask('POST', '/v1/projects/default/members', { operator: 'viv', role: 'admin' });
    expect(said(await world.ask('POST', '/v1/join-tokens', {}, keyed(taken)))).toEqual([403, 'FORBIDDEN']);
    expect(said(await world.ask('GET', '/v1/vms', undefined, keyed(taken)))).toEqual([200, null]);
  });

  test('is not let in by who may nothing of what it asks for', async () => {
    const viewer = await signedIn('vic', { role: 'viewer' });
    const begun = await begin({ scopes: ['administer'] });
    expect(said(await decide(viewer, 'approve', begun.user_code))).toEqual([403, 'FORBIDDEN']);
    expect(said(await take(begun.device_code))).toEqual([400, 'LOGIN_PENDING']);
  });
});

describe('a program that was not let in', () => {
  test('is told that it was denied, and nobody lets it in afterwards', async () => {
    const begun = await begin();
    expect(said(await decide(ann, 'deny', begun.user_code))).toEqual([200, null]);
    expect(said(await decide(ann, 'approve', begun.user_code))).toEqual([409, 'STATE_CONFLICT']);
    expect(said(await take(begun.device_code))).toEqual([400, 'LOGIN_DENIED']);
    expect((await world.events()).at(-1)?.type).toBe('person.login_denied');
  });

  test.each(['pending', 'approved'])('is told after ten minutes that its code is over, %s or not', async (state) => {
    const begun = await begin();
    if (state === 'approved') await decide(ann, 'approve', begun.user_code);
    world.now += MINUTES_10;
    expect(said(await take(begun.device_code))).toEqual([400, 'LOGIN_EXPIRED']);
    for (const word of ['look', 'approve', 'deny'] as const) {
      expect(said(await decide(ann, word, begun.user_code)), word).toEqual([400, 'LOGIN_EXPIRED']);
    }
    world.now += MINUTES_10 + 1;
    await begin();
    expect(said(await take(begun.device_code))).toEqual([403, 'AUTHZ_INVALID']);
  });

  test('has to ask less often each time that it asked too often', async () => {
    const { device_code, user_code } = await begin();
    const codes = [];
    await decide(ann, 'approve', user_code);
    await world.store.db.updateTable('device_logins').set({ polled_at: world.now }).execute();
    for (const wait of [999, 5_999, 11_000]) {
      world.now += wait;
      codes.push((await take(device_code)).body['code'] ?? 'let in');
    }
    expect(codes).toEqual(['LOGIN_SLOW_DOWN', 'LOGIN_SLOW_DOWN', 'let in']);
  });
});

describe('guessing a code', () => {
  const guesses = async (count: number, browser: () => Browser) => {
    const codes = [];
    for (let n = 0; n < count; n += 1) codes.push((await decide(browser(), 'look', 'BBBB-BBBB')).body['code']);
    return codes;
  };

  test('ends after ten tries, also of the right one, for that person and that address, for ten minutes', async () => {
    const begun = await begin();
    expect(new Set(await guesses(10, () => ann))).toEqual(new Set(['NOT_FOUND']));
    for (const word of ['look', 'approve', 'deny'] as const) {
      expect(said(await decide(ann, word, begun.user_code)), word).toEqual([429, 'RATE_LIMITED']);
    }
    // Somebody else at the same address.
    expect(said(await decide(await signedIn('bob'), 'look', begun.user_code))).toEqual([429, 'RATE_LIMITED']);
    expect(said(await take(begun.device_code))).toEqual([400, 'LOGIN_PENDING']);
    world.now += MINUTES_10;
    expect(said(await decide(ann, 'look', (await begin()).user_code))).toEqual([200, null]);
  });

  test('from several addresses is counted by person, too', async () => {
    await guesses(10, () => ann);
    await world.store.db.deleteFrom('device_tries').where('who', 'like', 'address %').execute();
    expect(await guesses(1, () => ann)).toEqual(['RATE_LIMITED']);
  });

  test('is for those who signed in, and beginning is not without end', async () => {
    const begun = await begin();
    const nobody = new Browser(world);
    expect(said(await decide(nobody, 'look', begun.user_code))).toEqual([401, 'UNAUTHENTICATED']);
    const key = { authorization: `Bearer ${world.apiKey}` };
    const byKey = await world.ask('POST', '/v1/auth/device/approve', { user_code: begun.user_code }, key);
    expect(said(byKey)).toEqual([403, 'FORBIDDEN']);
    const codes = await Promise.all(Array.from({ length: 30 }, () => program('', { host: 'desk' })));
    expect(codes.filter(({ status }) => status === 201)).toHaveLength(29);
    expect(codes.at(-1)?.body['code']).toBe('RATE_LIMITED');
  });
});

test.each(['https://evil.example', 'null', ''])(
  'a page of origin %j lets nothing in and sees nothing',
  async (origin) => {
    const begun = await begin();
    ann.origin = origin;
    for (const word of ['look', 'approve', 'deny'] as const) {
      expect(said(await decide(ann, word, begun.user_code)), word).toEqual([403, 'ORIGIN_REFUSED']);
    }
    expect(said(await take(begun.device_code))).toEqual([400, 'LOGIN_PENDING']);
  },
);

describe('the page', () => {
  const get = (path: string) => fetch(`${world.origin}${path}`);

  test('runs its own script and style and nothing else, in no frame, and asks this server alone', async () => {
    const types = { '/device?user_code=BBBB-BBBB': 'text/html', '/device/page.js': 'text/javascript' };
    for (const [path, type] of Object.entries({ ...types, '/device/page.css': 'text/css' })) {
      const { status, headers } = await get(path);
      expect([status, headers.get('content-type')]).toEqual([200, `${type}; charset=utf-8`]);
      const policy = headers.get('content-security-policy') ?? '';
      expect(policy).toMatch(/^default-src 'none';script-src 'self';style-src 'self';connect-src 'self';/);
      expect(policy).toMatch(/frame-ancestors 'none'/);
      expect(policy).not.toMatch(/unsafe|\*|https?:/);
      expect(headers.get('referrer-policy')).toBe('no-referrer');
    }
  });

  test('has nothing inline, nothing from elsewhere, and never what its address says', async () => {
    const html = await (await get('/device?user_code=%3Cscript%3E')).text();
    expect(html).not.toMatch(/<script>|\son\w+=|\sstyle=|<style/);
    expect([...html.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, where]) => where)).toEqual([
      ...['data:,', '/device/page.css', '/device/page.js'],
    ]);
    expect(await (await get('/device/page.js')).text()).not.toMatch(/innerHTML|insertAdjacent|document\.write|eval\(/);
  });

  test('shows the code to be compared, and lets nothing in before that was confirmed', async () => {
    const html = await (await get('/device')).text();
    expect(html).toMatch(/id="shown"/);
    expect(html).toMatch(/<input type="checkbox" id="same" required>/);
    expect(html).toContain('data-sso="no"');
  });
});
