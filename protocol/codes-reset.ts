// The first codes: of tokens and of resets themselves. This part of the table is closed; codes are added at the end of codes.ts.

import {
  type CodeEntry,
  failed,
  failedForNow,
  halfway,
  refused,
  refusedForNow,
  unclear,
  warning,
} from './code-entry.ts';

export const resetCodes = {
  // Tokens.
  TOKEN_MALFORMED: refused(
    'The message is not a well-formed token.',
    'Send it again; if it repeats, something on the way alters messages.',
  ),
  ALG_REFUSED: refused(
    'The token names an algorithm that is not allowed.',
    'Only Ed25519 signatures and ECDH-ES with A256GCM are accepted.',
  ),
  TYP_REFUSED: refused(
    'The token is of another type than this place needs.',
    'A token of one type is never accepted as another.',
  ),
  KID_UNKNOWN: refused(
    'The signing key is not known for this role.',
    'Compare the trust file in the guest with `latchkey trust export`.',
  ),
  KEY_EXPIRED: refused('The signing key is past its end.', 'Rotate the key in a new root version.'),
  SIG_INVALID: refused(
    'The signature does not match the message.',
    'Something altered the message, or the key is not the one it names.',
  ),
  NONCANONICAL: refused(
    'The payload is not canonical JSON.',
    'Serialise it once, with no duplicate keys, blanks or extra escapes.',
  ),
  SCHEMA_INVALID: refused(
    'The message does not have the expected fields.',
    'Unknown, missing or malformed fields are refused; see WIRE.md.',
  ),
  VERSION_UNSUPPORTED: refused('The other side speaks a version that is not supported.', 'Update the older side.'),
  ISS_MISMATCH: refused(
    'The command comes from another installation.',
    'The agent obeys the installation named in its root alone.',
  ),
  AUD_MISMATCH: refused('The command is addressed to another agent.', 'Commands act on their addressee alone.'),
  // Root.
  ROOT_INVALID: refused(
    'The trust root is missing or malformed.',
    'Write a new trust file with `latchkey trust export`.',
  ),
  ROOT_EXPIRED: refused('The trust root is past its end.', 'Publish a new root version; until then nothing is done.'),
  ROOT_ROLLBACK: refused(
    'The trust root offered is not the next version.',
    'Roots are taken one version after the other, never back.',
  ),
  ROOT_THRESHOLD: refused(
    'The trust root lacks signatures.',
    'A new root needs the threshold of the old and of the new root keys.',
  ),
  // Freshness.
  EXPIRED: refusedForNow('The command or intent is past its end.', 'Submit the operation again.'),
  NOT_YET_VALID: refusedForNow('The command is dated in the future.', 'Check the clock of the control plane.'),
  NONCE_UNKNOWN: refused('No executor waits for this command.', 'Submit the operation again; a command works once.'),
  OP_CONFLICT: refused('The operation was already started with another command.', 'Start a new operation.'),
  BUSY: refusedForNow('Another operation is running on this machine.', 'Wait for its end, or cancel it.'),
  READY_EXPIRED: refusedForNow(
    'The agent no longer waits for this operation.',
    'Prepare it again; a typed password must be sealed again.',
  ),
  // Permission.
  AUTHZ_INVALID: refused(
    'The proof does not cover this intent.',
    'Choose a verification method and prove this very submission.',
  ),
  FACTOR_REFUSED: refused(
    'The code or signature was not accepted.',
    'Check the time of the authenticator; a code works once.',
  ),
  FACTOR_LOCKED: refused('Too many wrong codes: the operation is void.', 'Start the operation again.'),
  FACTOR_UNKNOWN: refused('The operator has no such verification method.', 'Register it with `latchkey operator add`.'),
  // The way a reset is done.
  REROOT_REFUSED: refused(
    'A reset by booting into another root is refused.',
    'Latchkey changes passwords on the running system only; there is no override.',
  ),
  ENV_REFUSED: refused(
    'The agent does not run in the machine’s own, normally booted root.',
    'Boot the machine normally and try again.',
  ),
  // Secrets.
  UNSEAL_FAILED: refused(
    'The sealed secret cannot be opened here.',
    'It was sealed to another key, operation or agent; submit again.',
  ),
  PASSWORD_POLICY: refused(
    'The password does not meet the rule.',
    '8 to 30 printable ASCII characters without blanks, with a letter and a digit, and not the account’s name.',
  ),
  // Accounts.
  ACCOUNT_NOT_FOUND: refused(
    'There is no such local account.',
    'Name a local account, or none for the default administrator.',
  ),
  ACCOUNT_LOCKED: refused('The account is locked.', 'Say `--unlock` if the reset shall unlock it.'),
  ACCOUNT_EXPIRED: refused('The account has expired.', 'A password would not let anyone in; extend the account first.'),
  ACCOUNT_AMBIGUOUS: refused('More than one account answers to that user id.', 'Name the administrator in agent.json.'),
  SHADOW_LOCKED: failedForNow('The account database is held by another program.', 'Try again in a minute.'),
  FS_READONLY: failed('The file system is read-only.', 'Look for disk errors in the guest.'),
  DISK_FULL: failed('No space is left on the disk.', 'Free some space in the guest.'),
  PASSWD_FAILED: failed(
    'The system’s password program refused or failed.',
    'The guest’s own password policy may be stricter; try a generated password.',
  ),
  VERIFY_FAILED: unclear('The new password could not be proven.', 'Try to sign in; then reset again if needed.'),
  // VNC.
  VNC_ABSENT: warning('No VNC server was found in the guest.', 'Only the account’s password is reset.'),
  VNC_FAILED: unclear(
    'The VNC password could not be changed.',
    'What was set before stays set; the reason says what stood in the way.',
  ),
  // Reboot.
  REBOOT_DENIED: unclear(
    'The guest refused to reboot.',
    'What was set before stays set; reboot the machine by other means.',
  ),
  REBOOT_TIMEOUT: halfway(
    'The machine was asked to reboot and did not.',
    'The new secrets are set; look at the machine’s console.',
  ),
  REBOOT_CANCELLED: halfway('The reboot was cancelled; the new secrets are set.', 'Reboot the machine when it suits.'),
  BOOT_ENV_CHANGED: halfway(
    'The machine came back in another root or with other kernel arguments.',
    'Look at its console before you trust it.',
  ),
  // The agent's own state.
  INTERRUPTED: unclear(
    'The operation was cut off, and its outcome was decided by what was found.',
    'See the detail for what was changed; reset again if needed.',
  ),
  JOURNAL_UNSAFE: refused(
    'The agent’s journal is damaged or not private to root.',
    'Look at the permissions and the disk; then install the agent again.',
  ),
  EXECUTOR_UNAVAILABLE: refusedForNow(
    'The privileged half of the agent does not answer.',
    'Look at latchkey-executor.socket in the guest.',
  ),
  CLONE_SUSPECTED: refused(
    'This identity is used by more than one machine.',
    'Seal images before cloning; enrol the clone anew.',
  ),
  STATE_ROLLED_BACK: warning(
    'The agent’s state is older than it was.',
    'A disk snapshot was restored; check that this was intended.',
  ),
  NOT_ENROLLED: refused('The agent has no identity yet.', 'Put a join token in place and run `latchkey-agent enrol`.'),
  // Enrolment.
  JOIN_TOKEN_USED: refused('The join token was used before.', 'Create a new one with `latchkey token create`.'),
  JOIN_TOKEN_EXPIRED: refused('The join token is past its end.', 'Create a new one with `latchkey token create`.'),
  JOIN_TOKEN_INVALID: refused('The join token is not valid.', 'Create a new one with `latchkey token create`.'),
  RATE_LIMITED: refusedForNow('Too many requests.', 'Wait a moment.'),
  // Warnings beside a success.
  VNC_TRUNCATED: warning(
    'This VNC server reads the first 8 characters only.',
    'Use a generated VNC password; it has exactly 8.',
  ),
  VNC_SHARES_ACCOUNT_PASSWORD: warning(
    'The VNC password begins like the account’s password.',
    'Change the VNC password.',
  ),
  VNC_UNVERIFIED: halfway(
    'The VNC password was written and could not be proven in force.',
    'Try it; restart the VNC server if it still wants the old one.',
  ),
  VNC_RESTART_REQUIRED: warning('The VNC server takes the new password at its next start.', 'The reboot does that.'),
  ACCOUNT_HAD_NO_PASSWORD: warning(
    'The account had no password before.',
    'It can now sign in with one wherever the guest allows passwords.',
  ),
  DATA_KEYS_AT_RISK: warning(
    'Data may be locked with the old password.',
    'Login keyrings and encrypted homes still want the old one.',
  ),
  SECRET_NOT_COLLECTED: warning(
    'The generated password was never collected.',
    'Reset again: nobody can read it any more.',
  ),
} as const satisfies Record<string, CodeEntry>;
