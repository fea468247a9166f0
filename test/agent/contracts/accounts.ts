// The contract of the accounts port.

import { deepEqual, equal, notEqual } from 'node:assert/strict';
import type { Account, Accounts } from '../../../agent/ports/accounts.ts';
import { Secret } from '../../../protocol/secret.ts';
import { drawSecret, type Rule, refuses } from './contract.ts';

export type GivenAccount = Readonly<{
  uid: number;
  /** The password in force; none by default. */
  password?: Secret;
  /** What was done to the account after its password was set. */
  made?: 'locked' | 'expired' | 'must_change';
  /** One that lets people in by default. */
  shell?: string;
  /** When the account itself ends, and how long its passwords hold; never by default. */
  endsInDays?: number;
  passwordDays?: number;
  /** It has no line in the file that holds the passwords. */
  unlisted?: true;
}>;

export type AccountsTrouble =
  | 'lock_held'
  | 'read_only'
  | 'full'
  | 'program_echoes'
  | 'program_hangs'
  | 'program_asks_current'
  | 'program_missing'
  | 'program_refuses'
  | AccountsSetting;

/** How a machine may be set up, for the rules about real machines. */
export type AccountsSetting =
  | 'program_other_language'
  | 'program_new_question'
  | 'program_talkative'
  | 'program_denied'
  | 'program_of_busybox'
  | 'program_not_in_busybox'
  | 'strict_policy'
  | 'warning_policy'
  | 'history'
  | 'directory_account'
  | 'lockout'
  | 'ssh_password_off'
  | 'ssh_root_password_off'
  | 'ssh_depends';

/** Where systems differ in what they call the same thing. */
export type AccountsTraits = Readonly<{
  /** The number of the account that is given as uid 0. */
  administratorUid: number;
  /** What is told of an account that never had a password. */
  withoutPassword: 'no_password' | 'active';
  /** Wrong passwords lock the account itself, so that a new password cannot be proven before it is unlocked. */
  lockoutIsState: boolean;
}>;

export const linuxTraits: AccountsTraits = {
  administratorUid: 0,
  withoutPassword: 'no_password',
  lockoutIsState: false,
};

export type AccountsSubject = Readonly<{
  /** Those of Linux, where it does not say otherwise. */
  traits?: AccountsTraits;
  /** Makes these all the accounts there are. */
  given(accounts: Readonly<Record<string, GivenAccount>>): Promise<void>;
  accounts(options?: { administrator?: string }): Accounts;
  /** Runs while something is wrong with the system. */
  during(trouble: AccountsTrouble, act: () => Promise<void>): Promise<void>;
  /** How many bytes a false password program was given. */
  bytesGiven(): Promise<number>;
  /** As many wrong passwords as the lockout takes. */
  failToSignIn(name: string): Promise<void>;
}>;

export const ROOT = { root: { uid: 0 } };

/** Sets while in trouble: it must fail with this code, and no entry may differ afterwards. */
export function changesNothing(trouble: AccountsTrouble, ...[code, reason]: [Parameters<typeof refuses>[1], string?]) {
  return async (subject: AccountsSubject): Promise<void> => {
    await subject.given(ROOT);
    const accounts = subject.accounts();
    const root = await accounts.resolve(null);
    const before = await accounts.fingerprint();
    await subject.during(trouble, () => refuses(accounts.setPassword(root, drawSecret()), code, reason));
    deepEqual(await accounts.fingerprint(), before);
  };
}

export function changedNames(
  before: Readonly<Record<string, string>>,
  after: Readonly<Record<string, string>>,
): string[] {
  return Object.keys({ ...before, ...after }).filter((name) => before[name] !== after[name]);
}

export async function setAndProve(accounts: Accounts, account: Account, password: Secret): Promise<void> {
  await accounts.setPassword(account, password);
  equal(await accounts.accepts(account, password), true);
}

