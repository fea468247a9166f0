// How a lab guest is set up for the rules about real machines: policies in its own PAM files, a directory beside its own
// accounts, a lockout, an SSH server's configuration, and odd password programs. Never runs outside a guest.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { AccountsSetting } from '../contracts/accounts.ts';
import { type End, GIVEN, PROGRAM, replaceProgram, run } from './password-program-in-guest.ts';

const UNIX = 'password required pam_unix.so use_authtok yescrypt\n';
/** Longer than any password of this product: none can satisfy it. */
const QUALITY = 'password requisite pam_pwquality.so retry=1 dictcheck=0 minlen=60';
const LOCKOUT = `auth required pam_faillock.so preauth dir=/var/lib/faillock deny=2
auth sufficient pam_unix.so nodelay
auth [default=die] pam_faillock.so authfail dir=/var/lib/faillock deny=2
account required pam_unix.so
`;
const WRONG_PASSWORDS = 2;

export const settings: Readonly<Record<AccountsSetting, () => End>> = {
  program_other_language: () => replaceProgram(`stty -echo; printf "Neues Passwort: "; head -n 1 > ${GIVEN}`),
  program_new_question: () => replaceProgram(`echo "Welcome."; printf "Which realm? "; head -n 1 > ${GIVEN}`),
  program_talkative: () =>
    replaceProgram(`echo "Notice: passwords are changed for password: users"; exec ${PROGRAM}.away "$@"`),
  // Nothing here enforces a mandatory policy: the words are those of shadow's passwd where one says no.
  program_denied: () => replaceProgram('echo "$0: root is not authorized to change the password of $2" >&2; exit 1'),
  program_of_busybox() {
    run('mv', [PROGRAM, `${PROGRAM}.away`]);
    symlinkSync('/usr/bin/busybox', PROGRAM);
    return () => run('mv', [`${PROGRAM}.away`, PROGRAM]);
  },
  program_not_in_busybox: () => replaceProgram('exec busybox passwd-that-was-left-out "$@"'),
  strict_policy: () => replaceFiles({ '/etc/pam.d/passwd': `${QUALITY} enforce_for_root\n${UNIX}` }),
  warning_policy: () => replaceFiles({ '/etc/pam.d/passwd': `${QUALITY}\n${UNIX}` }),
  history: () =>
    replaceFiles({
      '/etc/pam.d/passwd': `password requisite pam_pwhistory.so remember=5 enforce_for_root\n${UNIX}`,
      '/etc/security/opasswd': '',
    }),
  directory_account() {
    const end = replaceFiles({
      '/etc/nsswitch.conf': 'passwd: files extrausers\ngroup: files\nshadow: files extrausers\n',
      '/var/lib/extrausers/passwd': 'dora:x:5000:5000::/tmp:/bin/sh\n',
      '/var/lib/extrausers/shadow': 'dora:*:20000:0:99999:7:::\n',
    });
    // The system itself knows the account; otherwise the rule would say nothing.
    run('id', ['dora']);
    return end;
  },
  lockout: () => replaceFiles({ '/etc/pam.d/su': LOCKOUT, '/var/lib/faillock/.made': '' }),
  ssh_password_off: () =>
    replaceFiles({
      '/etc/ssh/sshd_config': 'Include /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication yes\n',
      '/etc/ssh/sshd_config.d/50-cloud.conf': 'PasswordAuthentication no\n',
    }),
  ssh_root_password_off: () => replaceFiles({ '/etc/ssh/sshd_config': '#PermitRootLogin yes\nUsePAM yes\n' }),
  ssh_depends: () =>
    replaceFiles({ '/etc/ssh/sshd_config': 'Match Address 10.0.0.0/8\n  PasswordAuthentication no\n' }),
};

/** Signs in with wrong passwords through PAM itself, as `su` does. */
export function failToSignIn(name: string): void {
  for (let n = 0; n < WRONG_PASSWORDS; n += 1) {
    try {
      execFileSync('su', [name, '-c', 'true'], { input: 'not-the-password\n', stdio: ['pipe', 'ignore', 'ignore'] });
    } catch {
      continue;
    }
    throw new Error('a wrong password was accepted');
  }
}

export function replaceFiles(texts: Readonly<Record<string, string>>): End {
  const before = Object.keys(texts).map((path) => [path, existsSync(path) ? readFileSync(path) : null] as const);
  for (const [path, text] of Object.entries(texts)) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  return () => {
    for (const [path, content] of before) {
      if (content) writeFileSync(path, content);
      else rmSync(path);
    }
  };
}
