// `latchkey login`, `logout` and `profile`: which control planes this user works with. An API key is tried before it is kept.

import type { Command } from 'commander';
import type { Secret } from '../../protocol/secret.ts';
import { onHost, withJson } from './action.ts';
import { connectApi } from './client/api.ts';
import { checkAddress } from './client/http.ts';
import { readConfigured } from './client/private-files.ts';
import { apiKeyOf, readApiKey } from './connection.ts';
import { chooseProfile, demandProfile, listProfiles, profileInUse, removeProfile, writeProfile } from './profiles.ts';
import { askSecret, secretLines, UsageError } from './prompts.ts';
import { printable, table, writeJson, writeLine } from './view/text.ts';

type Json = Readonly<{ json?: boolean }>;
type LoginOptions = Json & Readonly<{ url: string; ca?: string; apiKeyFile?: string; apiKeyStdin?: boolean }>;

const FIRST = 'default';

export function registerLoginCommands(program: Command): void {
  const login = withJson(program.command('login'))
    .description('keep a control plane and your API key there as a profile, and use it from now on')
    .argument('[profile]', 'its name here', FIRST)
    .requiredOption('--url <address>', 'control plane')
    .option('--ca <file>', 'PEM of the authority that issued its certificate')
    .option('--api-key-file <file>', 'file with the API key; it is asked for, hidden, without')
    .option('--api-key-stdin', 'read the API key from a line of standard input');
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

async function signIn(name: string, { url: address, ca, json, ...key }: LoginOptions): Promise<void> {
  const url = checkAddress(address);
  const authority = ca === undefined ? null : await readConfigured(ca, 'ca');
  const apiKey = await apiKeyGiven(key);
  const { operator } = await connectApi({ url, apiKey, ...(authority === null ? {} : { ca: authority }) }).whoami();
  await writeProfile({ name, url: url.href, operator, ca: authority, apiKey });
  if (json) writeJson({ event: 'login', profile: name, url: url.href, operator });
  else writeLine(`Signed in to ${url.href} as ${printable(operator)}; the profile ${name} is in use.`);
}

async function apiKeyGiven({
  apiKeyFile,
  apiKeyStdin,
}: Pick<LoginOptions, 'apiKeyFile' | 'apiKeyStdin'>): Promise<Secret> {
  if (apiKeyFile !== undefined && apiKeyStdin) {
    throw new UsageError('--api-key-file and --api-key-stdin exclude each other');
  }
  if (apiKeyFile !== undefined) return readApiKey(apiKeyFile);
  const line = apiKeyStdin ? await secretLines()() : await askSecret('API key', '--api-key-file or --api-key-stdin');
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
