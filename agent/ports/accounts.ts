// Local accounts: who is there, in which state, and a new password for one of them, proven.

import type { Code } from '../../protocol/codes.ts';
import type { Secret } from '../../protocol/secret.ts';

/**
 * `active`: a hash that can match. `no_password`: a field that holds no hash and never held one that can be brought back
 * (`*`, `!`, `!!`, `!*`; usual for root in cloud images). `locked`: `!` before a hash. `expired`: the account's own end
 * (shadow(5), field 8) has passed, whatever its password says.
 *
 * On Windows `locked` is disabled or locked out, and there is no `no_password`: Windows does not tell.
 */
export type AccountState = 'active' | 'no_password' | 'locked' | 'expired';

/** What keeps an account's owner out although its password is right, or makes that worth less: a code that warns of it. */
export type AccountObstacle = Extract<
  Code,
  | 'SSH_PASSWORD_OFF'
  | 'SSH_ROOT_PASSWORD_OFF'
  | 'SSH_DEPENDS'
  | 'ACCOUNT_SHELL_NOLOGIN'
  | 'EXPIRY_AHEAD'
  | 'FAILLOCK_ACTIVE'
  | 'ACCOUNT_HASH_SHORT'
  | 'NOLOGIN_FILE'
  | 'PAM_NO_PASSWORD'
>;

export type Account = Readonly<{ name: string; uid: number; state: AccountState }>;

/**
 * All entries of the account database by account name, each behind a keyed hash of what decides who the account is and
 * how it signs in, in whichever file that is kept: enough to say which accounts differ between two moments and nothing
 * else. One changed password is one changed key. The key of the hashes stays with the adapter's owner.
 */
export type AccountsFingerprint = Readonly<Record<string, string>>;

/**
 * The contract, for every system:
 * - Only accounts of the machine's own database are found; directory services are not asked.
 * - `resolve(null)` is the default administrator: the account that the configuration names, or the one account with uid 0
 *   (Windows: RID 500). Several with uid 0 and none named: `ACCOUNT_AMBIGUOUS`. None: `ACCOUNT_NOT_FOUND`.
 * - `resolve(name)` is that account, provided that no other shares its uid (`ACCOUNT_AMBIGUOUS`) or the configuration
 *   names it as the administrator.
 * - `setPassword` runs the platform's own password program over a pseudo-terminal. The secret is written only after its
 *   prompt; it is never in argv, environment, a file or a log. It returns when the new entry is durable on disk
 *   (file and folder synced), and throws `PASSWD_FAILED`, `SHADOW_LOCKED` or `FS_READONLY`, each with a `reason`
 *   (`full` where no space is left); all of them mean that the entry is as it was. A program that failed after it had changed the entry is a success:
 *   `accepts` proves what it is worth. What can be neither is `VERIFY_FAILED`. It brings a `locked` account back.
 * - Where the database cannot be read at all, `resolve` and `fingerprint` throw `VERIFY_FAILED`.
 * - `accepts` asks the platform's checker; `false` means that it said no, and any other trouble is `VERIFY_FAILED`.
 * - `usable` asks whether the account may sign in at all now (expiry); `false` is a finding, not an error.
 * - `obstacles` tells what else would keep its owner out, now or within two weeks. It looks only, starts no program, and
 *   finds nothing where it cannot look. An account without a shell, or of the system, may have a password all the same:
 *   whoever names it gets it set, and is told.
 * - `clearLockout` makes the system forget the account's wrong passwords, for one who asked to unlock it. Nothing else is
 *   changed; where it does not succeed, `obstacles` goes on telling.
 */
export type Accounts = {
  resolve(name: string | null): Promise<Account>;
  fingerprint(): Promise<AccountsFingerprint>;
  setPassword(account: Account, password: Secret): Promise<void>;
  accepts(account: Account, password: Secret): Promise<boolean>;
  usable(account: Account): Promise<boolean>;
  obstacles(account: Account): Promise<readonly AccountObstacle[]>;
  clearLockout(account: Account): Promise<void>;
};
