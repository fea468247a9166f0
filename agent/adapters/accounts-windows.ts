// Accounts of a Windows machine's own database: listed through PowerShell, changed by `net user` on a terminal, proven by
// LogonUser. Never edits the database, never falls back to a way around a policy, never touches a domain's accounts.
//
// Not yet proven on a real Windows: what it expects was taken from documentation and from what others saw.

import { createHmac } from 'node:crypto';
import { Failure } from '../../protocol/failure.ts';
import { PASSWD_TIMEOUT_MS } from '../../protocol/limits.ts';
import { accountName } from '../../protocol/schema.ts';
import type { Secret } from '../../protocol/secret.ts';
import type { Account, AccountObstacle, AccountState, Accounts } from '../ports/accounts.ts';
import type { Ended, Processes, Program, TerminalAct } from '../ports/process.ts';
import {
  answered,
  atUnknownWords,
  hearNetUser,
  type NetUserReason,
  netUserReason,
  netUserTalk,
} from './net-user-dialogue.ts';
import { type WindowsAccount, windowsAccounts } from './windows-accounts.ts';
import { systemEnvironment, systemProgram, type WindowsHost } from './windows-host.ts';

/** The administrator that every Windows is born with keeps this number whatever it is called (well-known SIDs). */
const ADMINISTRATOR_RID = 500;
/** Windows has 20 signs for a name; what the protocol carries beyond that is a name of another system. */
const NAME_LENGTH_MAX = 20;
const OUTPUT_BYTES_MAX = 65_536;
/** Nothing tells when the program reads: it gets the secret when its prompt has stood still for so long. */
const PROMPT_SETTLE_MS = 150;
const NOTICE_S = 14 * 86_400;

/** Errors of LogonUser (winerror.h) by which Windows refuses to let somebody in. */
const REFUSALS: readonly number[] = [1326, 1327, 1330, 1331, 1793, 1907, 1909];
/**
 * "The user has not been granted the requested logon type": asked only after the password was found right. Hardened
 * machines keep local accounts from signing in over the network, which is the way in which the question is put.
 */
const LOGON_TYPE_NOT_GRANTED = 1385;

export type AccountsWindowsOptions = Readonly<{
  processes: Processes;
  host: WindowsHost;
  /** The account that the image's configuration names as its administrator. */
  administrator?: string;
  /** Keys the fingerprint; known to SYSTEM only. */
  macKey: Uint8Array;
  passwdTimeoutMs?: number;
}>;

export function accountsWindows(options: AccountsWindowsOptions): Accounts {
  const { processes, host, macKey } = options;
  const windows = windowsAccounts(processes, host);
  const find = async (wanted: Account): Promise<WindowsAccount | undefined> =>
    (await windows.list()).find(({ name, rid }) => sameName(name, wanted.name) && rid === wanted.uid);

  return {
    async resolve(name) {
      const account = findAccount(await windows.list(), name, options.administrator);
      return { name: account.name, uid: account.rid, state: stateOf(account) };
    },

    async fingerprint() {
      return Object.fromEntries((await windows.list()).map((account) => [account.name, hashOf(account, macKey)]));
    },

    async setPassword(account, password) {
      const before = await find(account);
      if (before === undefined || !isCarried(before.name)) throw refused(account, 'no_account');
      const reason = await runNetUser(
        processes,
        netUser(host, [before.name, '*', '/Y'], options.passwdTimeoutMs),
        password,
      );
      const after = await find(account);
      const changed = after?.passwordSet !== before.passwordSet;
      if (reason === 'echoed' && changed) throw new Failure('VERIFY_FAILED', { account: account.name, reason });
      if (!changed) throw refused(account, reason ?? 'unchanged');
      await flush(windows);
      if (!before.enabled || before.lockedOut) await activate(processes, host, before.name);
    },

    async accepts({ name }, password) {
      const error = await windows.logon(name, password);
      if (error === 0 || error === LOGON_TYPE_NOT_GRANTED) return true;
      if (REFUSALS.includes(error)) return false;
      throw new Failure('VERIFY_FAILED', { reason: `logon_${error}` });
    },

    async usable(account) {
      const found = await find(account);
      return found !== undefined && isUsable(found);
    },

    async obstacles(account) {
      const found = await find(account).catch((error: unknown) => {
        if (error instanceof Failure) return undefined;
        throw error;
      });
      return found === undefined ? [] : obstaclesOf(found);
    },

    async clearLockout(account) {
      if ((await find(account))?.lockedOut) await activate(processes, host, account.name);
    },
  };
}

