// `latchkey login`, `logout` and `profile`: which control planes this user works with. A key comes by way of a browser or is
// given; it is tried before it is kept.

import type { Command } from 'commander';
import type { Secret } from '../../protocol/secret.ts';
import { type Right, rights } from '../core/rights.ts';
import { interruptible, onHost, withJson } from './action.ts';
import { connectApi } from './client/api.ts';
import { checkAddress } from './client/http.ts';
import { readConfigured } from './client/private-files.ts';
import { KEY_TTL_S_MAX, scopesOf } from './commands-people.ts';
import { seconds } from './commands-reset.ts';
import { apiKeyOf, readApiKey } from './connection.ts';
import { type Fetched, loginInBrowser, type Shown } from './device-login.ts';
import { EXIT } from './exit-codes.ts';
import {
  checkName,
  chooseProfile,
  demandProfile,
  listProfiles,
  profileInUse,
  removeProfile,
  writeProfile,
} from './profiles.ts';
import { askSecret, canAsk, secretLines, UsageError } from './prompts.ts';
import { printable, table, writeJson, writeLine, writeNote } from './view/text.ts';

type Json = Readonly<{ json?: boolean }>;
type LoginOptions = Json &
  Readonly<{
    url: string;
    ca?: string;
    scopes?: Right[];
    ttl?: number;
    apiKeyFile?: string;
    apiKeyStdin?: boolean;
  }>;

const FIRST = 'default';

export function registerLoginCommands(program: Command): void {
  const login = withJson(program.command('login'))
    .description('sign in to a control plane, in a browser or with an API key, and use it from now on')
    .argument('[profile]', 'its name here', FIRST)
    .requiredOption('--url <address>', 'control plane')
    .option('--ca <file>', 'PEM of the authority that issued its certificate')
    .option('--scopes <list>', `what to ask for, of ${rights.join(', ')}; read,operate without it`, scopesOf)
    .option('--ttl <seconds>', 'how long to stay signed in: 30 days without it', seconds(60, KEY_TTL_S_MAX))
    .option('--api-key-file <file>', 'no browser: file with an API key')
    .option('--api-key-stdin', 'no browser: an API key, as a line of standard input, hidden where that is a terminal');
  onHost<LoginOptions>(login, (options, [name = FIRST]) => signIn(name, options));

  const logout = withJson(program.command('logout'))
    .description('forget a profile with its API key, which stays good: `latchkey api-key revoke` ends it')
    .argument('[profile]', 'its name; the one in use without it');
  onHost<Json>(logout, async ({ json }, [given]) => {
    const name = given ?? (await profileInUse());
    if (name === undefined) throw new UsageError('no profile is in use: name one');
    await demandProfile(name);
    await removeProfile(name);
    if (json) writeJson({ event: 'logout', profile: name });
    else writeLine(`Forgot the profile ${name}.`);
  });

  registerProfile(program.command('profile').description('control planes that you signed in to'));
}

async function signIn(name: string, options: LoginOptions): Promise<number> {
  checkName(name);
  const url = checkAddress(options.url);
  const ca = options.ca === undefined ? null : await readConfigured(options.ca, 'ca');
  const place = { name, url, ca, json: options.json === true };
  const given = await apiKeyGiven(options);
  if (given === undefined) return interruptible((signal) => signInByBrowser(place, options, signal));
  await keep(place, given);
  return EXIT.done;
}

type Place = Readonly<{ name: string; url: URL; ca: string | null; json: boolean }>;

const apiAt = ({ url, ca }: Place, apiKey: Secret | null) =>
  connectApi({ url, apiKey, ...(ca === null ? {} : { ca }) });

async function signInByBrowser(place: Place, options: LoginOptions, signal: AbortSignal): Promise<number> {
  const show = (shown: Shown) => (place.json ? writeJson({ event: 'login_code', ...shown }) : showCode(shown));
  let fetched: Fetched;
  try {
    fetched = await loginInBrowser(apiAt(place, null), options, { show, signal });
  } catch (error) {
    if (!signal.aborted) throw error;
    if (place.json) writeJson({ event: 'interrupted' });
    else writeNote('Not signed in.');
    return EXIT.interrupted;
  }
  const { id, apiKey, scopes, expiresAt } = fetched;
  try {
    await keep(place, apiKey, { scopes, expires_at: expiresAt });
  } catch (error) {
    // What cannot be kept is of use to nobody.
    await apiAt(place, apiKey)
      .revokeApiKey(id)
      .catch(() => undefined);
    throw error;
  }
  return EXIT.done;
}

function showCode({ user_code, verification_uri, verification_uri_complete, expires_in }: Shown): void {
  writeNote(`Open  ${printable(verification_uri_complete)}`);
  writeNote(`(or ${printable(verification_uri)} on another device) and compare the code:  ${printable(user_code)}`);
  writeNote(`Waiting for ${Math.round(expires_in / 60)} minutes; Ctrl-C ends it.`);
}

/** Tried first. */
async function keep(place: Place, apiKey: Secret, good: object = {}): Promise<void> {
  const { name, url, ca, json } = place;
  const { operator } = await apiAt(place, apiKey).whoami();
  await writeProfile({ name, url: url.href, operator, ca, apiKey });
  if (json) writeJson({ event: 'login', profile: name, url: url.href, operator, ...good });
  else writeLine(`Signed in to ${url.href} as ${printable(operator)}; the profile ${name} is in use.`);
}

/** `undefined`: by browser. */
async function apiKeyGiven({ apiKeyFile, apiKeyStdin, scopes, ttl }: LoginOptions): Promise<Secret | undefined> {
  if (apiKeyFile !== undefined && apiKeyStdin) {
    throw new UsageError('--api-key-file and --api-key-stdin exclude each other');
  }
  if (apiKeyFile === undefined && !apiKeyStdin) return undefined;
  if (scopes !== undefined || ttl !== undefined) {
    throw new UsageError('--scopes and --ttl are for a key that is made: the one that is given has its own');
  }
  if (apiKeyFile !== undefined) return readApiKey(apiKeyFile);
  const line = canAsk() ? await askSecret('API key', '--api-key-file') : await secretLines()();
  return apiKeyOf(line.reveal(), 'standard input');
}

function registerProfile(profile: Command): void {
  const list = withJson(profile.command('list')).description('the profiles; the one in use has a mark');
  onHost<Json>(list, async ({ json }) => {
    const [profiles, used] = [await listProfiles(), await profileInUse()];
    const shown = profiles.map(({ name, url, operator }) => ({ profile: name, url, operator, in_use: name === used }));
    if (json) for (const one of shown) writeJson(one);
    else if (shown.length === 0) writeLine('No profiles. Make one:  latchkey login --url ADDRESS');
    else {
      const rows = shown.map(({ profile: name, url, operator, in_use }) => [in_use ? '*' : '', name, url, operator]);
      writeLine(table([['', 'PROFILE', 'CONTROL PLANE', 'OPERATOR'], ...rows]));
    }
  });

  const use = withJson(profile.command('use')).description('use a profile from now on').argument('<profile>');
  onHost<Json>(use, async ({ json }, [name = '']) => {
    const { url } = await demandProfile(name);
    await chooseProfile(name);
    if (json) writeJson({ event: 'profile', profile: name, url });
    else writeLine(`The profile ${name} is in use: ${url}`);
  });
}
