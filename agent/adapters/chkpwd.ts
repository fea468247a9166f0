// Asks unix_chkpwd(8), the checker that pam_unix itself uses, whether a password opens an account and whether the
// account may be used. The secret goes to its standard input and nowhere else.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { Failure } from '../../protocol/failure.ts';
import type { Secret } from '../../protocol/secret.ts';

/** Results of PAM (_pam_types.h), with which the helper exits. */
const PAM_SUCCESS = 0;
const PAM_AUTH_ERR = 7;
const PAM_NEW_AUTHTOK_REQD = 12;
const PAM_ACCT_EXPIRED = 13;
const PAM_AUTHTOK_EXPIRED = 27;

export type ChkpwdOptions = Readonly<{ programs: readonly string[]; timeoutMs: number }>;

export async function passwordOpens(options: ChkpwdOptions, name: string, password: Secret): Promise<boolean> {
  const line = Buffer.alloc(password.length + 1);
  const bytes = password.revealBytes();
  line.set(bytes);
  bytes.fill(0);
  try {
    // `nonull`: an account without a password must not seem to accept one.
    return verdict(await runChkpwd(options, [name, 'nonull'], line), [PAM_AUTH_ERR]);
  } finally {
    line.fill(0);
  }
}

export async function accountUsable(options: ChkpwdOptions, name: string): Promise<boolean> {
  const status = await runChkpwd(options, [name, 'chkexpiry'], Buffer.alloc(0));
  return verdict(status, [PAM_NEW_AUTHTOK_REQD, PAM_ACCT_EXPIRED, PAM_AUTHTOK_EXPIRED]);
}

function verdict(status: number | null, refusals: readonly number[]): boolean {
  if (status === PAM_SUCCESS) return true;
  if (status !== null && refusals.includes(status)) return false;
  throw new Failure('VERIFY_FAILED', { reason: status === null ? 'checker_killed' : `checker_${status}` });
}

/** The exit status; `null` for a helper that was ended. Its input is a pipe: it refuses to run on a terminal. */
function runChkpwd(options: ChkpwdOptions, args: readonly string[], input: Buffer): Promise<number | null> {
  const program = options.programs.find((path) => existsSync(path));
  if (program === undefined) throw new Failure('VERIFY_FAILED', { reason: 'checker_missing' });
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: '/',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
      // `chkexpiry` prints the days that are left.
      stdio: ['pipe', 'ignore', 'ignore'],
      timeout: options.timeoutMs,
      killSignal: 'SIGKILL',
    });
    child.once('error', (error) => reject(new Failure('VERIFY_FAILED', { reason: 'checker_unusable' }, error)));
    child.once('close', (status) => resolve(status));
    // The helper may end without reading; its status says what that means.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}
