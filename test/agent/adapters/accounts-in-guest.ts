// The accounts of a lab guest, made as a rule wants them and troubled as it asks. Never runs outside a guest.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { accountsLinux } from '../../../agent/adapters/accounts-linux.ts';
import type { AccountsSubject, AccountsTrouble, GivenAccount } from '../contracts/accounts.ts';

/** Long enough for the real program on a busy machine; the rules with a hanging one wait for it. */
const PASSWD_TIMEOUT_MS = 4_000;
const GIVEN = '/run/given';
const PROGRAM = '/usr/bin/passwd';

export function accountsInGuest(): AccountsSubject {
  const macKey = randomBytes(32);
  return {
    given: async (accounts) => writeAccounts(accounts),
    accounts: (options) => accountsLinux({ macKey, passwdTimeoutMs: PASSWD_TIMEOUT_MS, ...options }),
    async during(trouble, act) {
      const end = await troubles[trouble]();
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
  writeFileSync('/etc/passwd', all.map(([name, { uid }]) => `${name}:x:${uid}:${uid}::/tmp:/bin/sh\n`).join(''));
  writeFileSync('/etc/shadow', all.map(([name]) => `${name}:*:20000:0:99999:7:::\n`).join(''));
  for (const [name, { password, made }] of all) {
    if (password) run('chpasswd', [], `${name}:${password.reveal()}\n`);
    if (made === 'locked') run('passwd', ['-l', name]);
    if (made === 'expired') run('chage', ['-E', '0', name]);
    if (made === 'must_change') run('chage', ['-d', '0', name]);
  }
}

function run(program: string, args: readonly string[], input = ''): void {
  execFileSync(program, args, { input, stdio: ['pipe', 'ignore', 'pipe'] });
}

type End = () => void | Promise<void>;

const troubles: Readonly<Record<AccountsTrouble, () => End | Promise<End>>> = {
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

function replaceProgram(script: string): End {
  const original = `${PROGRAM}.away`;
  run('mv', [PROGRAM, original]);
  writeFileSync(PROGRAM, `#!/bin/sh\n${script}\n`);
  chmodSync(PROGRAM, 0o755);
  return () => run('mv', [original, PROGRAM]);
}

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
