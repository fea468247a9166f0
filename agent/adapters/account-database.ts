// Reads the text of passwd(5) and shadow(5) files. Pure; never writes an entry and never returns a hash to be shown.

import { createHmac } from 'node:crypto';
import type { AccountState, AccountsFingerprint } from '../ports/accounts.ts';

export type PasswdEntry = Readonly<{
  name: string;
  /** The second field: `x` where the hash is in the shadow file, or else the hash itself. */
  field: string;
  uid: number;
  gid: number;
  home: string;
  shell: string;
}>;

/** shadow(5): the hash, for how many days a password holds, and the day on which the account itself ends. */
const HASH_FIELD = 1;
const MAX_DAYS_FIELD = 4;
const EXPIRE_FIELD = 7;
/** What follows the hash, in this form of the file and in the one before it. */
const NUMBERS = 7;
const NUMBERS_OF_OLD = 3;
const ID_MAX = 0xffff_ffff;

/** A crypt(5) hash: with a `$method$` prefix, traditional DES, or BSDi DES. */
const HASH = /^(?:\$[^$]+\$.+|[./0-9A-Za-z]{13}|_[./0-9A-Za-z]{19})$/;
const TRADITIONAL_DES = /^[./0-9A-Za-z]{13}$/;

/**
 * The accounts with a whole entry, as the C library reads them: blanks before a name do not count, nor do comments, empty and
 * damaged lines. NIS lines (`+`, `-`) name no local account.
 */
export function parsePasswd(text: string): readonly PasswdEntry[] {
  return entryLines(text).flatMap((line) => {
    const [name, field = '', uidText, gidText, , home = '', shell = ''] = line.split(':');
    const [uid, gid] = [id(uidText), id(gidText)];
    if (!name || /^[+-]/.test(name) || uid === undefined || gid === undefined) return [];
    return [{ name, field, uid, gid, home, shell }];
  });
}

/** As strtoul(3) reads it: with blanks and a sign before it, so that `+0` is no other account than `0`. */
function id(text = ''): number | undefined {
  if (!/^\s*[+-]?[0-9]+$/.test(text)) return undefined;
  const value = Number(text);
  if (Math.abs(value) > ID_MAX) return undefined;
  return value < 0 ? value + ID_MAX + 1 : Math.abs(value);
}

/** Whether the hash is kept in the shadow file (what pam_unix takes for that), and with it the days of shadow(5). */
export function isShadowed({ name, field }: PasswdEntry): boolean {
  return field === 'x' || field === `##${name}` || field === '*NP*';
}

/** The state of an account by its lines; `today` counts days from 1970-01-01. */
export function accountState(entry: PasswdEntry, shadow: string, today: number): AccountState {
  if (!isShadowed(entry)) return hashState(entry.field);
  const fields = shadowFields(shadow, entry.name);
  const expires = days(fields[EXPIRE_FIELD]);
  // pam_unix refuses from that day on, day 0 included.
  if (expires !== undefined && today >= expires) return 'expired';
  return hashState(fields[HASH_FIELD] ?? '');
}

/** Whether the account ends, or a password set today must be changed, within so many days. */
export function endsWithin(entry: PasswdEntry, shadow: string, today: number, notice: number): boolean {
  if (!isShadowed(entry)) return false;
  const fields = shadowFields(shadow, entry.name);
  const [holds, expires] = [days(fields[MAX_DAYS_FIELD]), days(fields[EXPIRE_FIELD])];
  return (holds !== undefined && holds <= notice) || (expires !== undefined && expires - today <= notice);
}

/** Whether the password is kept by traditional DES, which reads eight characters of it. */
export function readsEightCharacters(entry: PasswdEntry, shadow: string): boolean {
  return TRADITIONAL_DES.test(isShadowed(entry) ? (shadowFields(shadow, entry.name)[HASH_FIELD] ?? '') : entry.field);
}

function shadowFields(shadow: string, name: string): readonly string[] {
  return shadowEntries(shadow).find(([found]) => found === name) ?? [];
}

/**
 * The shadow lines that the C library understands, each as it would write it again: pam_unix rewrites the whole file, and
 * thereby drops comments and damaged lines and fills up those of the older form. That changes no account.
 */
function shadowEntries(shadow: string): readonly (readonly string[])[] {
  return entryLines(shadow).flatMap((line) => {
    const [name = '', hash = '', ...numbers] = line.split(':');
    if (name === '' || !isWhole(numbers)) return [];
    return [[name, hash, ...Array.from({ length: NUMBERS }, (_, n) => days(numbers[n])?.toString() ?? '')]];
  });
}

/** As sgetspent(3) judges it: three numbers, or six with perhaps one more; an empty one at the end does not count. */
function isWhole(numbers: readonly string[]): boolean {
  if (numbers.length > NUMBERS || !numbers.every((text) => /^(?:[ \t]*[+-]?[0-9]+)?$/.test(text))) return false;
  const told = numbers.at(-1) === '' ? numbers.length - 1 : numbers.length;
  return told === NUMBERS_OF_OLD || told >= NUMBERS - 1;
}

/** A number of days; an empty field, and a negative one, sets none. */
function days(field = ''): number | undefined {
  return /^[ \t]*[+]?[0-9]+$/.test(field) ? Number(field) : undefined;
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
  const add = (kind: string, name: string, told: readonly (string | number)[]): void => {
    lines.set(name, [...(lines.get(name) ?? []), `${kind}\0${told.join(':')}\n`]);
  };
  for (const { name, field, uid, gid } of parsePasswd(passwd)) add('passwd', name, [field, uid, gid]);
  for (const [name = '', ...fields] of shadowEntries(shadow)) add('shadow', name, fields);
  const hash = (told: string[]): string => createHmac('sha256', macKey).update(told.join('')).digest('base64url');
  return Object.fromEntries([...lines].map(([name, told]) => [name, hash(told)]));
}

/** Lines that may hold an entry. The C library skips blanks before one, and nothing after it. */
function entryLines(text: string): readonly string[] {
  return text
    .split('\n')
    .map((line) => line.trimStart())
    .filter((line) => line !== '' && !line.startsWith('#'));
}
