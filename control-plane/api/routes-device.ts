// The login of a program by a person in a browser (RFC 8628). The program holds one code, which is kept as its hash; the person
// types or opens the other one, sees who asks for what, and lets it in or turns it away. The key is made when the program
// takes it, so that none is ever kept here.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { Failure } from '../../protocol/failure.ts';
import { sha256Text, toBase64url } from '../../protocol/keys.ts';
import type { RandomBytes } from '../config/random-kernel.ts';
import { may, type Right } from '../core/rights.ts';
import { AUTH_PATH } from '../people/sign-in.ts';
import {
  type DeviceLogin,
  decideLogin,
  findLogin,
  forgetLoginsBefore,
  insertLogin,
  insertTries,
  mostTries,
  notePoll,
  removeLogin,
} from '../store/device-logins.ts';
import { appendEvent } from '../store/events.ts';
import type { Write } from '../store/store.ts';
import { drawApiKey, keepApiKey } from './api-keys.ts';
import type { ApiParts } from './parts.ts';
import { callerOf, operatorOf } from './requests.ts';
import { emptyView } from './schemas.ts';
import { deviceBegun, deviceNamed, deviceRequest, deviceTake, deviceView, USER_CODE_SIGNS } from './schemas-device.ts';
import { apiKeyCreated } from './schemas-people.ts';

const LIFE_MS = 10 * 60_000;
/** What a program that asks too often has to add (RFC 8628, 3.5). */
const SLOWER_S = 5;
/** How long a login that is over is told from one that never was, and how long tries count. */
const MEMORY_MS = LIFE_MS;
/** Codes that a person, or an address, may name in that time without one being there. */
const TRIES_MAX = 10;
/** Logins that an address may begin in that time. */
const BEGUN_MAX = 30;
const SCOPES: readonly Right[] = ['read', 'operate'];
const TTL_S = 30 * 86_400;

/** For the program. */
export function deviceLoginRoutes(root: FastifyInstance, parts: ApiParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  const { store, randomBytes, nowMs, publicUrl, loginPollS } = parts;

  app.post(
    `${AUTH_PATH}/device`,
    { schema: { body: deviceRequest, response: { 201: deviceBegun } } },
    async (request, reply) => {
      const { host, scopes = SCOPES, ttl_s = TTL_S } = request.body;
      const [device_code, at, who] = [toBase64url(randomBytes(32)), nowMs(), `begin ${request.ip}`];
      const sha256 = await sha256Text(device_code);
      const user_code = await store.write(async (trx) => {
        await forgetLoginsBefore(trx, at - MEMORY_MS);
        if ((await mostTries(trx, [who], at - MEMORY_MS)) >= BEGUN_MAX)
          throw new Failure('RATE_LIMITED', { reason: 'logins' });
        await insertTries(trx, [who], at);
        const user_code = await freeUserCode(trx, randomBytes);
        const times = { created_at: at, expires_at: at + LIFE_MS, interval_s: loginPollS, polled_at: null };
        const asked = { host, address: request.ip, scopes, ttl_s };
        await insertLogin(trx, { sha256, user_code, ...asked, ...times, state: 'pending', operator: null });
        return user_code;
      });
      const shown = written(user_code);
      const verification_uri = `${publicUrl()}/device`;
      const verification_uri_complete = `${verification_uri}?user_code=${shown}`;
      const uris = { verification_uri, verification_uri_complete };
      const times = { expires_in: LIFE_MS / 1000, interval: loginPollS };
      return reply.status(201).send({ device_code, user_code: shown, ...uris, ...times });
    },
  );

  app.post(
    `${AUTH_PATH}/device/token`,
    { schema: { body: deviceTake, response: { 201: apiKeyCreated } } },
    async (request, reply) => {
      const [sha256, drawn, at] = [await sha256Text(request.body.device_code), await drawApiKey(randomBytes), nowMs()];
      const taken = await store.write(async (trx) => {
        const login = await findLogin(trx, 'sha256', sha256);
        if (!login) return new Failure('AUTHZ_INVALID', { reason: 'device_code' });
        // Returned and not thrown: that it was asked is kept.
        const refused = await refusalOfPoll(trx, login, at);
        if (refused) return refused;
        const { host, scopes, operator, ttl_s } = login;
        if (operator === null) throw new TypeError('approved by nobody');
        await removeLogin(trx, sha256);
        const expiresAt = at + ttl_s * 1000;
        return keepApiKey(trx, drawn, {
          ...{ operator, name: `cli on ${host}`, scopes, project: null, createdAt: at, expiresAt },
        });
      });
      if (taken instanceof Failure) throw taken;
      return reply.status(201).send(taken);
    },
  );
}

