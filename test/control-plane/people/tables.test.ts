// The sign-in library over our own database, on both engines: our tables are those that it wants, and it finds in them what it
// wrote.

import { randomBytes } from 'node:crypto';
import { getMigrations } from 'better-auth/db/migration';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openPeople, optionsOf, type PeopleParts } from '../../../control-plane/people/people.ts';
import {
  type DeviceLogin,
  decideLogin,
  findLogin,
  forgetLoginsBefore,
  insertLogin,
  insertTries,
  mostTries,
  notePoll,
} from '../../../control-plane/store/device-logins.ts';
import { insertOperatorAlone } from '../../../control-plane/store/operators.ts';
import {
  cookieSecret,
  findInvitation,
  type Invitation,
  insertInvitation,
  insertPerson,
} from '../../../control-plane/store/people.ts';
import { Store } from '../../../control-plane/store/store.ts';
import { T0 } from '../core/samples.ts';
import { type Databases, engines } from '../store/engines.ts';

const ORIGIN = 'http://localhost:8420';
const invitation: Invitation = {
  ...{ id: 'inv_1', sha256: 'S', email: 'ann@example.test', operator: 'ann', project: 'default', of_existing: 0 },
  ...{ role: 'viewer', created_by: 'admin', created_at: T0, expires_at: T0 + 9, accepted_at: null, revoked_at: null },
};

describe.each(engines)('$name', ({ start }) => {
  let databases: Databases;
  let store: Store;
  let parts: PeopleParts;
  beforeAll(async () => {
    databases = await start();
  });
  afterAll(() => databases.stop());
  beforeEach(async (context) => {
    store = await Store.open(await databases.place(context));
    const secret = await cookieSecret(store, () => randomBytes(32).toString('base64url'));
    parts = { db: store.db, secret, origin: ORIGIN, oidc: null, signInsPerMinuteMax: 100 };
  });
  afterEach(() => store.close());

  test('a person signs in, is known by the cookie, and is forgotten', async () => {
    const people = openPeople(parts);
    const passwordHash = await people.hashPassword('a password of twelve');
    await store.write(async (trx) => {
      await insertInvitation(trx, invitation);
      await insertPerson(trx, { invitation, name: 'Ann', passwordHash, id: 'person-1', at: T0 });
    });
    expect(await findInvitation(store.db, 'sha256', 'S')).toEqual(invitation);
    const post = (path: string, body: object, cookie = '') =>
      people.handle(
        new Request(`${ORIGIN}/v1/auth${path}`, {
          method: 'POST',
          headers: { origin: ORIGIN, 'content-type': 'application/json', ...(cookie === '' ? {} : { cookie }) },
          body: JSON.stringify(body),
        }),
      );
    const wrong = await post('/sign-in/email', { email: invitation.email, password: 'another one' });
    expect(wrong.status).toBe(401);
    const right = await post('/sign-in/email', { email: invitation.email, password: 'a password of twelve' });
    const [cookie = ''] = right.headers.getSetCookie().map((line) => line.split(';', 1)[0] ?? '');
    const session = await people.sessionOf(cookie);
    expect(session).toMatchObject({ operator: 'ann', email: invitation.email, name: 'Ann' });
    expect(session?.expiresAt).toBeGreaterThan(Date.now());
    // Another web of the same database knows them, too; one with another secret does not.
    expect(await openPeople(parts).sessionOf(cookie)).toEqual(session);
    expect(
      await openPeople({ ...parts, secret: 'another secret, of enough signs for it' }).sessionOf(cookie),
    ).toBeNull();
    expect((await post('/sign-out', {}, cookie)).status).toBe(200);
    expect(await people.sessionOf(cookie)).toBeNull();
  });

  test('a login that waits is found by either code, decided, and forgotten; tries are counted within their time', async () => {
    const login: DeviceLogin = {
      ...{ sha256: 'S', user_code: 'BCDFGHJK', host: 'desk', address: '::1', scopes: ['read', 'operate'], ttl_s: 60 },
      ...{ created_at: T0, expires_at: T0 + 9, interval_s: 5, polled_at: null, state: 'pending', operator: null },
    };
    await store.write(async (trx) => {
      await insertOperatorAlone(trx, 'ann', T0);
      await insertLogin(trx, login);
      await notePoll(trx, { sha256: 'S', polled_at: T0 + 1, interval_s: 10 });
      await decideLogin(trx, 'S', { state: 'approved', operator: 'ann', scopes: ['read'] });
      await insertTries(trx, ['a', 'b'], T0);
      await insertTries(trx, ['b'], T0 + 1);
    });
    const decided = {
      ...login,
      polled_at: T0 + 1,
      interval_s: 10,
      state: 'approved',
      operator: 'ann',
      scopes: ['read'],
    };
    expect(await findLogin(store.db, 'user_code', 'BCDFGHJK')).toEqual(decided);
    expect(await findLogin(store.db, 'sha256', 'S')).toEqual(decided);
    expect(await findLogin(store.db, 'sha256', 'BCDFGHJK')).toBeNull();
    const tries = (who: string[], since: number) => mostTries(store.db, who, since);
    expect(await Promise.all([tries(['a', 'b'], T0 - 1), tries(['b'], T0), tries(['c'], 0)])).toEqual([2, 1, 0]);
    await store.write((trx) => forgetLoginsBefore(trx, T0 + 9));
    expect([await findLogin(store.db, 'sha256', 'S'), await tries(['b'], 0)]).toEqual([decided, 0]);
    await store.write((trx) => forgetLoginsBefore(trx, T0 + 10));
    expect(await findLogin(store.db, 'sha256', 'S')).toBeNull();
  });

  test('the secret of cookies is drawn once', async () => {
    expect(await cookieSecret(store, () => 'drawn again')).toBe(parts.secret);
  });
});

test('it wants no table and no column that our migrations do not make', async () => {
  const store = await Store.open({ file: ':memory:' });
  try {
    const options = optionsOf({
      ...{ db: store.db, secret: 's'.repeat(43), origin: ORIGIN, signInsPerMinuteMax: 1 },
      oidc: { issuer: 'http://localhost:1', clientId: 'c', clientSecret: 's' },
    });
    const { toBeCreated, toBeAdded } = await getMigrations(options as never);
    expect([toBeCreated, toBeAdded]).toEqual([[], []]);
  } finally {
    await store.close();
  }
});