export const accountsRules: readonly Rule<AccountsSubject>[] = [
  {
    title: 'the default administrator is the one account with uid 0',
    async run(subject) {
      await subject.given({ ada: { uid: 1000 }, ...ROOT });
      const { administratorUid: uid, withoutPassword: state } = subject.traits ?? linuxTraits;
      deepEqual(await subject.accounts().resolve(null), { name: 'root', uid, state });
    },
  },
  {
    title: 'the account that the configuration names comes before uid 0',
    async run(subject) {
      await subject.given({ ...ROOT, ada: { uid: 1000 } });
      equal((await subject.accounts({ administrator: 'ada' }).resolve(null)).name, 'ada');
    },
  },
  {
    title: 'two accounts with uid 0 are ambiguous, by default and by name',
    of: 'linux',
    async run(subject) {
      await subject.given({ ...ROOT, toor: { uid: 0 } });
      await refuses(subject.accounts().resolve(null), 'ACCOUNT_AMBIGUOUS');
      await refuses(subject.accounts().resolve('root'), 'ACCOUNT_AMBIGUOUS');
      await refuses(subject.accounts().resolve('toor'), 'ACCOUNT_AMBIGUOUS');
    },
  },
  {
    title: 'the configuration settles which of two accounts with one uid is meant',
    of: 'linux',
    async run(subject) {
      await subject.given({ ...ROOT, toor: { uid: 0 } });
      const accounts = subject.accounts({ administrator: 'root' });
      equal((await accounts.resolve(null)).name, 'root');
      equal((await accounts.resolve('root')).name, 'root');
      await refuses(accounts.resolve('toor'), 'ACCOUNT_AMBIGUOUS');
    },
  },
  {
    title: 'an account that is not there is not found',
    async run(subject) {
      await subject.given(ROOT);
      await refuses(subject.accounts().resolve('ada'), 'ACCOUNT_NOT_FOUND');
      await refuses(subject.accounts({ administrator: 'ada' }).resolve(null), 'ACCOUNT_NOT_FOUND');
    },
  },
  {
    title: 'states: active, no password, locked, expired',
    async run(subject) {
      const password = drawSecret();
      await subject.given({
        ...ROOT,
        ada: { uid: 1000, password },
        bob: { uid: 1001, password, made: 'locked' },
        eve: { uid: 1002, password, made: 'expired' },
        kim: { uid: 1003, password, made: 'must_change' },
      });
      const states = ['root', 'ada', 'bob', 'eve', 'kim'].map((name) => subject.accounts().resolve(name));
      const found = (await Promise.all(states)).map(({ state }) => state);
      const { withoutPassword } = subject.traits ?? linuxTraits;
      deepEqual(found, [withoutPassword, 'active', 'locked', 'expired', 'active']);
    },
  },
  {
    title: 'a root without a password gets one that is accepted',
    async run(subject) {
      await subject.given(ROOT);
      const accounts = subject.accounts();
      const root = await accounts.resolve(null);
      await setAndProve(accounts, root, drawSecret());
      equal((await accounts.resolve(null)).state, 'active');
      equal(await accounts.usable(root), true);
    },
  },
  {
    title: 'after a change the old password is refused',
    async run(subject) {
      const [old, fresh] = [drawSecret(), drawSecret()];
      await subject.given({ ...ROOT, ada: { uid: 1000, password: old } });
      const accounts = subject.accounts();
      const ada = await accounts.resolve('ada');
      equal(await accounts.accepts(ada, old), true);
      await setAndProve(accounts, ada, fresh);
      equal(await accounts.accepts(ada, old), false);
    },
  },
  {
    title: 'one changed password is one changed entry',
    async run(subject) {
      await subject.given({ ...ROOT, ada: { uid: 1000, password: drawSecret() }, bob: { uid: 1001 } });
      const accounts = subject.accounts();
      const before = await accounts.fingerprint();
      await accounts.setPassword(await accounts.resolve('ada'), drawSecret());
      deepEqual(changedNames(before, await accounts.fingerprint()), ['ada']);
    },
  },
  {
    title: 'the same password again is a changed entry, too',
    async run(subject) {
      const password = drawSecret();
      await subject.given({ ...ROOT, ada: { uid: 1000, password } });
      const accounts = subject.accounts();
      const before = await accounts.fingerprint();
      await setAndProve(accounts, await accounts.resolve('ada'), password);
      notEqual(before.ada, (await accounts.fingerprint()).ada);
    },
  },
  {
    title: 'a password may hold a colon, quotes and what a shell would take for its own',
    async run(subject) {
      await subject.given(ROOT);
      const accounts = subject.accounts();
      const root = await accounts.resolve(null);
      for (const extra of [':;$(id)', '`|&><*?', '"\'\\!#~', '-{}[]%'])
        await setAndProve(accounts, root, drawSecret(extra));
    },
  },
  {
    title: 'a password that only begins like the right one is refused',
    async run(subject) {
      const password = drawSecret();
      await subject.given({ ...ROOT, ada: { uid: 1000, password } });
      const accounts = subject.accounts();
      const ada = await accounts.resolve('ada');
      const shorter = password.reveal().slice(0, -1);
      equal(await accounts.accepts(ada, Secret.ofText(shorter)), false);
      equal(await accounts.accepts(ada, Secret.ofText(`${password.reveal()}x`)), false);
    },
  },
  {
    title: 'an account without a password accepts none',
    async run(subject) {
      await subject.given(ROOT);
      const accounts = subject.accounts();
      equal(await accounts.accepts(await accounts.resolve(null), drawSecret()), false);
    },
  },
  {
    title: 'a locked account accepts its password only after a new one was set',
    async run(subject) {
      const [old, fresh] = [drawSecret(), drawSecret()];
      await subject.given({ ...ROOT, ada: { uid: 1000, password: old, made: 'locked' } });
      const accounts = subject.accounts();
      const ada = await accounts.resolve('ada');
      equal(await accounts.accepts(ada, old), false);
      await setAndProve(accounts, ada, fresh);
      equal((await accounts.resolve('ada')).state, 'active');
    },
  },
  {
    title: 'an expired account is not usable, whatever its new password',
    async run(subject) {
      await subject.given({ ...ROOT, ada: { uid: 1000, password: drawSecret(), made: 'expired' } });
      const accounts = subject.accounts();
      const ada = await accounts.resolve('ada');
      await accounts.setPassword(ada, drawSecret());
      equal(await accounts.usable(ada), false);
      equal((await accounts.resolve('ada')).state, 'expired');
    },
  },
  {
    title: 'an account that must change its password is usable again after a new one',
    async run(subject) {
      await subject.given({ ...ROOT, ada: { uid: 1000, password: drawSecret(), made: 'must_change' } });
      const accounts = subject.accounts();
      const ada = await accounts.resolve('ada');
      equal(await accounts.usable(ada), false);
      await accounts.setPassword(ada, drawSecret());
      equal(await accounts.usable(ada), true);
    },
  },
  {
    title: 'an account that went away meanwhile changes nobody else',
    async run(subject) {
      await subject.given({ ...ROOT, ada: { uid: 1000 } });
      const accounts = subject.accounts();
      const ada = await accounts.resolve('ada');
      await subject.given(ROOT);
      const before = await accounts.fingerprint();
      await refuses(accounts.setPassword(ada, drawSecret()), 'PASSWD_FAILED', 'no_account');
      deepEqual(await accounts.fingerprint(), before);
    },
  },
  {
    title: 'a held account database is SHADOW_LOCKED',
    of: 'linux',
    run: changesNothing('lock_held', 'SHADOW_LOCKED', 'lock'),
  },
  {
    title: 'a read-only file system is FS_READONLY',
    of: 'linux',
    run: changesNothing('read_only', 'FS_READONLY', 'readonly'),
  },
  { title: 'a full disk is told', of: 'linux', run: changesNothing('full', 'PASSWD_FAILED', 'full') },
  {
    title: 'a password program that shows the secret has failed',
    run: changesNothing('program_echoes', 'PASSWD_FAILED', 'echoed'),
  },
  {
    title: 'a password program that asks for the current password is given nothing',
    of: 'linux',
    async run(subject) {
      await changesNothing('program_asks_current', 'PASSWD_FAILED', 'asks_current')(subject);
      equal(await subject.bytesGiven(), 0);
    },
  },
  {
    title: 'a password program that hangs is ended, and was given nothing',
    async run(subject) {
      await changesNothing('program_hangs', 'PASSWD_FAILED', 'timeout')(subject);
      equal(await subject.bytesGiven(), 0);
    },
  },
  { title: 'a missing password program is told', run: changesNothing('program_missing', 'PASSWD_FAILED', 'missing') },
  { title: 'a policy’s refusal is told', run: changesNothing('program_refuses', 'PASSWD_FAILED', 'policy') },
];
