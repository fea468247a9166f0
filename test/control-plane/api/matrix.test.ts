// Every request and every stream of the API, made in every role, by an admin of another project, by an operator of no project,
// and by nobody. What is expected stands here once more in plain words, and not where the server reads it: a request that has
// no row here fails.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requests } from '../../../control-plane/api/contract.ts';
import { type Role, roles } from '../../../control-plane/core/rights.ts';
import { insertOperator } from '../../../control-plane/store/operators.ts';
import { putPreflight } from '../../../control-plane/store/preflights.ts';
import { insertProject } from '../../../control-plane/store/projects.ts';
import { sha256Text, toBase64url } from '../../../protocol/keys.ts';
import { type Browser, PASSWORD, person } from '../people/browser.ts';
import { demandListed } from '../refusals-listed.ts';
import { World } from '../world.ts';

/**
 * Who may: `members` of the project in whatever role, those who `operate`, its `admins`, whoever is `known`, `people` who signed in and no
 * program with a key, or `anyone`. And
 * what an admin of another project finds: `nothing` there (404), or only their `own` things.
 */
type Row = Readonly<{
  may: 'members' | 'operate' | 'admins' | 'known' | 'people' | 'anyone';
  elsewhere: 'nothing' | 'own';
}>;
const row = (may: Row['may'], elsewhere: Row['elsewhere']): Row => ({ may, elsewhere });

const table: Readonly<Record<string, Row>> = {
  'GET /v1/vms': row('members', 'own'),
  'POST /v1/vms': row('operate', 'nothing'),
  'DELETE /v1/vms/:vm': row('operate', 'nothing'),
  'GET /v1/vms/:vm': row('members', 'nothing'),
  'PATCH /v1/vms/:vm': row('operate', 'nothing'),
  'GET /v1/vms/:vm/owner': row('members', 'nothing'),
  'POST /v1/vms/:vm/owner': row('admins', 'nothing'),
  'GET /v1/vms/:vm/preflight': row('members', 'nothing'),
  'POST /v1/vms/:vm/preflight': row('operate', 'nothing'),
  'POST /v1/preflights': row('operate', 'nothing'),
  'POST /v1/vms/:vm/release-intent': row('operate', 'nothing'),
  'POST /v1/vms/:vm/release': row('operate', 'nothing'),
  'POST /v1/operations': row('operate', 'nothing'),
  'GET /v1/operations': row('members', 'own'),
  'GET /v1/operations/:op': row('members', 'nothing'),
  'POST /v1/operations/:op/intent': row('operate', 'nothing'),
  'GET /v1/operations/:op/intent': row('operate', 'nothing'),
  'POST /v1/operations/:op/factors/email': row('operate', 'nothing'),
  'POST /v1/operations/:op/factors/passkey': row('operate', 'nothing'),
  'POST /v1/operations/:op/submit': row('operate', 'nothing'),
  'POST /v1/operations/:op/cancel': row('operate', 'nothing'),
  'POST /v1/operations/:op/collected': row('operate', 'nothing'),
  'POST /v1/bulk': row('operate', 'nothing'),
  'GET /v1/bulk': row('members', 'own'),
  'GET /v1/bulk/:bulk': row('members', 'nothing'),
  'POST /v1/bulk/:bulk/intent': row('operate', 'nothing'),
  'GET /v1/bulk/:bulk/intent': row('operate', 'nothing'),
  'POST /v1/bulk/:bulk/factors/email': row('operate', 'nothing'),
  'POST /v1/bulk/:bulk/factors/passkey': row('operate', 'nothing'),
  'POST /v1/bulk/:bulk/submit': row('operate', 'nothing'),
  'POST /v1/bulk/:bulk/stop': row('operate', 'nothing'),
  'GET /v1/events': row('members', 'own'),
  'GET /v1/projects/:project/events': row('members', 'nothing'),
  'GET /v1/vms/:vm/events': row('members', 'nothing'),
  'GET /v1/operations/:op/events': row('members', 'nothing'),
  'POST /v1/webhooks': row('admins', 'nothing'),
  'GET /v1/webhooks': row('admins', 'own'),
  'GET /v1/webhooks/:webhook': row('admins', 'nothing'),
  'POST /v1/webhooks/:webhook/test': row('admins', 'nothing'),
  'GET /v1/webhooks/:webhook/deliveries': row('admins', 'nothing'),
  'POST /v1/webhooks/:webhook/deliveries/:delivery/redeliver': row('admins', 'nothing'),
  'DELETE /v1/webhooks/:webhook': row('admins', 'nothing'),
  'POST /v1/join-tokens': row('admins', 'nothing'),
  'GET /v1/join-tokens': row('members', 'own'),
  'DELETE /v1/join-tokens/:id': row('admins', 'nothing'),
  'GET /v1/trust': row('known', 'own'),
  'POST /v1/operators': row('admins', 'nothing'),
  'GET /v1/projects': row('known', 'own'),
  'POST /v1/projects': row('admins', 'nothing'),
  'GET /v1/projects/:project/members': row('members', 'nothing'),
  'POST /v1/projects/:project/members': row('admins', 'nothing'),
  'DELETE /v1/projects/:project/members/:operator': row('admins', 'nothing'),
  'POST /v1/api-keys': row('known', 'own'),
  'GET /v1/api-keys': row('known', 'own'),
  'DELETE /v1/api-keys/:id': row('known', 'nothing'),
  'POST /v1/passkeys/options': row('known', 'own'),
  'POST /v1/passkeys': row('known', 'own'),
  'GET /v1/whoami': row('known', 'own'),
  'POST /v1/invitations': row('admins', 'nothing'),
  'GET /v1/invitations': row('admins', 'own'),
  'DELETE /v1/invitations/:id': row('admins', 'nothing'),
  'POST /v1/auth/invitations': row('anyone', 'own'),
  'POST /v1/auth/sign-in': row('anyone', 'own'),
  'POST /v1/auth/sso': row('anyone', 'own'),
  'GET /v1/auth/callback/:provider': row('anyone', 'own'),
  'POST /v1/auth/passkey/options': row('anyone', 'own'),
  'POST /v1/auth/passkey/sign-in': row('anyone', 'own'),
  'GET /v1/auth/session': row('people', 'own'),
  'POST /v1/auth/sign-out': row('people', 'own'),
  'POST /v1/auth/sign-out-everywhere': row('people', 'own'),
  'POST /v1/auth/password': row('people', 'own'),
  'POST /v1/auth/passkeys/options': row('people', 'own'),
  'POST /v1/auth/passkeys': row('people', 'own'),
  'GET /v1/auth/passkeys': row('people', 'own'),
  'DELETE /v1/auth/passkeys/:id': row('people', 'own'),
  'POST /v1/auth/device': row('anyone', 'own'),
  'POST /v1/auth/device/token': row('anyone', 'own'),
  'POST /v1/auth/device/look': row('people', 'own'),
  'POST /v1/auth/device/approve': row('people', 'own'),
  'POST /v1/auth/device/deny': row('people', 'own'),
  'GET /device': row('anyone', 'own'),
  'GET /device/page.js': row('anyone', 'own'),
  'GET /device/page.css': row('anyone', 'own'),
  'GET /healthz': row('anyone', 'own'),
  'GET /v1/openapi.json': row('anyone', 'own'),
  'GET /v1/docs': row('anyone', 'own'),
};

