// What would keep an account's owner out although its password is right, as far as files of the machine tell: its shell, an
// end to come, the hash, pam_faillock, nologin(5), PAM, sshd. Looks only; the one thing it can take away is a tally of wrong passwords.

import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, globSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Account, AccountObstacle } from '../ports/accounts.ts';
import { endsWithin, parsePasswd, readsEightCharacters } from './account-database.ts';
import { type FaillockSettings, faillockSettings, isBlocked } from './faillock.ts';
import { asksForLocalPassword } from './pam-stack.ts';
import { readSshdConfig, sshObstacles } from './sshd-config.ts';

/** An end that is nearer than this is worth a word. */
const NOTICE_DAYS = 14;
/** Configuration files and tallies are far smaller; what is larger is not one. */
const FILE_BYTES_MAX = 1_048_576;
const RESET_TIMEOUT_MS = 5_000;

/** In the order in which they are looked for: the administrator's folder comes before the vendor's. */
const SSHD_CONFIGS = ['/etc/ssh/sshd_config', '/usr/etc/ssh/sshd_config'];
const PAM_FOLDERS = ['/etc/pam.d', '/usr/lib/pam.d'];
/** Where people sign in with a password, as far as the services are the same on every system. */
const PAM_SERVICES = ['login', 'sshd'];
/** Stays over a reboot; the one in /run belongs to a boot or a shutdown. */
const NOLOGIN = '/etc/nologin';
const FAILLOCK_CONF = '/etc/security/faillock.conf';
const FAILLOCK_PROGRAMS = ['/usr/sbin/faillock', '/sbin/faillock', '/usr/bin/faillock'];

export type ObstacleSources = Readonly<{ passwd: string; shadow: string; today: number; nowS: number }>;

export function findObstacles({ name, uid }: Account, sources: ObstacleSources): readonly AccountObstacle[] {
  const entry = parsePasswd(sources.passwd).find((found) => found.name === name);
  if (entry === undefined) return [];
  const config = SSHD_CONFIGS.find((path) => existsSync(path));
  const settings = config === undefined ? null : readSshdConfig(sshdFiles, config);
  return [
    ...(shellAdmits(entry.shell) ? [] : (['ACCOUNT_SHELL_NOLOGIN'] as const)),
    ...(endsWithin(entry, sources.shadow, sources.today, NOTICE_DAYS) ? (['EXPIRY_AHEAD'] as const) : []),
    ...(tallies(name).some(([tally, rule]) => isBlocked(tally, rule, uid, sources.nowS))
      ? (['FAILLOCK_ACTIVE'] as const)
      : []),
    ...(readsEightCharacters(entry, sources.shadow) ? (['ACCOUNT_HASH_SHORT'] as const) : []),
    ...(uid !== 0 && existsSync(NOLOGIN) ? (['NOLOGIN_FILE'] as const) : []),
    ...(pamAdmits() ? [] : (['PAM_NO_PASSWORD'] as const)),
    ...(settings === null ? [] : sshObstacles(settings, uid)),
  ];
}

/** Whether a service is left at which the local password is asked for, or none says anything of it. */
function pamAdmits(): boolean {
  const answers = PAM_SERVICES.map((service) => asksForLocalPassword(service));
  return answers.includes(true) || !answers.includes(false);
}

/** An empty field means /bin/sh (passwd(5)). */
function shellAdmits(shell: string): boolean {
  if (['nologin', 'false', 'true'].includes(basename(shell))) return false;
  try {
    accessSync(shell === '' ? '/bin/sh' : shell, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Lets the module's own program forget the wrong passwords of one account: it takes the module's lock and touches that
 * tally alone. Run only where a tally is there; ended after a while; what it could not do is an obstacle that stays.
 */
export async function clearTallies(name: string): Promise<void> {
  const program = FAILLOCK_PROGRAMS.find((path) => existsSync(path));
  if (program === undefined) return;
  for (const dir of new Set(tallies(name).map(([, rule]) => rule.dir))) {
    await new Promise<void>((resolve) => {
      const child = spawn(program, ['--dir', dir, '--user', name, '--reset'], {
        cwd: '/',
        env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
        stdio: 'ignore',
        timeout: RESET_TIMEOUT_MS,
        killSignal: 'SIGKILL',
      });
      child.once('error', () => resolve());
      child.once('close', () => resolve());
    });
  }
}

/** The account's tallies that are not empty, each with the rule that a line of pam.d makes of it. */
function tallies(name: string): readonly (readonly [Uint8Array, FaillockSettings])[] {
  const texts = PAM_FOLDERS.flatMap((folder) => textsIn(folder));
  return faillockSettings(texts, read(FAILLOCK_CONF)?.toString('latin1') ?? '').flatMap((rule) => {
    const tally = rule.dir.startsWith('/') ? read(join(rule.dir, name)) : null;
    return tally === null || tally.length === 0 ? [] : [[tally, rule] as const];
  });
}

function textsIn(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((file) => read(join(folder, file))?.toString('latin1') ?? []);
}

const sshdFiles = {
  read: (path: string) => read(path)?.toString('latin1') ?? null,
  // glob(7): a star names no hidden file. sshd reads them in the order of their bytes.
  glob: (pattern: string) =>
    globSync(pattern)
      .filter((path) => !basename(path).startsWith('.') || basename(pattern).startsWith('.'))
      .sort(),
};

/** The content of an ordinary file; whatever else stands there could keep a reader waiting. */
function read(path: string): Buffer | null {
  try {
    const facts = statSync(path);
    return facts.isFile() && facts.size <= FILE_BYTES_MAX ? readFileSync(path) : null;
  } catch {
    return null;
  }
}
