// Every code that this product speaks, on the wire, in the journal, in HTTP answers and in logs. Append only: a code is
// never renamed, reused or removed. WIRE.md lists them, and a test holds the list equal to this table.

/** What a code says of the machine: nothing was changed, something was, or it cannot be told from the code alone. */
export type Changed = 'nothing' | 'something' | 'unknown';

export type CodeEntry = Readonly<{
  /** `refusal`: the request is not acted upon. `failure`: it was tried. `warning`: beside a success. `error`: of a program. */
  kind: 'refusal' | 'failure' | 'warning' | 'error';
  changed: Changed;
  /** Whether the same request may succeed later without anyone changing it. */
  retry: boolean;
  /** For an operator; one sentence. */
  sentence: string;
  /** What to do next; one sentence. */
  hint: string;
}>;

type Kind = CodeEntry['kind'];
const entry =
  (kind: Kind, changed: Changed, retry: boolean) =>
  (sentence: string, hint: string): CodeEntry => ({ kind, changed, retry, sentence, hint });

const refused = entry('refusal', 'nothing', false);
const refusedForNow = entry('refusal', 'nothing', true);
const failed = entry('failure', 'nothing', false);
const failedForNow = entry('failure', 'nothing', true);
const halfway = entry('failure', 'something', false);
const unclear = entry('failure', 'unknown', false);
const warning = entry('warning', 'something', false);
const notice = entry('warning', 'nothing', false);
const error = entry('error', 'nothing', false);
const errorForNow = entry('error', 'nothing', true);

