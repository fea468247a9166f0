// Accounts of a Linux system: read from passwd(5) and shadow(5), changed by passwd(1), proven by unix_chkpwd(8). Never
// edits the account database itself, never falls back to a way around the system's policy, and never asks a directory.

import { accessSync, constants, existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { PASSWD_TIMEOUT_MS } from '../../protocol/limits.ts';
import { accountName } from '../../protocol/schema.ts';
import type { Account, Accounts } from '../ports/accounts.ts';
import { accountState, fingerprintOf, isShadowed, type PasswdEntry, parsePasswd } from './account-database.ts';
import { clearTallies, findObstacles } from './account-obstacles.ts';
import { accountUsable, type ChkpwdOptions, passwordOpens } from './chkpwd.ts';
import { syncPath } from './durable.ts';
import { errnoOf, storageFailure } from './errno.ts';
import type { PasswdReason } from './passwd-dialogue.ts';
import { runPasswd } from './passwd-program.ts';
import { isLocked } from './proc.ts';

const MS_PER_DAY = 86_400_000;
/** The checker waits about two seconds after a wrong password (pam_unix's delay). */
const CHECK_TIMEOUT_MS = 15_000;

export type AccountsLinuxOptions = Readonly<{
  /** The account that the image's configuration names as its administrator. */
  administrator?: string;
  /** Keys the fingerprint; known to root only. */
  macKey: Uint8Array;
  passwdTimeoutMs?: number;
  /** Days since 1970-01-01, by which shadow(5) counts. */
  today?: () => number;
  paths?: Partial<AccountsLinuxPaths>;
}>;

export type AccountsLinuxPaths = Readonly<{
  passwd: string;
  shadow: string;
  lock: string;
  locks: string;
  passwdPrograms: readonly string[];
  checkPrograms: readonly string[];
}>;

export const systemPaths: AccountsLinuxPaths = {
  passwd: '/etc/passwd',
  shadow: '/etc/shadow',
  lock: '/etc/.pwd.lock',
  locks: '/proc/locks',
  passwdPrograms: ['/usr/bin/passwd', '/bin/passwd'],
  checkPrograms: ['/usr/sbin/unix_chkpwd', '/sbin/unix_chkpwd', '/usr/bin/unix_chkpwd'],
};

export function accountsLinux(options: AccountsLinuxOptions): Accounts {
  const paths = { ...systemPaths, ...options.paths };
  const today = options.today ?? (() => Math.floor(Date.now() / MS_PER_DAY));
  const checker: ChkpwdOptions = { programs: paths.checkPrograms, timeoutMs: CHECK_TIMEOUT_MS };
  const fingerprint = (): Record<string, string> =>
    fingerprintOf(readDatabase(paths.passwd), readShadow(paths.shadow), options.macKey);
  const runOptions = {
    programs: paths.passwdPrograms,
    timeoutMs: options.passwdTimeoutMs ?? PASSWD_TIMEOUT_MS,
    isHeldUp: (pid: number) => isLockHeld(paths, pid),
  };

  return {
    async resolve(name) {
      const entries = parsePasswd(readDatabase(paths.passwd));
      const entry = findAccount(entries, name, options.administrator);
      // Where the hash stands in the first file, there may be no other one.
      const shadow = isShadowed(entry) ? readDatabase(paths.shadow) : '';
      return { name: entry.name, uid: entry.uid, state: accountState(entry, shadow, today()) };
    },

    fingerprint: async () => fingerprint(),

    async setPassword(account, password) {
      assertName(account.name);
      assertWritable(paths);
      const before = fingerprint()[account.name];
      const outcome = await runPasswd(runOptions, account.name, password);
      if (outcome === 'done') return syncDatabase(paths);
      await judgeFailure({ account, reason: outcome.reason, changed: fingerprint()[account.name] !== before }, paths);
    },

    async accepts(account, password) {
      assertName(account.name);
      return passwordOpens(checker, account.name, password);
    },

    async usable(account) {
      assertName(account.name);
      return accountUsable(checker, account.name);
    },

    async obstacles(account) {
      try {
        const [passwd, shadow] = [readDatabase(paths.passwd), readShadow(paths.shadow)];
        return findObstacles(account, { passwd, shadow, today: today(), nowS: Math.floor(Date.now() / 1000) });
      } catch (error) {
        // A file that cannot be read tells nothing; anything but the system's own error is a defect.
        if (errnoOf(error) === undefined && codeOf(error) !== 'VERIFY_FAILED') throw error;
        return [];
      }
    },

    async clearLockout(account) {
      assertName(account.name);
      await clearTallies(account.name);
    },
  };
}

/** A database that cannot be read is a finding about the machine and no defect of this program: the operation ends by it. */
function readDatabase(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Failure('VERIFY_FAILED', { reason: 'database_unreadable', errno: errnoOf(error) ?? null }, error);
  }
}