const may: Readonly<Record<Row['may'], readonly Role[]>> = {
  members: roles,
  operate: ['operator', 'admin'],
  admins: ['admin'],
  known: roles,
  people: [],
  anyone: roles,
};

type Answer = Readonly<{ status: number; code: string | null; text: string }>;

let world: World;
/** By role in the project of the things; `elsewhere`: an admin of another project; `nowhere`: a member of none. */
const keys = new Map<Role | 'elsewhere' | 'nowhere', string>();
const people = new Map<Role, Browser>();
/** By key, the id of another key of the same operator. */
const ownKeys = new Map<string, string>();
const things = {
  vm: '',
  name: 'web',
  op: '',
  token: '',
  key: '',
  bulk: '',
  invitation: '',
  webhook: '',
  delivery: '',
  project: 'default',
};
/** Names of the same form, of things that are not there. */
const absent = { ...things, name: 'nothing', project: 'nowhere' };

beforeAll(async () => {
  world = await World.start();
  await world.store.write((trx) => insertProject(trx, 'other', world.now));
  for (const role of roles) await enter(role, `the-${role}`, 'default', role);
  for (const role of roles) {
    const { body } = await world.ask('POST', '/v1/api-keys', {}, { authorization: `Bearer ${keys.get(role)}` });
    ownKeys.set(keys.get(role) ?? '', String(body['id']));
  }
  things.key = ownKeys.get(keys.get('admin') ?? '') ?? '';
  await enter('elsewhere', 'stranger', 'other', 'admin');
  const leaving = { operator: 'leaving', project: 'default', role: 'viewer' } as const;
  await world.store.write((trx) => insertOperator(trx, leaving, 'no-hash-of-a-key', world.now));
  await enter('nowhere', 'loner', 'other', 'admin');
  await world.store.db.deleteFrom('memberships').where('operator', '=', 'loner').execute();
  const agent = await world.enrolled(things.name);
  things.vm = (await world.vmOf(agent)).id;
  things.op = (await world.draft(agent)).op;
  things.token = (await world.joinToken()).id;
  const hooked = await world.ask('POST', '/v1/webhooks', { url: 'https://hooks.invalid/', events: ['vm.released'] });
  things.webhook = String(hooked.body['id']);
  const tried = await world.ask('POST', `/v1/webhooks/${things.webhook}/test`, {});
  things.delivery = String(tried.body['id']);
  const none = { at: world.now, operator: 'admin', token: null, code: 'AGENT_OFFLINE' };
  await world.store.write((trx) => putPreflight(trx, things.vm, none));
  const bulk = await world.ask('POST', '/v1/bulk', { vms: [things.vm], account: {} });
  things.bulk = String(bulk.body['bulk']);
  const invited = { email: 'new@example.test', operator: 'new', role: 'viewer' };
  things.invitation = String((await world.ask('POST', '/v1/invitations', invited)).body['id']);
  for (const role of roles) people.set(role, await person(world, `the-${role}`, { role }));
  for (const name of ['vm', 'op', 'token', 'bulk', 'key', 'invitation', 'webhook', 'delivery'] as const)
    absent[name] = things[name].replace(/.{4}$/, '0000');
});
afterAll(() => world.stop());

