// Reads the text of passwd(5) and shadow(5) files. Pure; never writes an entry and never returns a hash to be shown.

import { createHmac } from 'node:crypto';
import type { AccountState, AccountsFingerprint } from '../ports/accounts.ts';

export type PasswdEntry = Readonly<{ name: string; uid: number; gid: number; home: string; shell: string }>;

/** shadow(5): the hash, for how many days a password holds, and the day on which the account itself ends. */
const HASH_FIELD = 1;
const MAX_DAYS_FIELD = 4;
const EXPIRE_FIELD = 7;
/** passwd(5): name, password, uid and gid; what follows says nothing about signing in with a password. */
const IDENTITY_FIELDS = 4;

/** A crypt(5) hash: with a `$method$` prefix, traditional DES, or BSDi DES. */
const HASH = /^(?:\$[^$]+\$.+|[./0-9A-Za-z]{13}|_[./0-9A-Za-z]{19})$/;

/** The accounts with a whole entry. Comments, NIS lines (`+`, `-`) and damaged lines name no local account. */
export function parsePasswd(text: string): readonly PasswdEntry[] {
  return entryLines(text).flatMap((line) => {
    const [name, , uid, gid, , home, shell] = line.split(':');
    if (/^[#+-]/.test(line)) return [];
    if (!name || !uid || !gid || !/^[0-9]+$/.test(uid) || !/^[0-9]+$/.test(gid)) return [];
    return [{ name, uid: Number(uid), gid: Number(gid), home: home ?? '', shell: shell ?? '' }];
  });
}

/** The state of an account by its line in the shadow text; `today` counts days from 1970-01-01. */
export function accountState(shadow: string, name: string, today: number): AccountState {
  const fields = shadowFields(shadow, name);
  const expires = days(fields[EXPIRE_FIELD]);
  // pam_unix refuses from that day on, day 0 included.
  if (expires !== undefined && today >= expires) return 'expired';
  return hashState(fields[HASH_FIELD] ?? '');
}

/** Whether the account ends, or a password set today must be changed, within so many days. */
export function endsWithin(shadow: string, name: string, today: number, notice: number): boolean {
  const fields = shadowFields(shadow, name);
  const [holds, expires] = [days(fields[MAX_DAYS_FIELD]), days(fields[EXPIRE_FIELD])];
  return (holds !== undefined && holds <= notice) || (expires !== undefined && expires - today <= notice);
}

function shadowFields(shadow: string, name: string): readonly string[] {
  const line = entryLines(shadow).find((entry) => entry.startsWith(`${name}:`));
  return line?.split(':') ?? [];
}

/** A number of days; an empty field, and a negative one, sets none. */
function days(field = ''): number | undefined {
  return /^[0-9]+$/.test(field) ? Number(field) : undefined;
}

function hashState(field: string): AccountState {
  if (HASH.test(field)) return 'active';
  // passwd(1) locks with `!`; `*` before a hash is done by hand and means the same.
  const unlocked = field.replace(/^[!*]+/, '');
  return unlocked !== field && HASH.test(unlocked) ? 'locked' : 'no_password';
}

/**
 * One keyed hash for each account name, over what decides who it is and how it signs in: the first four fields of its
 * passwd lines and the whole of its shadow lines. So one changed password is one changed key, wherever the hash is kept.
 */
export function fingerprintOf(passwd: string, shadow: string, macKey: Uint8Array): AccountsFingerprint {
  const lines = new Map<string, string[]>();
  const add = (kind: string, line: string, told: string): void => {
    const name = line.split(':', 1)[0] ?? '';
    lines.set(name, [...(lines.get(name) ?? []), `${kind}\0${told}\n`]);
  };
  for (const line of entryLines(passwd)) add('passwd', line, line.split(':').slice(0, IDENTITY_FIELDS).join(':'));
  for (const line of entryLines(shadow)) add('shadow', line, line);
  const hash = (told: string[]): string => createHmac('sha256', macKey).update(told.join('')).digest('base64url');
  return Object.fromEntries([...lines].map(([name, told]) => [name, hash(told)]));
}

function entryLines(text: string): readonly string[] {
  return text.split('\n').filter((line) => line !== '');
}
