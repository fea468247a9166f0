// Finds the control plane and the API key: from options, then the environment, then a profile, then the data folder of a
// control plane on this machine. Secrets are read from files, never from an argument or a variable's value.

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
import { demandProfile, type Profile, profileInUse } from './profiles.ts';
import { UsageError } from './prompts.ts';

/** As given on the command line. */
export type ConnectionOptions = Readonly<{ profile?: string; url?: string; apiKeyFile?: string; ca?: string }>;

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
  const profile = await profileMeant(options);
  if (profile) return { url: checkAddress(profile.url), apiKey: profile.apiKey, ...authorityOf(profile.ca) };
  const named = namedAddress(options);
  const url = checkAddress(named ?? (await localAddress()));
  const keyFile = options.apiKeyFile ?? (process.env['LATCHKEY_API_KEY_FILE'] || undefined);
  // A key of the local installation is for the local installation: it is not offered to an address named elsewhere.
  if (keyFile === undefined && named !== undefined && !(await isLocalAddress(url))) {
    throw new Failure('UNAUTHENTICATED', { reason: 'no API key for this address' });
  }
  const apiKey = await readApiKey(keyFile ?? pathsIn(dataFolder()).apiKey);
  const ca = options.ca === undefined ? await localAuthority(url) : await readConfigured(options.ca, 'ca');
  return { url, apiKey, ...authorityOf(ca) };
}

const namedAddress = ({ url }: ConnectionOptions) => url ?? (process.env['LATCHKEY_URL'] || undefined);
const authorityOf = (ca: string | null | undefined) => (ca == null ? {} : { ca });

/** A profile has an address, a key and an authority of its own, and nothing is taken from elsewhere beside it. */
async function profileMeant(options: ConnectionOptions): Promise<Profile | undefined> {
  const { profile, url, apiKeyFile, ca } = options;
  if (profile !== undefined) {
    if ([url, apiKeyFile, ca].some((given) => given !== undefined)) {
      throw new UsageError('--profile excludes --url, --api-key-file and --ca');
    }
    return demandProfile(profile);
  }
  const elsewhere = [namedAddress(options), apiKeyFile, process.env['LATCHKEY_API_KEY_FILE'] || undefined, ca];
  if (elsewhere.some((given) => given !== undefined)) return undefined;
  const name = process.env['LATCHKEY_PROFILE'] || (await profileInUse());
  return name === undefined ? undefined : demandProfile(name);
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

export async function readApiKey(path: string): Promise<Secret> {
  return apiKeyOf(await readConfigured(path, 'api-key'), path);
}

/** Throws `CONFIG_INVALID`, and quotes nothing. */
export function apiKeyOf(text: string, path: string): Secret {
  const key = text.trim();
  if (!/^lk_[A-Za-z0-9_-]{43}$/.test(key)) throw new Failure('CONFIG_INVALID', { path, reason: 'not an API key' });
  return Secret.ofText(key);
}
