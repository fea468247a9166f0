// Every code that this product speaks, on the wire, in the journal, in HTTP answers and in logs. Append only: a code is
// never renamed, reused or removed. WIRE.md lists them, and a test holds the list equal to this table.

import {
  type CodeEntry,
  entry,
  error,
  errorForNow,
  notice,
  refused,
  refusedForNow,
  unclear,
  warning,
} from './code-entry.ts';
import { resetCodes } from './codes-reset.ts';

const table = {
  ...resetCodes,
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
  IDEMPOTENCY_KEY_REUSED: refused(
    'This idempotency key was sent with another request.',
    'Draw a new key for each thing that is to be made.',
  ),
  IDEMPOTENCY_RUNNING: refusedForNow(
    'A request with this idempotency key is being answered.',
    'Send it again in a moment.',
  ),
  SHOWN_ONCE: refused(
    'It was made, and its secret was shown once.',
    'Remove what is named beside, and make another one with a new key.',
  ),
  // People.
  SIGN_IN_REFUSED: refused(
    'Signing in was refused.',
    'Look at what was entered, or use another way to sign in; who was never invited asks an admin for an invitation.',
  ),
  ORIGIN_REFUSED: refused(
    'The request comes from a page of another site.',
    'Use the address of the control plane itself; if you did, set --public-url to it.',
  ),
  LOGIN_PENDING: refusedForNow(
    'Nobody has let this program in yet.',
    'Open the address that it showed, and ask again later.',
  ),
  LOGIN_SLOW_DOWN: refusedForNow('The program asks too often whether it was let in.', 'Ask five seconds less often.'),
  LOGIN_EXPIRED: refused('The code is over.', 'Run `latchkey login` again, and use the code within ten minutes.'),
  LOGIN_DENIED: refused('The login was denied in the browser.', 'If that was not meant, run `latchkey login` again.'),
} as const satisfies Record<string, CodeEntry>;

export type Code = keyof typeof table;

/** The table, keyed by code. */
export const codes: Readonly<Record<Code, CodeEntry>> = table;

/** All codes, in the order in which they were added. */
export const allCodes: readonly Code[] = Object.keys(table) as Code[];

export function isCode(text: string): text is Code {
  return Object.hasOwn(table, text);
}
