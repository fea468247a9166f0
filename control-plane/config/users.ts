// Who the processes of the control plane are, where it is started as root: one user for gateway and API, another for the
// signer. They need no accounts; numbers do. It never makes an account, and never keeps a way back to root.

import { readFileSync } from 'node:fs';
import { Failure } from '../../protocol/failure.ts';

export type ProcessUser = Readonly<{ uid: number; gid: number }>;
export type Users = Readonly<{
  web: ProcessUser;
  signer: ProcessUser;
  /** Asked for by an option or an account: what stands in the way is an error then, and a warning otherwise. */
  asked: boolean;
}>;
export type UserFlags = Readonly<{ user?: string; signerUser?: string }>;

const ACCOUNTS = { web: 'latchkey', signer: 'latchkey-signer' } as const;
/** Without options and accounts: of the numbers that systemd's list (UIDs, GIDs) leaves unused. */
const NUMBERS = { web: 60_901, signer: 60_902 } as const;
const ID_MAX = 4_294_967_294;

/** `null` for whoever is not root: all processes are that one user then. Throws `CONFIG_INVALID` naming the option. */
export function readUsers(flags: UserFlags, around: Readonly<{ isRoot: boolean; passwd: string }>): Users | null {
  const { user, signerUser } = flags;
  if (!around.isRoot) {
    if (user !== undefined || signerUser !== undefined)
      throw refusal(user === undefined ? 'signer-user' : 'user', 'only_root');
    return null;
  }
  const accounts = accountsIn(around.passwd);
  const names = new Map(accounts);
  const of = (flag: string | undefined, field: string, role: keyof typeof ACCOUNTS) => {
    if (flag !== undefined) return named(flag, field, names);
    const account = names.get(ACCOUNTS[role]);
    if (account) return account;
    const id = NUMBERS[role];
    // Somebody else's number: their files would be ours, and ours theirs.
    if (accounts.some(([, { uid }]) => uid === id)) throw refusal(field, `uid_${id}_is_taken`);
    return { uid: id, gid: id };
  };
  const [web, signer] = [of(user, 'user', 'web'), of(signerUser, 'signer-user', 'signer')];
  if (web.uid === 0) throw refusal('user', 'root');
  if (signer.uid === 0) throw refusal('signer-user', 'root');
  if (web.uid === signer.uid || web.gid === signer.gid) throw refusal('signer-user', 'same_as_user');
  const asked = [user, signerUser].some((flag) => flag !== undefined) || names.has(ACCOUNTS.signer);
  return { web, signer, asked };
}

export function passwdText(): string {
  return readFileSync('/etc/passwd', 'utf8');
}

/** `NAME` of /etc/passwd, or `UID[:GID]`. */
function named(text: string, field: string, names: ReadonlyMap<string, ProcessUser>): ProcessUser {
  const numbers = /^([0-9]{1,10})(?::([0-9]{1,10}))?$/.exec(text);
  if (!numbers) {
    const account = names.get(text);
    if (!account) throw refusal(field, 'no_such_account');
    return account;
  }
  const [uid, gid] = [Number(numbers[1]), Number(numbers[2] ?? numbers[1])];
  if (uid > ID_MAX || gid > ID_MAX) throw refusal(field, 'NAME or UID[:GID]');
  return { uid, gid };
}

function accountsIn(passwd: string): (readonly [string, ProcessUser])[] {
  return passwd.split('\n').flatMap((line) => {
    const [name = '', , uid = '', gid = ''] = line.split(':');
    if (!/^[0-9]+$/.test(uid) || !/^[0-9]+$/.test(gid)) return [];
    return [[name, { uid: Number(uid), gid: Number(gid) }] as const];
  });
}

/** For good: with the groups, and with no way back. The kernel lets nobody but root trace such a process from then on. */
export function becomeUser({ uid, gid }: ProcessUser): void {
  process.setgroups?.([]);
  process.setgid?.(gid);
  process.setuid?.(uid);
  const is = [process.getuid?.(), process.geteuid?.(), process.getgid?.(), process.getegid?.()];
  if (is.join() !== [uid, uid, gid, gid].join() || canReturn()) throw new Error('this process is not who it should be');
}

function canReturn(): boolean {
  try {
    process.setuid?.(0);
    return true;
  } catch {
    return false;
  }
}

function refusal(field: string, reason: string): Failure {
  return new Failure('CONFIG_INVALID', { field, reason });
}
