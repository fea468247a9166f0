// Which database: SQLite in the data folder, unless an address of PostgreSQL is given. The password is in a file of its own,
// and what is not this machine is reached by TLS alone.

import { readFileSync } from 'node:fs';
import { Failure } from '../../protocol/failure.ts';
import type { PostgresPlace } from '../store/engine.ts';
import { demandFile, isLoopback } from './checks.ts';

export type DatabaseFlags = Readonly<{
  databaseUrl?: string;
  databasePasswordFile?: string;
  databaseCa?: string;
}>;

const PORT = 5_432;

/** `null` where none is given. Throws `CONFIG_INVALID` naming the option. */
export function readDatabaseOptions(flags: DatabaseFlags, env: NodeJS.ProcessEnv): PostgresPlace | null {
  const url = flags.databaseUrl ?? env['LATCHKEY_DATABASE_URL'];
  const passwordFile = flags.databasePasswordFile ?? env['LATCHKEY_DATABASE_PASSWORD_FILE'] ?? null;
  const caFile = flags.databaseCa ?? env['LATCHKEY_DATABASE_CA_FILE'] ?? null;
  if (url === undefined) {
    if (passwordFile !== null) throw refusal('database-password-file', 'database-url_missing');
    if (caFile !== null) throw refusal('database-ca', 'database-url_missing');
    return null;
  }
  if (passwordFile !== null) demandFile(passwordFile, 'database-password-file', true);
  if (caFile !== null) demandFile(caFile, 'database-ca', false);
  const { host, port, user, database } = parse(url);
  const isHere = host.startsWith('/') || isLoopback(host);
  const tls = caFile === null && isHere ? null : { ca: caFile === null ? null : readFileSync(caFile, 'utf8') };
  const password = passwordFile === null ? null : readFileSync(passwordFile, 'utf8').trim();
  return { host, port, user, database, password, tls };
}

/** `postgresql://user@host:port/name`, or `postgresql:///name?host=/folder&user=user` for a socket. */
function parse(text: string): Pick<PostgresPlace, 'host' | 'port' | 'user' | 'database'> {
  const url = URL.canParse(text) ? new URL(text) : null;
  // A password in an address would end up in a list of processes, or in an environment.
  if (url?.password) throw refusal('database-url', 'password');
  const { host: folder, user: name, ...unknown } = Object.fromEntries(url?.searchParams ?? []);
  const host = folder ?? url?.hostname.replace(/^\[|\]$/g, '') ?? '';
  const user = name ?? decodeURIComponent(url?.username ?? '');
  const database = /^\/([\w-]+)$/.exec(url?.pathname ?? '')?.[1];
  const known = url?.protocol === 'postgresql:' || url?.protocol === 'postgres:';
  const given = host !== '' && user !== '' && database !== undefined && (folder === undefined || folder[0] === '/');
  if (!known || !given || Object.keys(unknown).length > 0) {
    throw refusal('database-url', 'postgresql://user@host:port/name');
  }
  return { host, port: Number(url.port || PORT), user, database };
}

function refusal(field: string, reason: string): Failure {
  return new Failure('CONFIG_INVALID', { field, reason });
}
