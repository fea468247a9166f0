// A login that a person approves in a browser (RFC 8628): begins it, shows its code, and waits. The code that fetches the key
// stays in this process; the key is made when it is fetched, so whoever goes away leaves none behind.

import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { Secret } from '../../protocol/secret.ts';
import type { Right } from '../core/rights.ts';
import type { Api } from './client/api.ts';

export type Shown = Readonly<{
  user_code: string;
  verification_uri: string;
  verification_uri_complete: string;
  expires_in: number;
}>;
export type Asked = Readonly<{ scopes?: readonly Right[]; ttl?: number }>;
export type Fetched = Readonly<{ id: string; apiKey: Secret; scopes: readonly Right[]; expiresAt: string | null }>;

/** What a program that is told so waits longer (RFC 8628, 3.5). */
const SLOWER_S = 5;

/** Throws `LOGIN_DENIED`, `LOGIN_EXPIRED`, or the signal's reason. */
export async function loginInBrowser(
  api: Api,
  { scopes, ttl }: Asked,
  { show, signal }: Readonly<{ show: (shown: Shown) => void; signal: AbortSignal }>,
): Promise<Fetched> {
  const { device_code, interval, ...shown } = await api.beginLogin({
    host: ownName(hostname()),
    ...(scopes === undefined ? {} : { scopes: [...scopes] }),
    ...(ttl === undefined ? {} : { ttl_s: ttl }),
  });
  show(shown);
  const deadline = performance.now() + shown.expires_in * 1000;
  for (let every = interval; performance.now() < deadline; ) {
    await sleep(every * 1000, undefined, { signal });
    try {
      const { id, api_key, scopes: given, expires_at } = await api.takeLogin(device_code, signal);
      return { id, apiKey: Secret.ofText(api_key), scopes: given, expiresAt: expires_at };
    } catch (error) {
      signal.throwIfAborted();
      const code = codeOf(error);
      // Away for a moment, or asked too often: both mean less often.
      if (code === 'LOGIN_SLOW_DOWN' || code === 'RATE_LIMITED' || code === 'SERVER_UNREACHABLE') every += SLOWER_S;
      else if (code !== 'LOGIN_PENDING') throw error;
    }
  }
  throw new Failure('LOGIN_EXPIRED');
}

/** As the control plane takes it. */
export function ownName(host: string): string {
  const name = host.replaceAll(/[^A-Za-z0-9._-]/g, '-').replace(/^[^A-Za-z0-9]+/, '');
  return name.slice(0, 55) || 'host';
}