async function enter(who: Role | 'elsewhere' | 'nowhere', operator: string, project: string, role: Role) {
  const key = `lk_${toBase64url(crypto.getRandomValues(new Uint8Array(32)))}`;
  const sha256 = await sha256Text(key);
  await world.store.write((trx) => insertOperator(trx, { operator, project, role }, sha256, world.now));
  keys.set(who, key);
}

type Given = Readonly<{
  key: string | undefined;
  cookie?: Record<string, string>;
  of?: typeof things;
  byName?: boolean;
}>;

async function ask(request: string, { key, cookie = {}, of = things, byName = false }: Given): Promise<Answer> {
  const [method = '', template = ''] = request.split(' ');
  const vm = byName ? of.name : of.vm;
  const ids = { '/v1/api-keys/:id': ownKeys.get(key ?? '') ?? of.key, '/v1/invitations/:id': of.invitation };
  const id = new Map(Object.entries(ids)).get(template) ?? of.token;
  const path = template
    .replace(':vm', vm)
    .replace(':operator', 'leaving')
    .replace(':op', of.op)
    .replace(':bulk', of.bulk)
    .replace(':project', of.project)
    .replace(':webhook', of.webhook)
    .replace(':delivery', of.delivery)
    .replace(':provider', 'sso')
    .replace(':id', id);
  const bodies: Record<string, object> = {
    'POST /v1/operations': { vm, account: { mode: 'generated' } },
    'POST /v1/join-tokens': { project: of.project },
    'POST /v1/preflights': { project: of.project, vms: [things.vm] },
    'POST /v1/bulk': { project: of.project, vms: [things.vm], account: {} },
    'POST /v1/webhooks': { project: of.project, url: 'https://hooks.invalid/' },
    'POST /v1/projects': { name: 'made' },
    'POST /v1/invitations': { project: of.project, email: 'newer@example.test', operator: 'newer', role: 'viewer' },
    'POST /v1/projects/:project/members': { operator: 'leaving', role: 'viewer' },
    'POST /v1/vms': { name: 'to-come', project: of.project },
    'POST /v1/operators': {
      name: `made-by-${key
        ?.slice(3, 8)
        .toLowerCase()
        .replaceAll(/[^a-z]/g, 'x')}`,
      project: of.project,
    },
  };
  const body = method === 'GET' ? undefined : JSON.stringify(bodies[request] ?? {});
  const end = new AbortController();
  const response = await fetch(`${world.origin}${path}`, {
    method,
    signal: end.signal,
    redirect: 'manual',
    headers: {
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      ...cookie,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body }),
  });
  const { status } = response;
  if (response.headers.get('content-type') === 'text/event-stream') {
    end.abort();
    return { status, code: null, text: '' };
  }
  const text = await response.text();
  const code = status < 400 ? null : (JSON.parse(text) as { code: string }).code;
  if (code !== null) demandListed(method, path, code);
  return { status, code, text };
}

async function trace(): Promise<string> {
  const tables = [
    'events',
    'operators',
    'api_keys',
    'join_tokens',
    'operations',
    'webhooks',
    'deliveries',
    'device_logins',
  ] as const;
  const count = async (of: (typeof tables)[number]) =>
    (await world.store.db.selectFrom(of).selectAll().execute()).length;
  return JSON.stringify(await Promise.all(tables.map(count)));
}

test('every request has its row, and there is no other row', () => {
  expect(Object.keys(table).toSorted()).toEqual(requests.toSorted());
});

