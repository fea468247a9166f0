// The routes of signing in and out. The sign-in library answers them, and what of it is not here is not there: each has its
// schema and its row in the contract like any other. What it says of a session's token stays in the cookie.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { Failure } from '../../protocol/failure.ts';
import type { Session } from '../people/sign-in.ts';
import { ADDRESS_HEADER, AUTH_PATH, PROVIDER } from '../people/sign-in.ts';
import { appendEvent } from '../store/events.ts';
import type { ApiParts } from './parts.ts';
import { callerOf } from './requests.ts';
import { ceremonyView, emptyRequest, emptyView } from './schemas.ts';
import {
  passkeyAnswer,
  passwordChange,
  providerParams,
  sessionView,
  signInPasskeyList,
  signInPasskeyParams,
  signInRequest,
  ssoQuery,
  ssoRequest,
  ssoView,
} from './schemas-sign-in.ts';

/** Where a browser goes after single sign-on, unless it came from a program's login. */
const AFTER = `${AUTH_PATH}/session`;

export function signInRoutes(root: FastifyInstance, parts: ApiParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  const ask = asker(parts);

  app.post(
    `${AUTH_PATH}/sign-in`,
    { schema: { body: signInRequest, response: { 200: sessionView } } },
    async (request, reply) => {
      await ask(request, reply, { method: 'POST', path: '/sign-in/email', body: request.body });
      return begun(parts, reply, 'password');
    },
  );

  app.post(`${AUTH_PATH}/sso`, { schema: { body: ssoRequest, response: { 200: ssoView } } }, async (request, reply) => {
    const after = request.body?.user_code === undefined ? AFTER : `/device?user_code=${request.body.user_code}`;
    const refused = `${after}${after.includes('?') ? '&' : '?'}sign-in=refused`;
    const urls = { callbackURL: after, errorCallbackURL: refused, newUserCallbackURL: after };
    const body = { provider: PROVIDER, disableRedirect: true, ...urls };
    const { url } = await ask(request, reply, { method: 'POST', path: '/sign-in/social', body });
    return { url: String(url) };
  });

  app.get(
    `${AUTH_PATH}/callback/:provider`,
    { schema: { params: providerParams, querystring: ssoQuery } },
    async (request, reply) => {
      const query = new URLSearchParams(request.query as Record<string, string>);
      const path = `/callback/${request.params.provider}?${query}`;
      const location = await ask.redirect(request, reply, path);
      const signedIn = await sessionIn(parts, reply);
      if (signedIn) await noteSignIn(parts, signedIn, 'sso');
      return reply.redirect(location, 303);
    },
  );

  app.post(
    `${AUTH_PATH}/passkey/options`,
    { schema: { body: emptyRequest, response: { 200: ceremonyView } } },
    async (request, reply) => ({
      options: await ask(request, reply, { method: 'GET', path: '/passkey/generate-authenticate-options' }),
    }),
  );

  app.post(
    `${AUTH_PATH}/passkey/sign-in`,
    { schema: { body: passkeyAnswer, response: { 200: sessionView } } },
    async (request, reply) => {
      const { response } = request.body;
      await ask(request, reply, { method: 'POST', path: '/passkey/verify-authentication', body: { response } });
      return begun(parts, reply, 'passkey');
    },
  );
}

export function sessionRoutes(root: FastifyInstance, parts: ApiParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  const ask = asker(parts);

  app.get(`${AUTH_PATH}/session`, { schema: { response: { 200: sessionView } } }, async (request) =>
    viewSession(sessionOf(request)),
  );

  app.post(
    `${AUTH_PATH}/sign-out`,
    { schema: { body: emptyRequest, response: { 200: emptyView } } },
    async (request, reply) => {
      await ask(request, reply, { method: 'POST', path: '/sign-out', body: {} });
      return {};
    },
  );

  app.post(
    `${AUTH_PATH}/sign-out-everywhere`,
    { schema: { body: emptyRequest, response: { 200: emptyView } } },
    async (request, reply) => {
      const { operator } = sessionOf(request);
      await ask(request, reply, { method: 'POST', path: '/revoke-sessions', body: {} });
      await note(parts, 'person.signed_out_everywhere', { operator });
      return {};
    },
  );

  app.post(
    `${AUTH_PATH}/password`,
    { schema: { body: passwordChange, response: { 200: emptyView } } },
    async (request, reply) => {
      const { operator } = sessionOf(request);
      const { current, new: newPassword } = request.body;
      const body = { currentPassword: current, newPassword, revokeOtherSessions: true };
      await ask(request, reply, { method: 'POST', path: '/change-password', body });
      await note(parts, 'person.password_changed', { operator });
      return {};
    },
  );

  app.post(
    `${AUTH_PATH}/passkeys/options`,
    { schema: { body: emptyRequest, response: { 200: ceremonyView } } },
    async (request, reply) => {
      return { options: await ask(request, reply, { method: 'GET', path: '/passkey/generate-register-options' }) };
    },
  );

  app.post(
    `${AUTH_PATH}/passkeys`,
    { schema: { body: passkeyAnswer, response: { 200: emptyView } } },
    async (request, reply) => {
      const { operator } = sessionOf(request);
      await ask(request, reply, { method: 'POST', path: '/passkey/verify-registration', body: request.body });
      await note(parts, 'person.passkey_added', { operator });
      return {};
    },
  );

  app.get(`${AUTH_PATH}/passkeys`, { schema: { response: { 200: signInPasskeyList } } }, async (request, reply) => {
    const found = await ask(request, reply, { method: 'GET', path: '/passkey/list-user-passkeys' });
    const items = found as unknown as { id: string; name?: string | null; createdAt: string }[];
    return {
      items: items.map(({ id, name, createdAt }) => ({
        id,
        name: name ?? null,
        created_at: new Date(createdAt).toISOString(),
      })),
    };
  });

  app.delete(
    `${AUTH_PATH}/passkeys/:id`,
    { schema: { params: signInPasskeyParams, response: { 200: emptyView } } },
    async (request, reply) => {
      const { operator } = sessionOf(request);
      await ask(request, reply, { method: 'POST', path: '/passkey/delete-passkey', body: { id: request.params.id } });
      await note(parts, 'person.passkey_removed', { operator });
      return {};
    },
  );
}

