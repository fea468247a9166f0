// What `serve` was told: options, then environment, then defaults, read once and checked. Values of secrets are never among
// them.

import { existsSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { Failure } from '../../protocol/failure.ts';
import type { SignerPlace } from '../signer/place.ts';
import type { PostgresPlace } from '../store/engine.ts';
import { RETENTION_DEFAULT, type Retention } from '../store/retention.ts';
import { isLoopback, othersMayReplace } from './checks.ts';
import { type DatabaseFlags, readDatabaseOptions } from './database.ts';
import { readIfThere } from './files.ts';
import {
  type ListenerFlags,
  type ListenerOptions,
  type ListenPlace,
  parseListen,
  readListenerOptions,
} from './listeners.ts';
import { type MailFlags, type MailOptions, readMailOptions } from './mail.ts';
import { type OidcFlags, type OidcOptions, readOidcOptions } from './oidc.ts';
import { readMutualTls, readSignerPlace, type SignerFlags } from './signer-place.ts';
import { readTraceOptions, type TraceOptions } from './traces.ts';
import type { UserFlags } from './users.ts';
import { readWebhookOptions, type WebhookFlags, type WebhookOptions } from './webhooks.ts';

export type ServeFlags = MailFlags &
  DatabaseFlags &
  UserFlags &
  OidcFlags &
  RetentionFlags &
  SignerFlags &
  WebhookFlags &
  ListenerFlags &
  Readonly<{
    data?: string;
    listen?: string;
    publicUrl?: string;
    agentUrl?: string;
    tlsCert?: string;
    tlsKey?: string;
    ca?: string;
    tlsSelfSigned?: boolean;
    commandKeyProgram?: string;
    metricsListen?: string;
    traces?: boolean;
    json?: boolean;
  }>;

export type SignerProcessFlags = MailFlags &
  Readonly<{
    data?: string;
    listen?: string;
    tlsCert?: string;
    tlsKey?: string;
    clientCa?: string;
    publicUrl?: string;
    commandKeyProgram?: string;
  }>;

/** Numbers of days; at least one. */
export type RetentionFlags = Readonly<{ keepEventsDays?: string; keepOperationsDays?: string }>;

export type Tls = Readonly<{ cert: string; key: string; caPem: string }>;

export type ServeOptions = Readonly<{
  data: string;
  host: string;
  port: number;
  /** As given; where absent it follows from the address that was bound. */
  publicUrl: string | null;
  agentUrl: string | null;
  tls: Tls | null;
  /** TLS with an authority of the installation's own. */
  tlsSelfSigned: boolean;
  mail: MailOptions | null;
  /** Where people may sign in beside here. */
  oidc: OidcOptions | null;
  /** `null`: its socket in the data folder. */
  signer: Exclude<SignerPlace, string> | null;
  /** `null`: SQLite in the data folder. */
  database: PostgresPlace | null;
  commandKey: CommandKeySource;
  /** Where metrics, health and readiness are; `null`: nowhere. */
  metrics: ListenPlace | null;
  /** Where traces of requests go; `null`: there are none. */
  traces: TraceOptions | null;
  retention: Retention;
  webhooks: WebhookOptions;
  listeners: ListenerOptions;
}>;

/** Paths, besides the files of the signer's own folder: of a program that signs, and of a credential of the service manager. */
export type CommandKeySource = Readonly<{ program: string | null; credential: string | null }>;

const ROOTS_DATA = '/var/lib/latchkey';
export const LISTEN_DEFAULT = '127.0.0.1:8420';

export function defaultDataFolder(env: NodeJS.ProcessEnv): string {
  if (env['LATCHKEY_DATA']) return env['LATCHKEY_DATA'];
  const own = join(homedir(), '.local', 'share', 'latchkey');
  // Root's home is closed to the users that root's processes become.
  return process.getuid?.() === 0 && !existsSync(join(own, 'installation.json')) ? ROOTS_DATA : own;
}

/** Throws `CONFIG_INVALID` naming the option. */
export function readServeOptions(flags: ServeFlags, env: NodeJS.ProcessEnv): ServeOptions {
  const { host, port } = parseListen(flags.listen ?? env['LATCHKEY_LISTEN'] ?? LISTEN_DEFAULT, 'listen');
  const metrics = flags.metricsListen ?? env['LATCHKEY_METRICS_LISTEN'];
  const listeners = readListenerOptions(flags, env);
  const tls = readTls(flags, env);
  const tlsSelfSigned = flags.tlsSelfSigned ?? readSwitch(env['LATCHKEY_TLS_SELF_SIGNED'], 'tls-self-signed');
  if (tls && tlsSelfSigned) throw new Failure('CONFIG_INVALID', { field: 'tls-self-signed', reason: 'tls-cert' });
  // Without TLS a relay could read what is said; only the loopback address has none.
  const open = [
    { place: { host }, field: 'listen' },
    { place: listeners.agentListen, field: 'agent-listen' },
  ].find(({ place }) => place && !isLoopback(place.host));
  if (!tls && !tlsSelfSigned && open) throw new Failure('CONFIG_INVALID', { field: open.field, reason: 'tls_needed' });
  const publicUrl = flags.publicUrl ?? env['LATCHKEY_PUBLIC_URL'] ?? null;
  const agentUrl = flags.agentUrl ?? env['LATCHKEY_AGENT_URL'] ?? null;
  logLevel(env);
  return {
    data: resolve(flags.data ?? defaultDataFolder(env)),
    host,
    port,
    publicUrl: publicUrl === null ? null : parseUrl(publicUrl, ['http:', 'https:'], 'public-url'),
    agentUrl: agentUrl === null ? null : parseUrl(agentUrl, ['ws:', 'wss:'], 'agent-url'),
    tls,
    tlsSelfSigned,
    mail: readMailOptions(flags, env),
    oidc: readOidcOptions(flags, env),
    database: readDatabaseOptions(flags, env),
    commandKey: readCommandKey(flags, env),
    signer: readSignerPlace(flags, env),
    retention: readRetention(flags, env),
    webhooks: readWebhookOptions(flags, env),
    metrics: metrics === undefined ? null : parseListen(metrics, 'metrics-listen'),
    traces: readTraceOptions(flags.traces ?? readSwitch(env['LATCHKEY_TRACES'], 'traces'), env),
    listeners,
  };
}

/** What the signer is told where it runs alone. Throws `CONFIG_INVALID` naming the option. */
export function readSignerSettings(flags: SignerProcessFlags, env: NodeJS.ProcessEnv) {
  const listen = flags.listen ?? env['LATCHKEY_SIGNER_LISTEN'];
  const publicUrl = flags.publicUrl ?? env['LATCHKEY_PUBLIC_URL'];
  const files = {
    cert: flags.tlsCert ?? env['LATCHKEY_TLS_CERT_FILE'],
    key: flags.tlsKey ?? env['LATCHKEY_TLS_KEY_FILE'],
    ca: flags.clientCa ?? env['LATCHKEY_CLIENT_CA_FILE'],
  };
  const tls = readMutualTls(files, { cert: 'tls-cert', key: 'tls-key', ca: 'client-ca' });
  if (listen === undefined && tls) throw new Failure('CONFIG_INVALID', { field: 'listen', reason: 'missing' });
  if (listen !== undefined && !tls) throw new Failure('CONFIG_INVALID', { field: 'tls-cert', reason: 'missing' });
  return {
    origin: publicUrl === undefined ? null : parseUrl(publicUrl, ['http:', 'https:'], 'public-url'),
    mail: readMailOptions(flags, env),
    commandKey: readCommandKey(flags, env),
    network: listen !== undefined && tls ? { ...parseListen(listen, 'listen'), tls } : null,
    alone: true,
  };
}

function readRetention({ keepEventsDays, keepOperationsDays }: RetentionFlags, env: NodeJS.ProcessEnv): Retention {
  const days = (text: string | undefined, field: string, otherwise: number) => {
    if (text === undefined) return otherwise;
    if (!/^[1-9][0-9]{0,4}$/.test(text)) throw new Failure('CONFIG_INVALID', { field, reason: 'days' });
    return Number(text);
  };
  const { eventsDays, operationsDays } = RETENTION_DEFAULT;
  return {
    eventsDays: days(keepEventsDays ?? env['LATCHKEY_KEEP_EVENTS_DAYS'], 'keep-events-days', eventsDays),
    operationsDays: days(
      keepOperationsDays ?? env['LATCHKEY_KEEP_OPERATIONS_DAYS'],
      'keep-operations-days',
      operationsDays,
    ),
  };
}

function parseUrl(text: string, protocols: readonly string[], field: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!url || !protocols.includes(url.protocol) || url.username !== '' || url.search !== '' || url.hash !== '') {
    throw new Failure('CONFIG_INVALID', { field, reason: 'url' });
  }
  return text.replace(/\/$/, '');
}