/** A machine may keep every hash in the first file and have no second one. */
function readShadow(path: string): string {
  return existsSync(path) ? readDatabase(path) : '';
}

function findAccount(entries: readonly PasswdEntry[], name: string | null, administrator?: string): PasswdEntry {
  const wanted = name ?? administrator;
  const found =
    wanted === undefined ? entries.filter(({ uid }) => uid === 0) : entries.filter((e) => e.name === wanted);
  const [entry] = found;
  if (entry === undefined) throw new Failure('ACCOUNT_NOT_FOUND', { account: wanted ?? null });
  assertName(entry.name);
  // The configuration's word settles which of several names for one uid is meant.
  const sharing =
    wanted === administrator && wanted !== undefined ? found : entries.filter(({ uid }) => uid === entry.uid);
  if (found.length > 1 || sharing.length > 1)
    throw new Failure('ACCOUNT_AMBIGUOUS', { account: wanted ?? null, uid: entry.uid });
  return entry;
}

function assertName(name: string): void {
  // Names that a command may carry; nothing else reaches an argument.
  if (!accountName.safeParse(name).success) throw new Failure('ACCOUNT_NOT_FOUND', { account: null, reason: 'name' });
}

/** The files of the database that there are, wherever a link leads, and their folders. */
function databasePaths(paths: AccountsLinuxPaths): readonly string[] {
  const files = [paths.shadow, paths.passwd].filter((path) => existsSync(path));
  const real = files.map((path) => realpathSync(path));
  return [...new Set([...real, ...real.map((path) => dirname(path)), dirname(paths.passwd)])];
}

/** Asks the kernel, which answers EROFS to root as well, before the secret is given to anyone. */
export function assertWritable(paths: AccountsLinuxPaths): void {
  try {
    for (const path of databasePaths(paths)) accessSync(path, constants.W_OK);
  } catch (error) {
    throw storageFailure(error) ?? new Failure('PASSWD_FAILED', { reason: 'permission' }, error);
  }
}

/** pam_unix renames the new file into place and syncs no folder: without this a power cut brings the old password back. */
async function syncDatabase(paths: AccountsLinuxPaths): Promise<void> {
  try {
    for (const path of databasePaths(paths)) await syncPath(path);
  } catch (error) {
    throw new Failure('VERIFY_FAILED', { reason: 'sync', errno: errnoOf(error) ?? null }, error);
  }
}

/**
 * A program that was ended, or that failed, may have changed the entry all the same. Then there is nothing to refuse:
 * the change is made durable, and the caller's proof says what it is worth. An echoed secret is never a success.
 */
async function judgeFailure(
  { account, reason, changed }: { account: Account; reason: PasswdReason; changed: boolean },
  paths: AccountsLinuxPaths,
): Promise<void> {
  const details = { account: account.name, reason };
  if (changed) {
    await syncDatabase(paths);
    if (reason === 'echoed') throw new Failure('VERIFY_FAILED', details);
    return;
  }
  const cause = await causeOf(reason, paths);
  throw new Failure(cause === 'lock' ? 'SHADOW_LOCKED' : 'PASSWD_FAILED', { ...details, reason: cause });
}

/** The program's own words name what it could not do; the machine may tell why. */
async function causeOf(reason: PasswdReason, paths: AccountsLinuxPaths): Promise<PasswdReason | 'full'> {
  if (reason !== 'token' && reason !== 'lock_unusable') return reason;
  if (await isDiskFull(dirname(paths.shadow))) return 'full';
  // It says the same of a lock that somebody holds and of one that it may not take.
  return reason === 'lock_unusable' && isDatabaseLocked(paths) ? 'lock' : reason;
}

async function isDiskFull(folder: string): Promise<boolean> {
  return (await freeBytes(folder)) === 0;
}

/** What root may still write there; 0 also where no more files can be made. */
export async function freeBytes(folder: string): Promise<number> {
  const { bfree, bsize, ffree, files } = await statfs(folder);
  // Some file systems have no fixed number of files and say 0 of 0.
  return files > 0 && ffree === 0 ? 0 : bfree * bsize;
}

/** By a record lock on the one file (lckpwdf(3)), or by the files that programs without it make beside each other's. */
function isDatabaseLocked(paths: AccountsLinuxPaths): boolean {
  return isLockHeld(paths) || [paths.passwd, paths.shadow].some((path) => existsSync(`${path}.lock`));
}

export function isLockHeld(paths: AccountsLinuxPaths, exceptPid?: number): boolean {
  try {
    return isLocked(readFileSync(paths.locks, 'utf8'), statSync(paths.lock).ino, exceptPid);
  } catch {
    return false;
  }
}
