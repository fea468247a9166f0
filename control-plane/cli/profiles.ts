// Profiles: control planes that this user signed in to, each a file with its address, its authority and an API key, mode 0600;
// and which of them is in use where none is named.

import { homedir } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { Failure } from '../../protocol/failure.ts';
import { Secret } from '../../protocol/secret.ts';
import { namesIn, readIfThere, removeFile, writePrivate } from './client/private-files.ts';

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

const profileFile = z.strictObject({
  v: z.literal(1),
  url: z.string(),
  operator: z.string(),
  /** PEM; `null` for the authorities of the system. */
  ca: z.nullable(z.string()),
  api_key: z.string().check(z.regex(/^lk_[A-Za-z0-9_-]{43}$/)),
});

export type Profile = Readonly<{ name: string; url: string; operator: string; ca: string | null; apiKey: Secret }>;

function folder(): string {
  return join(process.env['XDG_CONFIG_HOME'] || join(homedir(), '.config'), 'latchkey');
}

const inUse = () => join(folder(), 'profile');

/** Throws `CONFIG_INVALID` for what is no name of one. */
export function checkName(name: string): void {
  if (!NAME.test(name)) throw new Failure('CONFIG_INVALID', { field: 'profile', reason: 'name' });
}

function pathOf(name: string): string {
  checkName(name);
  return join(folder(), 'profiles', `${name}.json`);
}

async function findProfile(name: string): Promise<Profile | undefined> {
  const path = pathOf(name);
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  try {
    const { url, operator, ca, api_key } = z.parse(profileFile, JSON.parse(text));
    return { name, url, operator, ca, apiKey: Secret.ofText(api_key) };
  } catch (cause) {
    throw new Failure('CONFIG_INVALID', { path, reason: 'damaged' }, cause);
  }
}

export async function demandProfile(name: string): Promise<Profile> {
  const found = await findProfile(name);
  if (!found) throw new Failure('CONFIG_INVALID', { field: 'profile', profile: name, reason: 'no such profile' });
  return found;
}

/** In place of one of the same name, and in use from now on. */
export async function writeProfile({ name, url, operator, ca, apiKey }: Profile): Promise<void> {
  const content = { v: 1, url, operator, ca, api_key: apiKey.reveal() };
  await writePrivate(pathOf(name), `${JSON.stringify(content)}\n`);
  await chooseProfile(name);
}

export async function removeProfile(name: string): Promise<void> {
  await removeFile(pathOf(name));
  if ((await profileInUse()) === name) await removeFile(inUse());
}

export async function chooseProfile(name: string): Promise<void> {
  await writePrivate(inUse(), `${name}\n`);
}

export async function profileInUse(): Promise<string | undefined> {
  return (await readIfThere(inUse()))?.trim() || undefined;
}

export async function listProfiles(): Promise<Profile[]> {
  const names = (await namesIn(join(folder(), 'profiles'))).filter((name) => name.endsWith('.json'));
  return Promise.all(names.toSorted().map((name) => demandProfile(name.slice(0, -'.json'.length))));
}