describe.each(Object.entries(table))('%s', (request, { may: who, elsewhere }) => {
  test('is refused to whoever may not make it, and leaves nothing', async () => {
    const before = await trace();
    const nobody = await ask(request, { key: undefined });
    if (who === 'anyone') expect(['UNAUTHENTICATED', 'FORBIDDEN']).not.toContain(nobody.code);
    else expect(nobody).toMatchObject({ status: 401, code: 'UNAUTHENTICATED' });
    for (const role of roles.filter((role) => !may[who].includes(role))) {
      const refused = await ask(request, { key: keys.get(role) });
      expect(refused, role).toMatchObject({ status: 403, code: 'FORBIDDEN' });
    }
    expect(await trace()).toBe(before);
  });

  test('finds what is another project’s as little as what is not there', async () => {
    const before = await trace();
    const names = request.includes(':vm') || request === 'POST /v1/operations' ? [false, true] : [false];
    for (const byName of names) {
      const answer = await ask(request, { key: keys.get('elsewhere'), byName });
      const loner = await ask(request, { key: keys.get('nowhere'), byName });
      if (elsewhere === 'nothing') {
        expect(answer).toMatchObject({ status: 404, code: 'NOT_FOUND' });
        expect(answer.text).toBe((await ask(request, { key: keys.get('elsewhere'), of: absent, byName })).text);
        expect(loner.text).toBe(answer.text);
      } else {
        expect(['UNAUTHENTICATED', 'NOT_FOUND']).not.toContain(answer.code);
        for (const thing of [things.vm, things.op, things.token, things.key, things.webhook])
          expect(answer.text).not.toContain(thing);
        if (who === 'members') expect(loner).toMatchObject({ status: 403, code: 'FORBIDDEN' });
      }
    }
    if (elsewhere === 'nothing') expect(await trace()).toBe(before);
  });

  test.each(may[who].map((role) => [role]))('is let through as %s', async (role) => {
    const { code } = await ask(request, { key: keys.get(role) });
    expect(['UNAUTHENTICATED', 'FORBIDDEN', 'NOT_FOUND']).not.toContain(code);
  });
});

describe.each(Object.entries(table).filter(([, { may: who }]) => who === 'people'))('%s', (request) => {
  test.each(roles.map((role) => [role]))('is let through to a person who is %s and has signed in', async (role) => {
    const browser = people.get(role);
    await browser?.signIn(`the-${role}@example.test`, PASSWORD);
    const { code } = await ask(request, { key: undefined, cookie: browser?.headers() ?? {} });
    expect(['UNAUTHENTICATED', 'FORBIDDEN']).not.toContain(code);
  });
});

test('HEAD is what GET is', async () => {
  const head = async (path: string, key: string | undefined) =>
    (await fetch(`${world.origin}${path}`, { method: 'HEAD', headers: { authorization: `Bearer ${key}` } })).status;
  expect(await head('/v1/vms', 'nothing')).toBe(401);
  expect(await head(`/v1/vms/${things.vm}`, keys.get('elsewhere'))).toBe(404);
  expect(await head(`/v1/vms/${things.vm}`, keys.get('viewer'))).toBe(200);
});

test('a stream tells of the caller’s projects alone', async () => {
  const start = world.store.db.selectFrom('events').select((eb) => eb.fn.max('id').as('id'));
  const { id } = await start.executeTakeFirstOrThrow();
  const made = async (who: 'admin' | 'elsewhere', project: string, name: string) => {
    const response = await fetch(`${world.origin}/v1/join-tokens`, {
      method: 'POST',
      headers: { authorization: `Bearer ${keys.get(who)}`, 'content-type': 'application/json' },
      body: JSON.stringify({ project, name }),
    });
    return ((await response.json()) as { id: string }).id;
  };
  const [ours, theirs] = [await made('admin', 'default', 'a'), await made('elsewhere', 'other', 'b')];
  const heard = async (who: Role | 'elsewhere', until: string) => {
    const end = new AbortController();
    const response = await fetch(`${world.origin}/v1/events?last_event_id=${id}`, {
      signal: end.signal,
      headers: { authorization: `Bearer ${keys.get(who)}` },
    });
    let text = '';
    for await (const chunk of response.body ?? []) {
      text += new TextDecoder().decode(chunk);
      if (text.includes(until)) break;
    }
    end.abort();
    return text;
  };
  // Theirs is the newer one: a stream of all would have told of ours before it.
  expect(await heard('elsewhere', theirs)).not.toContain(ours);
  const another = await made('admin', 'default', 'c');
  expect(await heard('viewer', another)).not.toContain(theirs);
});
