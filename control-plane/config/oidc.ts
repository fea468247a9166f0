// Single sign-on: which OpenID provider says who somebody is. The secret of this program with it is read from a file.

import { Failure } from '../../protocol/failure.ts';
import { isLoopback } from './checks.ts';
import { readIfThere } from './files.ts';

export type OidcFlags = Readonly<{ oidcIssuer?: string; oidcClientId?: string; oidcClientSecretFile?: string }>;
export type OidcOptions = Readonly<{ issuer: string; clientId: string; clientSecret: string }>;

/** `null` where no provider is named. Throws `CONFIG_INVALID` naming the option. */
export function readOidcOptions(flags: OidcFlags, env: NodeJS.ProcessEnv): OidcOptions | null {
  const issuer = flags.oidcIssuer ?? env['LATCHKEY_OIDC_ISSUER'];
  const clientId = flags.oidcClientId ?? env['LATCHKEY_OIDC_CLIENT_ID'];
  const file = flags.oidcClientSecretFile ?? env['LATCHKEY_OIDC_CLIENT_SECRET_FILE'];
  if (issuer === undefined && clientId === undefined && file === undefined) return null;
  if (issuer === undefined || !isProvider(issuer)) throw refusal('oidc-issuer', 'https_url');
  if (clientId === undefined || !/^[\x21-\x7e]{1,200}$/.test(clientId)) throw refusal('oidc-client-id', 'missing');
  const clientSecret = file === undefined ? undefined : readIfThere(file)?.trim();
  if (!clientSecret) throw refusal('oidc-client-secret-file', 'file_missing');
  return { issuer, clientId, clientSecret };
}

/** Whoever could read along or answer in its place would be whoever it says they are. */
function isProvider(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  if (url.username !== '' || url.search !== '' || url.hash !== '') return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname));
}

function refusal(field: string, reason: string): Failure {
  return new Failure('CONFIG_INVALID', { field, reason });
}