function readSwitch(text: string | undefined, field: string): boolean {
  if (text === undefined || text === 'no') return false;
  if (text !== 'yes') throw new Failure('CONFIG_INVALID', { field, reason: 'yes_or_no' });
  return true;
}

function readTls(flags: ServeFlags, env: NodeJS.ProcessEnv): Tls | null {
  const tlsCert = flags.tlsCert ?? env['LATCHKEY_TLS_CERT_FILE'];
  const tlsKey = flags.tlsKey ?? env['LATCHKEY_TLS_KEY_FILE'];
  const ca = flags.ca ?? env['LATCHKEY_CA_FILE'];
  if (tlsCert === undefined && tlsKey === undefined && ca === undefined) return null;
  const read = (path: string | undefined, field: string) => {
    const text = path === undefined ? null : readIfThere(path);
    if (text === null) throw new Failure('CONFIG_INVALID', { field, reason: 'file_missing' });
    return text;
  };
  return { cert: read(tlsCert, 'tls-cert'), key: read(tlsKey, 'tls-key'), caPem: read(ca, 'ca') };
}

function readCommandKey(
  { commandKeyProgram }: Pick<ServeFlags, 'commandKeyProgram'>,
  env: NodeJS.ProcessEnv,
): CommandKeySource {
  return {
    program: readProgram(commandKeyProgram ?? env['LATCHKEY_COMMAND_KEY_PROGRAM']),
    credential: credentialIn(env['CREDENTIALS_DIRECTORY']),
  };
}

/** It will sign whatever machines obey: whoever could exchange it would be whoever may. */
function readProgram(path: string | undefined): string | null {
  if (path === undefined) return null;
  const refuse = (reason: string) => new Failure('CONFIG_INVALID', { field: 'command-key-program', reason });
  if (!isAbsolute(path)) throw refuse('absolute_path');
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found?.isFile()) throw refuse('file_missing');
  if ((found.mode & 0o111) === 0) throw refuse('not_executable');
  if (othersMayReplace(path)) throw refuse('others_may_write_it');
  return path;
}

/** systemd.exec(5), LoadCredential=. */
function credentialIn(folder: string | undefined): string | null {
  if (folder === undefined || folder === '') return null;
  const path = join(folder, 'command-key');
  return existsSync(path) ? path : null;
}

const levels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'];

/** Throws `CONFIG_INVALID`: whoever misspells it would miss what they wanted to see. */
export function logLevel(env: NodeJS.ProcessEnv): string {
  const level = env['LATCHKEY_LOG_LEVEL'] ?? 'info';
  if (!levels.includes(level)) throw new Failure('CONFIG_INVALID', { field: 'LATCHKEY_LOG_LEVEL', reason: 'level' });
  return level;
}
