// Local accounts: who is there, in which state, and a new password for one of them, proven.

import type { Secret } from '../../protocol/secret.ts';

/**
 * `active`: a hash that can match. `no_password`: a field that holds no hash and never held one that can be brought back
 * (`*`, `!`, `!!`, `!*`; usual for root in cloud images). `locked`: `!` before a hash. `expired`: the account's own end
 * (shadow(5), field 8) has passed, whatever its password says.
 */
export type AccountState = 'active' | 'no_password' | 'locked' | 'expired';

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
 *   (file and folder synced), and throws `PASSWD_FAILED` (with `reason`), `SHADOW_LOCKED`, `FS_READONLY` or `DISK_FULL`,
 *   all of which mean that the entry is as it was. A program that failed after it had changed the entry is a success:
 *   `accepts` proves what it is worth. What can be neither is `VERIFY_FAILED`. It brings a `locked` account back.
 * - `accepts` asks the platform's checker; `false` means that it said no, and any other trouble is `VERIFY_FAILED`.
 * - `usable` asks whether the account may sign in at all now (expiry); `false` is a finding, not an error.
 */
export type Accounts = {
  resolve(name: string | null): Promise<Account>;
  fingerprint(): Promise<AccountsFingerprint>;
  setPassword(account: Account, password: Secret): Promise<void>;
  accepts(account: Account, password: Secret): Promise<boolean>;
  usable(account: Account): Promise<boolean>;
};
