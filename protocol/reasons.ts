// The words of reason that a receipt carries beside its code, for an operator: what happened as a clause, and what to do next
// where the code's own hint would not do. A word that is not here is shown as it is; new ones may be added.

export type Reason = Readonly<{ clause: string; hint?: string }>;

const said = (clause: string, hint?: string): Reason => (hint === undefined ? { clause } : { clause, hint });

const LOOK_AT_DENIALS = 'Look for denials of SELinux or AppArmor in the guest’s audit log.';
const NEXT_BOOT = 'Take it away, or let the machine boot once; then reset again.';

const table: Readonly<Record<string, Reason>> = {
  // The system's password program.
  policy: said('the guest’s password policy did not accept the password'),
  history: said(
    'the account had this password before, and the guest remembers',
    'Choose another password, or a generated one.',
  ),
  lock: said('another program holds the guest’s account database'),
  lock_unusable: said(
    'the password program could not take the lock of the account database, which nobody holds',
    `Look at /etc/.pwd.lock. ${LOOK_AT_DENIALS}`,
  ),
  readonly: said('the guest’s file system is read-only'),
  full: said('no space is left on the guest’s disk', 'Free some space or files in the guest; then reset again.'),
  missing: said(
    'the guest has no working password program',
    'Install the package that has `passwd` (passwd, shadow-utils).',
  ),
  no_terminal: said(
    'the guest gave no pseudo-terminal to run its password program on',
    'Look at /dev/pts and at how many pseudo-terminals are open.',
  ),
  no_account: said('the account went away in the meantime', 'Look at the guest’s accounts; then reset again.'),
  permission: said('the guest’s own access rules forbid the change', LOOK_AT_DENIALS),
  timeout: said(
    'the password program came to no end and was stopped',
    'Run `passwd` in the guest by hand and see what it waits for.',
  ),
  asks_current: said(
    'the password program asked for the current password, which nobody has',
    'Look at the password lines of /etc/pam.d/passwd; root must not be asked.',
  ),
  echoed: said(
    'the password program showed the password, which may now lie in a log of the guest',
    'Do not use that password; look at /usr/bin/passwd.',
  ),
  token: said(
    'the guest’s PAM modules could not write the new password',
    `Look at the guest’s log of authentication. ${LOOK_AT_DENIALS}`,
  ),
  pam: said(
    'the guest’s PAM does not work: its rules or a module cannot be used',
    `Look at /etc/pam.d/passwd and the modules that it names. ${LOOK_AT_DENIALS}`,
  ),
  not_asked: said(
    'the password program never asked for the new password',
    'Look at the password lines of /etc/pam.d/passwd; pam_unix must be among them.',
  ),
  unknown: said(
    'the password program said something that is not known here, and was given no more',
    'Run `passwd` in the guest by hand and see what it says.',
  ),
  // The proof.
  unchanged: said('the password program reported success and changed nothing'),
  others_changed: said('other accounts changed at the same moment', 'See who changed them; the new password is set.'),
  not_accepted: said(
    'the guest’s own checker does not accept the new password',
    'Look at /etc/nsswitch.conf: another source may come before the files.',
  ),
  not_usable: said(
    'the account may not sign in at all: it or its password has ended',
    'Look at it with `chage -l`; the new password is set.',
  ),
  sync: said('the change could not be made durable', 'Look for disk errors in the guest; then reset again.'),
  checker_missing: said('the guest has no unix_chkpwd to prove it with', 'Install the package of PAM’s modules.'),
  checker_unusable: said('the guest’s unix_chkpwd could not be started', LOOK_AT_DENIALS),
  checker_killed: said('the guest’s unix_chkpwd came to no end'),
  // The account.
  name: said(
    'the administrator’s name has characters that a command cannot carry',
    'Name another account in agent.json as `administrator`.',
  ),
  database_unreadable: said(
    'the guest’s account database cannot be read',
    `Look at /etc/passwd and /etc/shadow. ${LOOK_AT_DENIALS}`,
  ),
  uid: said('the account was made anew since it was looked at', 'Look who it is now; then reset again.'),
  // The password.
  same_as_account: said('it begins like the account’s password', 'Choose another VNC password, or a generated one.'),
  same_as_before: said(
    'the VNC server has it already, as far as it counts',
    'Choose another VNC password, or a generated one.',
  ),
  // The environment.
  initrd: said('this is an initramfs and not the machine’s own system'),
  root_is_not_inits: said(
    'the agent sees other files than the machine’s first process',
    'Let the machine’s own init start the agent: not a chroot, and no container.',
  ),
  root_filesystem: said(
    'the root file system is of a kind that this image does not name',
    'If the image boots from it on purpose, name it in agent.json under `rootfs`.',
  ),
  init_unknown: said('the machine’s first process cannot be looked at'),
  init_is_shell: said('the machine’s first process is a shell'),
  kernel_arguments_unknown: said('the kernel’s arguments cannot be read'),
  kernel_argument: said('a kernel argument leads around the normal boot', 'Boot without it; then reset again.'),
  boot_id_unknown: said('the machine does not tell its boot id'),
  marker_other: said(
    'the root is not the one in which the agent was enrolled',
    'If this is meant to be so, enrol it anew.',
  ),
  marker_missing: said('the root lacks the marker that enrolment wrote', 'If this is meant to be so, enrol it anew.'),
  nextroot: said('another root is prepared in /run/nextroot', NEXT_BOOT),
  boot_override: said('something is set for the next boot alone', NEXT_BOOT),
};

