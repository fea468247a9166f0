// The accounts of a lab guest, made as a rule wants them and troubled as it asks. Never runs outside a guest.

import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { accountsLinux } from '../../../agent/adapters/accounts-linux.ts';
import type { AccountsSetting, AccountsSubject, AccountsTrouble, GivenAccount } from '../contracts/accounts.ts';
import { failToSignIn, settings } from './account-settings-in-guest.ts';
import { type End, GIVEN, PROGRAM, replaceProgram, run } from './password-program-in-guest.ts';

/** Long enough for the real program on a busy machine; the rules with a hanging one wait for it. */
const PASSWD_TIMEOUT_MS = 4_000;

export function accountsInGuest(): AccountsSubject {
  const macKey = randomBytes(32);
  return {
    given: async (accounts) => writeAccounts(accounts),
    accounts: (options) => accountsLinux({ macKey, passwdTimeoutMs: PASSWD_TIMEOUT_MS, ...options }),
    failToSignIn: async (name) => failToSignIn(name),
    async during(trouble, act) {
      const end = await { ...troubles, ...settings }[trouble]();
      try {
        await act();
      } finally {
        await end();
      }
    },
    bytesGiven: async () => (existsSync(GIVEN) ? statSync(GIVEN).size : 0),
  };
}

function writeAccounts(accounts: Readonly<Record<string, GivenAccount>>): void {
  rmSync(GIVEN, { force: true });
  const all = Object.entries(accounts);
  const passwd = all.map(([name, { uid, shell = '/bin/sh' }]) => `${name}:x:${uid}:${uid}::/tmp:${shell}\n`);
  const today = Math.floor(Date.now() / 86_400_000);
  const shadow = all.map(([name, { endsInDays, passwordDays = 99_999, unlisted }]) => {
    if (unlisted) return '';
    const end = endsInDays === undefined ? '' : today + endsInDays;
    return `${name}:*:20000:0:${passwordDays}:7::${end}:\n`;
  });
  writeFileSync('/etc/passwd', passwd.join(''));
  writeFileSync('/etc/shadow', shadow.join(''));
  for (const [name, { password, made }] of all) {
    if (password) run('chpasswd', [], `${name}:${password.reveal()}\n`);
    if (made === 'locked') run('passwd', ['-l', name]);
    if (made === 'expired') run('chage', ['-E', '0', name]);
    if (made === 'must_change') run('chage', ['-d', '0', name]);
  }
}

const troubles: Readonly<Record<Exclude<AccountsTrouble, AccountsSetting>, () => End | Promise<End>>> = {
  lock_held: holdLock,
  read_only() {
    run('mount', ['--bind', '/etc', '/etc']);
    run('mount', ['-o', 'remount,bind,ro', '/etc']);
    return () => run('umount', ['/etc']);
  },
  full() {
    run('sh', ['-c', 'mkdir -p /run/etc && mount -t tmpfs -o size=4m tmpfs /run/etc && cp -a /etc/. /run/etc/']);
    run('mount', ['--bind', '/run/etc', '/etc']);
    run('sh', ['-c', 'cat /dev/zero > /etc/fill 2> /dev/null || true']);
    return () => run('umount', ['/etc', '/run/etc']);
  },
  // The terminal itself shows what is typed at a program that does not turn its echo off.
  program_echoes: () => replaceProgram('printf "New password: "; read a; printf "Retype new password: "; read b'),
  program_hangs: () => replaceProgram(`cat > ${GIVEN}`),
  program_asks_current: () => replaceProgram(`printf "Current password: "; head -n 1 > ${GIVEN}`),
  program_refuses: () =>
    replaceProgram(
      `stty -echo; printf "New password: "; read a; echo "BAD PASSWORD: it is too simple"; printf "New password: "; read b`,
    ),
  program_missing() {
    run('mv', [PROGRAM, `${PROGRAM}.away`]);
    return () => run('mv', [`${PROGRAM}.away`, PROGRAM]);
  },
};

/** As lckpwdf(3) holds it: a record lock for writing over the whole file. */
async function holdLock(): Promise<End> {
  const script = `use Fcntl; sysopen(F, "/etc/.pwd.lock", O_WRONLY|O_CREAT, 0600) or die;
    my $l = pack("s s x4 q q i x4", F_WRLCK, 0, 0, 0, 0); fcntl(F, F_SETLK, $l) or die; $| = 1; print "held\\n"; sleep 600;`;
  const child: ChildProcess = spawn('perl', ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  if (child.stdout) await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
  if (!readFileSync('/proc/locks', 'utf8').includes(`:${statSync('/etc/.pwd.lock').ino} `)) throw new Error('no lock');
  const ended = once(child, 'exit');
  return async () => {
    child.kill('SIGKILL');
    await ended;
  };
}