const table = {
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
  // An operation that did not get far.
  AGENT_OFFLINE: refusedForNow(
    'The agent is not connected.',
    'Start the machine; an operation with generated passwords waits for it.',
  ),
  PROOF_MISSING: refused('The operation was not proven in time.', 'Start it again and enter the code at once.'),
  CANCELLED: refused('The operation was cancelled before anything was changed.', 'Start it again when it suits.'),
  OVERDUE: entry(
    'warning',
    'something',
    true,
  )('The machine has not come back from its reboot yet.', 'Look at its console; this heals by itself when it returns.'),
  AGENT_SILENT: unclear(
    'The agent was not heard of again.',
    'Look at the machine; its agent reports what happened when it returns.',
  ),
  // Programs.
  CONFIG_INVALID: error('The configuration is not valid.', 'Correct the named field.'),
  TRUST_INVALID: error('The trust file is missing or not valid.', 'Write it again with `latchkey trust export`.'),
  DATABASE_NEWER: error('The database was made by a newer version.', 'Run that version, or restore a backup.'),
  DATABASE_UNUSABLE: error('The database cannot be used.', 'Look at the file, its owner and the disk.'),
  PORT_IN_USE: error('The address is in use by another program.', 'Choose another one with --listen.'),
  PATH_UNWRITABLE: error('The folder cannot be written.', 'Check its owner, its mode and the disk.'),
  CLOCK_WRONG: error('The clock of this machine is wrong.', 'Set it; signatures carry times.'),
  SIGNER_UNAVAILABLE: errorForNow(
    'The signer does not answer; nothing was signed.',
    'Look at the log of the control plane.',
  ),
  SERVER_UNREACHABLE: errorForNow('The control plane does not answer.', 'Is it running, and is the address right?'),
  TLS_REFUSED: error(
    'The control plane’s certificate is not acceptable.',
    'The trust file names the authority that must have issued it.',
  ),
  UNAUTHENTICATED: refused('No valid API key was given.', 'Pass one with --api-key-file.'),
  FORBIDDEN: refused('This is not permitted to you.', 'Ask someone who may.'),
  NOT_FOUND: refused('There is no such thing here.', 'Check its name.'),
  REQUEST_INVALID: refused('The request is not valid.', 'Correct the named field.'),
  STATE_CONFLICT: refused('The operation is in another state than this needs.', 'Look at the operation.'),
  ALREADY_EXISTS: refused('There is already one of that name.', 'Choose another name.'),
  LAB_UNAVAILABLE: error('A lab guest cannot be made on this machine.', 'See the detail for what to enable.'),
  OUTSIDE_GUEST: refused(
    'The executor, run from its sources, acts inside a lab guest only.',
    'Install the package in a virtual machine.',
  ),
  INTERNAL: unclear('A defect in the program stopped it.', 'Please report it with the log.'),
  VNC_AMBIGUOUS: refused(
    'There are several VNC servers and none is named.',
    'Name one, or configure it in agent.json.',
  ),
  DATA_IN_USE: error(
    'Another `latchkey serve` uses this data folder.',
    'Stop it first, or choose another folder with --data.',
  ),
  VNC_USES_ACCOUNT: refused(
    'This VNC server asks for the account’s own password.',
    'Reset the account’s password; there is no other one to reset.',
  ),
  SSH_PASSWORD_OFF: warning('The SSH server takes no passwords.', 'Use the console, or change sshd_config.'),
  SSH_ROOT_PASSWORD_OFF: warning('The SSH server takes no password from root.', 'Use the console, or another account.'),
  SSH_DEPENDS: warning('Rules of the SSH server decide who may use a password.', 'Look at Match and Allow lines.'),
  ACCOUNT_SHELL_NOLOGIN: warning('The account’s shell lets nobody sign in.', 'Change it with chsh if people shall.'),
  EXPIRY_AHEAD: warning('The account or its new password ends within two weeks.', 'Look at it with chage.'),
  FAILLOCK_ACTIVE: warning('Too many wrong passwords: sign-in is blocked for now.', 'Wait, or say `--unlock`.'),
  // What a preflight may find beside the reasons of a reset.
  ROOT_EXPIRES_SOON: notice(
    'The trust root ends within two weeks.',
    'Publish a new version; after its end nothing is done on this machine.',
  ),
  SANDBOX_OFF: notice(
    'The executor runs without some restrictions of its unit.',
    'Compare latchkey-executor@.service, and what overrides it, with the package.',
  ),
  PLATFORM_UNPROVEN: notice(
    'This agent is not yet proven on a real machine of this system.',
    'Try a reset on a machine that you can lose.',
  ),
  CHANNEL_MISMATCH: refused(
    'The two ends of the connection do not see the same TLS session.',
    'Something between agent and gateway ends TLS: let agents reach the gateway itself, or publish a root without channel binding.',
  ),
  ACCOUNT_HASH_SHORT: warning(
    'The guest keeps this password by an old method (DES) that reads 8 characters.',
    'Set ENCRYPT_METHOD to YESCRYPT or SHA512 in /etc/login.defs; then reset again.',
  ),
  NOLOGIN_FILE: warning('The file /etc/nologin keeps everybody but root out.', 'Remove it once people shall sign in.'),
  PAM_NO_PASSWORD: warning(
    'Signing in to this guest does not ask for the local password.',
    'Look at the auth lines of /etc/pam.d/login and /etc/pam.d/sshd.',
  ),
  AGENT_QUARANTINED: refused(
    'This machine’s identity is held until an operator has cleared it.',
    'Look at its history; when only the right machine has the identity, run `latchkey vm unquarantine`.',
  ),
  FACTOR_NOT_ALLOWED: refused(
    'The policy does not allow this verification method here.',
    'Use one of the methods that the intent lists.',
  ),
  MAIL_UNAVAILABLE: errorForNow(
    'The mail could not be sent.',
    'Look at the log of the signer, or verify by another method.',
  ),
  PASSKEY_NEEDS_BROWSER: error(
    'A passkey works in a browser and not on the command line.',
    'Verify by another method, or reset from the web console.',
  ),
  // Accounts of Windows.
  DOMAIN_CONTROLLER: refused(
    'The machine is a domain controller: its accounts are the domain’s.',
    'Reset the password with the domain’s own tools.',
  ),
  ACCOUNT_NAME_UNSUPPORTED: refused(
    'The account’s name has signs that are not carried.',
    'Rename it: letters and digits of ASCII, dot, dash and underscore, 20 at most.',
  ),
  // The exported audit.
  AUDIT_BROKEN: error(
    'The audit does not hold at this row.',
    'The row was altered, left out or put in after it was written; get another export, and ask who had this one.',
  ),
  AUDIT_HEAD_MISSING: error(
    'The audit does not contain the head that was noted earlier.',
    'It was cut off or written anew since; ask for the rows that you noted the head of.',
  ),
  AUDIT_ROOT_MISMATCH: error(
    'The audit is not that of the root that was given.',
    'Compare with the trust file in an image, or with `latchkey keys show` of the installation.',
  ),
  JOIN_TOKEN_EXPOSED: notice(
    'A join token stands where others in this machine can read it.',
    'Revoke it unless it was used up; give machines theirs as a credential, on a config drive, or in a file of mode 0600.',
  ),
  // The signer as a boundary.
  SIGNER_NOT_APART: error(
    'Signer and web cannot be users of their own here.',
    'As root, use a data folder that other users may pass through to, as /var/lib/latchkey; the reason is beside.',
  ),
  KEY_EXPOSED: error(
    'A private key belongs to somebody else, or others may read it.',
    'Give the file to the user of the signer, with mode 0600; if others may have read it, rotate the key.',
  ),
  KEY_UNAVAILABLE: errorForNow(
    'What holds the command key does not sign.',
    'Look at the key program and at the log of the signer; nothing was signed.',
  ),
  // Setting the agent up.
  INSTALL_FAILED: error(
    'The agent could not be set up or removed.',
    'Run it as an Administrator, with the program below C:\\Program Files\\latchkey-agent.',
  ),
  INSTALL_BY_PACKAGE: error(
    'On this system the agent is set up by its package.',
    'Install or remove the package; its units start the agent.',
  ),
  // The database of the control plane.
  DATABASE_OLDER: error('The database was made by an earlier version.', 'Run `latchkey migrate`.'),
  SPACE_LOW: notice('The disk of the data folder is nearly full.', 'Make room before writing fails.'),
  // Sealing an image.
  AGENT_RUNNING: refused(
    'The agent is running, and would write again what is removed.',
    'Stop latchkey-agent.service, latchkey-enrol.service and latchkey-executor.socket, and seal then.',
  ),
  IMAGE_INVALID: error(
    'There is no image here that can be read.',
    'Give the folder where its root file system is mounted; the reason is beside.',
  ),
  SEAL_INCOMPLETE: unclear(
    'Something that makes this machine itself could not be removed.',
    'Put right what is named beside and seal again: no copy may be made before that.',
  ),
  // Requests over HTTP.
  PRECONDITION_FAILED: refused(
    'It has changed since it was read.',
    'Read it again, and say again what is to be changed.',
  ),
} as const satisfies Record<string, CodeEntry>;

export type Code = keyof typeof table;

/** The table, keyed by code. */
export const codes: Readonly<Record<Code, CodeEntry>> = table;

/** All codes, in the order in which they were added. */
export const allCodes: readonly Code[] = Object.keys(table) as Code[];

export function isCode(text: string): text is Code {
  return Object.hasOwn(table, text);
}
