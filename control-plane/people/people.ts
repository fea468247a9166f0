// People who sign in, as better-auth knows them: passwords, passkeys, single sign-on and sessions, in our own database and in
// tables that our own migrations make. What it may do to whom is not its business: a session says which operator somebody is,
// and the guard goes on from there. Nobody signs up; people come by invitation.

import { passkey } from '@better-auth/passkey';
import { betterAuth } from 'better-auth';
import { genericOAuth } from 'better-auth/plugins/generic-oauth';
import type { OidcOptions } from '../config/oidc.ts';
import type { Db } from '../store/store.ts';
import { ADDRESS_HEADER, AUTH_PATH, PASSWORD_MAX, PASSWORD_MIN, type People, PROVIDER } from './sign-in.ts';

const COOKIES = 'latchkey';
const SESSION_COOKIE = `${COOKIES}.session_token=`;
const MINUTE_S = 60;
const SESSION_S = 12 * 60 * MINUTE_S;
/** What changes how somebody signs in needs a session that is no older. */
const FRESH_S = 15 * MINUTE_S;

export type PeopleParts = Readonly<{
  db: Db;
  /** Signs cookies. */
  secret: string;
  /** Where browsers find this, such as `https://control.example`. */
  origin: string;
  oidc: OidcOptions | null;
  signInsPerMinuteMax: number;
}>;

/** Of whose shape we use this much. */
type Library = Readonly<{
  handler(request: Request): Promise<Response>;
  api: { getSession(asked: { headers: Headers }): Promise<Found | null> };
  $context: Promise<{
    password: { hash(password: string): Promise<string> };
    socialProviders: readonly { id: string }[];
  }>;
}>;
type Found = Readonly<{
  session: { id: string; expiresAt: Date };
  user: { email: string; name: string; operator: string };
}>;

export function openPeople(parts: PeopleParts): People {
  const open = () => betterAuth(optionsOf(parts) as never) as unknown as Library;
  let library = open();
  return {
    async handle(request) {
      // It asks where the provider's pages are once, when it is opened; a provider that was away is asked again.
      const wanted = parts.oidc !== null && new URL(request.url).pathname.startsWith(`${AUTH_PATH}/sign-in/social`);
      const { socialProviders } = await library.$context;
      if (wanted && !socialProviders.some(({ id }) => id === PROVIDER)) library = open();
      return library.handler(request);
    },
    async sessionOf(cookie) {
      const found = await library.api.getSession({ headers: new Headers({ cookie }) });
      if (!found) return null;
      const { id, expiresAt } = found.session;
      const { operator, email, name } = found.user;
      return { id, operator, email, name, expiresAt: new Date(expiresAt).getTime() };
    },
    hashPassword: async (password) => (await library.$context).password.hash(password),
    hasSso: () => parts.oidc !== null,
  };
}

/** Opened when first asked, which is when it is known where it is found. */
export function lazily(parts: () => PeopleParts): People {
  let people: People | undefined;
  const opened = () => {
    people ??= openPeople(parts());
    return people;
  };
  return {
    handle: (request) => opened().handle(request),
    // Most requests come from programs, and carry none.
    sessionOf: async (cookie) => (cookie.includes(SESSION_COOKIE) ? opened().sessionOf(cookie) : null),
    hashPassword: (password) => opened().hashPassword(password),
    hasSso: () => opened().hasSso(),
  };
}

/** Also for the test that compares the tables that it wants with those that there are. */
export function optionsOf({ db, secret, origin, oidc, signInsPerMinuteMax }: PeopleParts) {
  const { hostname, protocol } = new URL(origin);
  return {
    // In the words of SQLite on both engines: times are text and truths are numbers, in columns that we made so.
    database: { db, type: 'sqlite' },
    secret,
    baseURL: origin,
    basePath: AUTH_PATH,
    trustedOrigins: [origin],
    telemetry: { enabled: false },
    // It would quote addresses of people.
    logger: { disabled: true },
    user: {
      modelName: 'auth_users',
      additionalFields: { operator: { type: 'string', required: true, input: false, unique: true } },
    },
    session: { modelName: 'auth_sessions', expiresIn: SESSION_S, updateAge: 60 * MINUTE_S, freshAge: FRESH_S },
    account: {
      modelName: 'auth_accounts',
      // Somebody whom the provider calls by an address that it has verified is who was invited by that address.
      accountLinking: { enabled: true },
      encryptOAuthTokens: true,
    },
    verification: { modelName: 'auth_verifications' },
    emailAndPassword: {
      enabled: true,
      disableSignUp: true,
      minPasswordLength: PASSWORD_MIN,
      maxPasswordLength: PASSWORD_MAX,
    },
    rateLimit: {
      enabled: true,
      storage: 'database',
      modelName: 'auth_rate_limits',
      window: MINUTE_S,
      max: signInsPerMinuteMax * 10,
      customRules: { '/sign-in/*': { window: MINUTE_S, max: signInsPerMinuteMax } },
    },
    advanced: {
      cookiePrefix: COOKIES,
      useSecureCookies: protocol === 'https:',
      defaultCookieAttributes: { httpOnly: true, sameSite: 'lax' },
      ipAddress: { ipAddressHeaders: [ADDRESS_HEADER] },
    },
    plugins: [
      passkey({
        rpID: hostname,
        rpName: 'Latchkey',
        origin,
        authenticatorSelection: { userVerification: 'required', residentKey: 'required' },
        schema: { passkey: { modelName: 'auth_passkeys' } },
      }),
      ...(oidc === null ? [] : [genericOAuth({ config: [providerOf(oidc)] })]),
    ],
  };
}

function providerOf({ issuer, clientId, clientSecret }: OidcOptions) {
  return {
    providerId: PROVIDER,
    clientId,
    clientSecret,
    discoveryUrl: `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`,
    scopes: ['openid', 'email', 'profile'],
    pkce: true,
    requireIdTokenVerification: true,
    // Nobody comes in who was not invited.
    disableImplicitSignUp: true,
    disableSignUp: true,
  };
}