/** The guard lets nobody else through to what is a person's own. */
function sessionOf(request: FastifyRequest): Session {
  const { session } = callerOf(request);
  if (!session) throw new TypeError('no session');
  return session;
}

function viewSession({ operator, email, name, expiresAt }: Session) {
  return { operator, email, name, expires_at: new Date(expiresAt).toISOString() };
}

async function begun(parts: ApiParts, reply: FastifyReply, method: string) {
  const session = await sessionIn(parts, reply);
  if (!session) throw new Failure('SIGN_IN_REFUSED');
  await noteSignIn(parts, session, method);
  return viewSession(session);
}

/** The session that this answer begins. */
function sessionIn({ people }: ApiParts, reply: FastifyReply): Promise<Session | null> {
  const set = [reply.getHeader('set-cookie') ?? []].flat().map(String);
  return people.sessionOf(set.map((cookie) => cookie.split(';', 1)[0]).join('; '));
}

const noteSignIn = (parts: ApiParts, { operator }: Session, method: string) =>
  note(parts, 'person.signed_in', { operator, method });

async function note({ store, nowMs }: ApiParts, type: string, data: Record<string, string>): Promise<void> {
  await store.write((trx) => appendEvent(trx, { at: nowMs(), vm: null, op: null, type, data }));
}

type Asked = Readonly<{ method: 'GET' | 'POST'; path: string; body?: object }>;

function asker({ people, publicUrl }: ApiParts) {
  const send = async (request: FastifyRequest, reply: FastifyReply, { method, path, body }: Asked) => {
    const { cookie, 'user-agent': agent } = request.headers;
    const origin = new URL(publicUrl()).origin;
    const response = await people.handle(
      new Request(`${origin}${AUTH_PATH}${path}`, {
        method,
        headers: {
          // The guard has looked at the request's own.
          origin,
          [ADDRESS_HEADER]: request.ip,
          ...(cookie === undefined ? {} : { cookie }),
          ...(agent === undefined ? {} : { 'user-agent': agent }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    );
    if (response.status < 400) {
      const cookies = response.headers.getSetCookie();
      if (cookies.length > 0) reply.header('set-cookie', cookies);
    }
    return response;
  };
  const ask = async (request: FastifyRequest, reply: FastifyReply, asked: Asked): Promise<Record<string, unknown>> => {
    const response = await send(request, reply, asked);
    const answer = (await response.json().catch(() => ({}))) as Record<string, unknown> | null;
    if (response.status >= 400) throw refusalOf(asked.path, response.status, answer?.['code']);
    return answer ?? {};
  };
  ask.redirect = async (request: FastifyRequest, reply: FastifyReply, path: string): Promise<string> => {
    const response = await send(request, reply, { method: 'GET', path });
    const location = response.headers.get('location');
    if (response.status >= 400 || location === null) throw refusalOf('/sign-in', response.status, null);
    return location;
  };
  return ask;
}

const SIGNING_IN = /^\/(sign-in|passkey\/verify-authentication|change-password)/;

/** Which of the things that one signs in with was wrong is nobody's to know. */
function refusalOf(path: string, status: number, code: unknown): Failure {
  const reason = typeof code === 'string' ? code.toLowerCase().slice(0, 60) : 'refused';
  if (status === 429) return new Failure('RATE_LIMITED', { reason: 'sign_in' });
  if (status >= 500) return new Failure('INTERNAL', { reason });
  if (SIGNING_IN.test(path)) return new Failure('SIGN_IN_REFUSED');
  if (status === 401) return new Failure('UNAUTHENTICATED', { reason });
  if (status === 403) return new Failure('FORBIDDEN', { reason });
  if (status === 404) return new Failure('NOT_FOUND', { reason });
  return new Failure('REQUEST_INVALID', { reason });
}