async function refusalOfPoll(trx: Write, login: DeviceLogin, at: number): Promise<Failure | null> {
  if (login.expires_at <= at) return new Failure('LOGIN_EXPIRED');
  const { sha256, polled_at, interval_s } = login;
  const early = polled_at !== null && at < polled_at + interval_s * 1000;
  await notePoll(trx, { sha256, polled_at: at, interval_s: early ? interval_s + SLOWER_S : interval_s });
  if (early) return new Failure('LOGIN_SLOW_DOWN', { interval_s: interval_s + SLOWER_S });
  if (login.state === 'pending') return new Failure('LOGIN_PENDING');
  return login.state === 'denied' ? new Failure('LOGIN_DENIED') : null;
}

/** For the person, who has signed in; the guard lets no page of another site ask. */
export function deviceDecisionRoutes(root: FastifyInstance, parts: ApiParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  const { nowMs } = parts;
  const schema = { body: deviceNamed, response: { 200: deviceView } };

  app.post(`${AUTH_PATH}/device/look`, { schema }, async (request) => {
    const login = await onLogin(parts, request, async (_trx, found) => found);
    const iso = (ms: number) => new Date(ms).toISOString();
    const { user_code, host, address, scopes: asked, ttl_s, created_at, expires_at } = login;
    return {
      ...{ user_code: written(user_code), host, address, asked: [...asked], scopes: within(request, asked) },
      ...{ asked_at: iso(created_at), expires_at: iso(expires_at), key_expires_at: iso(nowMs() + ttl_s * 1000) },
    };
  });

  const decide = (state: 'approved' | 'denied') => async (request: FastifyRequest) => {
    const operator = operatorOf(request);
    await onLogin(parts, request, async (trx, { sha256, scopes: asked, host }) => {
      const scopes = state === 'approved' ? within(request, asked) : asked;
      if (scopes.length === 0) throw new Failure('FORBIDDEN', { right: asked.join(' ') });
      await decideLogin(trx, sha256, { state, operator, scopes });
      const data = { operator, host, scopes: scopes.join(' ') };
      await appendEvent(trx, { at: nowMs(), vm: null, op: null, type: `person.login_${state}`, data });
    });
    return {};
  };
  const decision = { schema: { body: deviceNamed, response: { 200: emptyView } } };
  app.post(`${AUTH_PATH}/device/approve`, decision, decide('approved'));
  app.post(`${AUTH_PATH}/device/deny`, decision, decide('denied'));
}

/** The one that waits with the code that is named. A code that is not there is a try, of which nobody has many. */
async function onLogin<T>(
  { store, nowMs }: ApiParts,
  request: FastifyRequest,
  work: (trx: Write, login: DeviceLogin) => Promise<T>,
): Promise<T> {
  const at = nowMs();
  const who = [`person ${operatorOf(request)}`, `address ${request.ip}`];
  const user_code = (request.body as { user_code: string }).user_code.replace('-', '').toUpperCase();
  const outcome = await store.write(async (trx) => {
    if ((await mostTries(trx, who, at - MEMORY_MS)) >= TRIES_MAX)
      return new Failure('RATE_LIMITED', { reason: 'user_codes' });
    const login = await findLogin(trx, 'user_code', user_code);
    if (!login) {
      await insertTries(trx, who, at);
      return new Failure('NOT_FOUND', { what: 'user_code' });
    }
    if (login.expires_at <= at) return new Failure('LOGIN_EXPIRED');
    if (login.state !== 'pending') return new Failure('STATE_CONFLICT', { state: login.state });
    return { done: await work(trx, login) };
  });
  if (outcome instanceof Failure) throw outcome;
  return outcome.done;
}

/** Of what is asked for, what this person may do somewhere themselves. */
function within(request: FastifyRequest, asked: readonly Right[]): Right[] {
  const roles = [...callerOf(request).memberships.values()];
  return asked.filter((right) => roles.some((role) => may(role, right)));
}

async function freeUserCode(trx: Write, randomBytes: RandomBytes): Promise<string> {
  for (;;) {
    const code = drawUserCode(randomBytes);
    if ((await findLogin(trx, 'user_code', code)) === null) return code;
  }
}

/** Each sign as likely as any other: bytes beyond the last whole multiple are drawn again. */
function drawUserCode(randomBytes: RandomBytes): string {
  const count = USER_CODE_SIGNS.length;
  const fair = 256 - (256 % count);
  let code = '';
  while (code.length < 8) {
    const [byte = 255] = randomBytes(1);
    if (byte < fair) code += USER_CODE_SIGNS[byte % count];
  }
  return code;
}

const written = (code: string): string => `${code.slice(0, 4)}-${code.slice(4)}`;