function findAccount(
  accounts: readonly WindowsAccount[],
  name: string | null,
  administrator: string | undefined,
): WindowsAccount {
  const wanted = name ?? administrator;
  const found = accounts.find((account) =>
    wanted === undefined ? account.rid === ADMINISTRATOR_RID : sameName(account.name, wanted),
  );
  if (found === undefined) throw new Failure('ACCOUNT_NOT_FOUND', { account: wanted ?? null });
  // Such a name could neither be told to the operator nor come back in a command.
  if (!isCarried(found.name)) throw new Failure('ACCOUNT_NAME_UNSUPPORTED', { rid: found.rid });
  return found;
}

/** Also: a name that is carried is an argument and no switch. */
function isCarried(name: string): boolean {
  return name.length <= NAME_LENGTH_MAX && accountName.safeParse(name).success;
}

/** Windows knows no difference between capitals and small letters in names. */
function sameName(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

/** Whether an account has a password at all is not told by Windows: there is no `no_password` here. */
function stateOf({ enabled, lockedOut, accountEnds }: WindowsAccount): AccountState {
  if (accountEnds !== null && accountEnds <= 0) return 'expired';
  return enabled && !lockedOut ? 'active' : 'locked';
}

/** A password without a date was never set, or has to be changed at the next sign-in: Windows keeps both alike. */
function isUsable(account: WindowsAccount): boolean {
  const { passwordSet, passwordEnds } = account;
  return stateOf(account) === 'active' && passwordSet !== null && (passwordEnds === null || passwordEnds > 0);
}

function obstaclesOf({ lockedOut, accountEnds, passwordEnds }: WindowsAccount): readonly AccountObstacle[] {
  const soon = [accountEnds, passwordEnds].some((at) => at !== null && at <= NOTICE_S);
  return [...(soon ? (['EXPIRY_AHEAD'] as const) : []), ...(lockedOut ? (['FAILLOCK_ACTIVE'] as const) : [])];
}

/** Lockouts come and go by themselves, and through others' wrong passwords: they are no part of it. */
function hashOf({ name, sid, enabled, passwordSet }: WindowsAccount, macKey: Uint8Array): string {
  return createHmac('sha256', macKey)
    .update(JSON.stringify([name, sid, enabled, passwordSet]))
    .digest('base64url');
}

function netUser(host: WindowsHost, args: readonly string[], timeoutMs = PASSWD_TIMEOUT_MS): Program {
  return {
    program: systemProgram(host, 'net.exe'),
    args: ['user', ...args],
    env: systemEnvironment(host),
    cwd: `${host.systemRoot}\\System32`,
    timeoutMs,
    outputBytesMax: OUTPUT_BYTES_MAX,
  };
}

/** `undefined` where the program says that it did it. */
async function runNetUser(
  processes: Processes,
  program: Program,
  password: Secret,
): Promise<NetUserReason | undefined> {
  const secret = password.revealBytes();
  let talk = netUserTalk;
  let stopped: NetUserReason | undefined;
  const typing = (): TerminalAct => ({
    type: Uint8Array.of(...secret, CARRIAGE_RETURN),
    settleMs: PROMPT_SETTLE_MS,
    typed: () => {
      talk = answered(talk);
    },
  });
  try {
    const ended = await processes.talk(program, (piece): TerminalAct => {
      const { talk: heard, act } = hearNetUser(talk, piece, secret);
      talk = heard;
      if (act === 'wait') return 'wait';
      if (act === 'answer') return typing();
      stopped = act.stop;
      return 'stop';
    });
    if (stopped !== undefined) return stopped;
    // A program that succeeds without having asked twice has done something else.
    if (ended.ending === 'exited' && ended.status === 0 && talk.answered === 2) return undefined;
    return reasonOf(ended, talk.shown, atUnknownWords(talk));
  } finally {
    secret.fill(0);
    talk.shown.fill(0);
  }
}

/** What the Enter key sends. */
const CARRIAGE_RETURN = 0x0d;

function reasonOf({ ending }: Ended, shown: Uint8Array, unknownWords: boolean): NetUserReason {
  if (ending === 'missing') return 'missing';
  if (ending === 'timeout') return unknownWords ? 'unknown' : 'timeout';
  return ending === 'exited' ? netUserReason(shown) : 'unknown';
}

async function flush(windows: ReturnType<typeof windowsAccounts>): Promise<void> {
  try {
    await windows.flush();
  } catch (error) {
    throw error instanceof Failure ? new Failure('VERIFY_FAILED', { reason: 'sync' }, error) : error;
  }
}

/** Enables an account and ends its lockout. Whether it succeeded is told by `usable`, `accepts` and `obstacles`. */
async function activate(processes: Processes, host: WindowsHost, name: string): Promise<void> {
  const program = netUser(host, [name, '/active:yes']);
  const { output } = await processes.run(program, new Uint8Array());
  output.fill(0);
}

function refused(account: Account, reason: NetUserReason): Failure {
  return new Failure('PASSWD_FAILED', { account: account.name, reason });
}
