// Finds the control plane and the API key: from options, then the environment, then the data folder of a control plane
// on this machine. Secrets are read from files, never from an argument or a variable's value.

import { homedir } from 'node:os';
import { join } from 'node:path';
import { Failure } from '../../protocol/failure.ts';
import { Secret } from '../../protocol/secret.ts';
import { defaultDataFolder } from '../config/options.ts';
import { pathsIn } from '../config/paths.ts';
import { randomKernel } from '../config/random-kernel.ts';
import { connectApi } from './client/api.ts';
import type { Client } from './client/client.ts';
import { type Connection, checkAddress, isLoopback } from './client/http.ts';
import { readConfigured, readIfThere } from './client/private-files.ts';

/** As given on the command line. */
export type ConnectionOptions = Readonly<{ url?: string; apiKeyFile?: string; ca?: string }>;

export function dataFolder(): string {
  return defaultDataFolder(process.env);
}

export function stateFolder(): string {
  return process.env['LATCHKEY_STATE'] || join(homedir(), '.local', 'state', 'latchkey');
}

export async function connect(options: ConnectionOptions): Promise<Client> {
  const connection = await resolveConnection(options);
  return {
    api: connectApi(connection),
    stateFolder: stateFolder(),
    randomBytes: randomKernel(),
    now: () => new Date(),
  };
}

async function resolveConnection(options: ConnectionOptions): Promise<Connection> {
  const named = options.url ?? (process.env['LATCHKEY_URL'] || undefined);
  const url = checkAddress(named ?? (await localAddress()));
  const keyFile = options.apiKeyFile ?? (process.env['LATCHKEY_API_KEY_FILE'] || undefined);
  // A key of the local installation is for the local installation: it is not offered to an address named elsewhere.
  if (keyFile === undefined && named !== undefined && !(await isLocalAddress(url))) {
    throw new Failure('UNAUTHENTICATED', { reason: 'no API key for this address' });
  }
  const apiKey = await readApiKey(keyFile ?? pathsIn(dataFolder()).apiKey);
  const ca = options.ca === undefined ? await localAuthority(url) : await readConfigured(options.ca, 'ca');
  return { url, apiKey, ...(ca === undefined ? {} : { ca }) };
}

/** The authority that a control plane on this machine made for itself. */
async function localAuthority(url: URL): Promise<string | undefined> {
  return (await isLocalAddress(url)) ? readIfThere(pathsIn(dataFolder()).tlsAuthority) : undefined;
}

/** The address that a control plane on this machine wrote at its start. */
async function localAddress(): Promise<string> {
  const address = await readLocalAddress();
  if (address === undefined) {
    throw new Failure('SERVER_UNREACHABLE', {
      reason: 'no --url, and none runs over this data folder',
      folder: dataFolder(),
    });
  }
  return address;
}

async function readLocalAddress(): Promise<string | undefined> {
  const path = pathsIn(dataFolder()).address;
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  try {
    const { url } = JSON.parse(text) as { url?: unknown };
    if (typeof url === 'string') return url;
  } catch {
    // Falls through: a damaged file and one without an address are the same fault.
  }
  throw new Failure('CONFIG_INVALID', { path, reason: 'damaged' });
}

/** `localhost` and `127.0.0.1` are the same machine; a port there belongs to one program. */
async function isLocalAddress(url: URL): Promise<boolean> {
  const local = await readLocalAddress().catch(() => undefined);
  if (local === undefined || !URL.canParse(local)) return false;
  const { origin, port, hostname } = new URL(local);
  return origin === url.origin || (port === url.port && isLoopback(hostname) && isLoopback(url.hostname));
}

async function readApiKey(path: string): Promise<Secret> {
  const text = (await readConfigured(path, 'api-key')).trim();
  if (!/^lk_[A-Za-z0-9_-]{43}$/.test(text)) throw new Failure('CONFIG_INVALID', { path, reason: 'not an API key' });
  return Secret.ofText(text);
}