/** Beside a code that is about VNC: some words mean another thing there. */
const vncTable: Readonly<Record<string, Reason>> = {
  source_unknown: said(
    'it cannot be told which file holds the server’s password',
    'Name a file with -rfbauth or -PasswordFile that the server and the machine see as the same one.',
  ),
  inline_password: said(
    'the server was given its password when it was started, and reads no file',
    'Start the server with a password file.',
  ),
  account_kind: said('the server asks for an account’s own password'),
  unchanged: said('the server has that password already'),
  unknown_kind: said('the server was found by a newer agent'),
  folder_missing: said('the folder of its password file is not there'),
  wrong_owner: said(
    'its password file, or a folder on the way to it, belongs to somebody else',
    'Give the file and its folder to the user of the server.',
  ),
  writable_by_others: said(
    'others may write its password file, or a folder on the way to it',
    'Take the right to write away from others.',
  ),
  symlink: said('its password file, or a folder on the way to it, is a link', 'Put the file itself there.'),
  not_a_password_file: said('what lies at the place of its password file is something else'),
  unreadable: said('its password file cannot be read'),
  unstorable: said('its password file cannot hold that password as it is'),
  readonly: said('the file system of its password file is read-only'),
  disk_full: said('no space is left for its password file'),
  write: said('its password file could not be written'),
  read_back: said('its password file did not hold what was written'),
  not_running: said('the server does not run'),
  not_listening: said('nobody answers at the server’s port'),
  closed: said('the server ended the connection'),
  timeout: said('the server did not answer in time'),
  blocked: said(
    'the server lets nobody in for a while, after failed logins',
    'Wait a minute; then try the new password.',
  ),
  busy: said('the server has a viewer and takes no other'),
  open: said('the server lets everybody in without a password'),
  types: said('the server offers no way to log in that is known here'),
  other_process: said('another program answers at the server’s port'),
  other_in_force: said('the server was taking another password than its files say'),
  rejected: said('the server does not take the new password'),
  both_accepted: said('the server takes the old password as well as the new one'),
  file_changed: said('its password file was changed by somebody else'),
  restart_failed: said(
    'the server could not be restarted',
    'Look at the service in the guest; the machine’s own restart starts it anew.',
  ),
};

/** What the word means beside that code, and what it says behind a colon; `null` for a word of a newer agent. */
export function reasonOf(word: string, code: string | null): (Reason & { about: string | null }) | null {
  const [name = '', ...rest] = word.split(':');
  const words = code?.startsWith('VNC_') ? vncTable : table;
  const reason = Object.hasOwn(words, name) ? words[name] : undefined;
  return reason === undefined ? null : { ...reason, about: rest.length === 0 ? null : rest.join(':') };
}

export const reasonWords: readonly string[] = Object.keys(table);
export const vncReasonWords: readonly string[] = Object.keys(vncTable);
