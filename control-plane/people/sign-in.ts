// What signing in is to the rest of the control plane: whose session something is, and a few names and numbers.

/** Where the sign-in library answers; api/routes-sign-in.ts lets through what of it there is. */
export const AUTH_PATH = '/v1/auth';
/** The one provider of single sign-on. */
export const PROVIDER = 'sso';
/** The header in which we tell the library whom a request came from: one that a client sends does not get there. */
export const ADDRESS_HEADER = 'x-latchkey-address';

export const PASSWORD_MIN = 12;
export const PASSWORD_MAX = 128;

export type Session = Readonly<{ id: string; operator: string; email: string; name: string; expiresAt: number }>;
export type People = Readonly<{
  /** Answers a request below `AUTH_PATH`. */
  handle(request: Request): Promise<Response>;
  /** Whose cookie that is, if it is good now. */
  sessionOf(cookie: string): Promise<Session | null>;
  hashPassword(password: string): Promise<string>;
  /** Whether there is a provider of single sign-on. */
  hasSso(): boolean;
}>;

/** Where nobody signs in, as at a gateway alone. */
export const nobody: People = {
  handle: async () => new Response(null, { status: 404 }),
  sessionOf: async () => null,
  hashPassword: () => Promise.reject(new TypeError('nobody signs in here')),
  hasSso: () => false,
};
