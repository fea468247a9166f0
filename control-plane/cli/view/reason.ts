// The word of reason that a receipt carries beside its code, in plain words for an operator.

import type { OperationView } from '../../api/schemas.ts';
import { printable } from './text.ts';

const words: Readonly<Record<string, string>> = {
  // The system's password program.
  policy: 'the guest’s password policy did not accept the password',
  history: 'the account had this password before, and the guest remembers',
  lock: 'another program holds the guest’s account database',
  lock_unusable: 'the password program could not take the lock of the account database, which nobody holds',
  readonly: 'the guest’s file system is read-only',
  full: 'no space is left on the guest’s disk',
  missing: 'the guest has no working password program',
  no_terminal: 'the guest gave no pseudo-terminal to run its password program on',
  no_account: 'the account went away in the meantime',
  permission: 'the guest’s own access rules forbid the change',
  timeout: 'the password program came to no end and was stopped',
  asks_current: 'the password program asked for the current password, which nobody has',
  echoed: 'the password program showed the password, which may now lie in a log of the guest',
  token: 'the guest’s PAM modules could not write the new password',
  not_asked: 'the password program never asked for the new password',
  unknown: 'the password program said something that is not known here, and was given no more',
  // The proof.
  unchanged: 'the password program reported success and changed nothing',
  others_changed: 'other accounts changed at the same moment',
  not_accepted: 'the guest’s own checker does not accept the new password',
  not_usable: 'the account may not sign in at all: it or its password has ended',
  sync: 'the change could not be made durable',
  checker_missing: 'the guest has no unix_chkpwd to prove it with',
  checker_unusable: 'the guest’s unix_chkpwd could not be started',
  checker_killed: 'the guest’s unix_chkpwd came to no end',
  // The account.
  name: 'the administrator’s name has characters that a command cannot carry',
  database_unreadable: 'the guest’s account database cannot be read',
  uid: 'the account was made anew since it was looked at',
};

/** The last receipt's reason as a clause, or its bare word where a newer agent says something else. */
export function reasonText({ receipts }: Pick<OperationView, 'receipts'>): string | null {
  const reason = receipts.at(-1)?.detail['reason'];
  if (typeof reason !== 'string') return null;
  return Object.hasOwn(words, reason) ? (words[reason] ?? null) : printable(reason);
}
