// The contract of the accounts port, second part: accounts as real machines have them, the system's own policies, password
// programs that say something else, and what keeps an owner out although the password is right.

import { deepEqual, equal } from 'node:assert/strict';
import type { AccountObstacle } from '../../../agent/ports/accounts.ts';
import {
  type AccountsSubject,
  accountsRules,
  changedNames,
  changesNothing,
  linuxTraits,
  ROOT,
  setAndProve,
} from './accounts.ts';
import { drawSecret, type Rule, refuses } from './contract.ts';

const DAEMON = { uid: 1, shell: '/usr/sbin/nologin' } as const;

/** What is told of an account while something holds on the machine. */
function tells(name: string, trouble: Parameters<AccountsSubject['during']>[0], expected: readonly AccountObstacle[]) {
  return async (subject: AccountsSubject): Promise<void> => {
    await subject.given({ ...ROOT, ada: { uid: 1000 } });
    const accounts = subject.accounts();
    const account = await accounts.resolve(name);
    await subject.during(trouble, async () => deepEqual(await accounts.obstacles(account), expected));
    deepEqual(await accounts.obstacles(account), []);
  };
}

const accountCases: readonly Rule<AccountsSubject>[] = [
  {
    title: 'uid 0 under another name is the default administrator, and gets a password',
    async run(subject) {
      await subject.given({ chief: { uid: 0 }, ada: { uid: 1000 } });
      const accounts = subject.accounts();
      const chief = await accounts.resolve(null);
      equal(chief.name, 'chief');
      await setAndProve(accounts, chief, drawSecret());
      await refuses(accounts.resolve('root'), 'ACCOUNT_NOT_FOUND');
    },
  },
  {
    title: 'an account of the system without a shell gets a password where it is named, and its shell is told',
    of: 'linux',
    async run(subject) {
      await subject.given({ ...ROOT, daemon: DAEMON });
      const accounts = subject.accounts();
      const daemon = await accounts.resolve('daemon');
      await setAndProve(accounts, daemon, drawSecret());
      deepEqual(await accounts.obstacles(daemon), ['ACCOUNT_SHELL_NOLOGIN']);
    },
  },
  {
    title: 'an account that only a directory knows is not found',
    async run(subject) {
      await subject.given(ROOT);
      await subject.during('directory_account', () => refuses(subject.accounts().resolve('dora'), 'ACCOUNT_NOT_FOUND'));
    },
  },
  {
    title: 'an account without a line among the passwords gets one, and nobody else’s changes',
    of: 'linux',
    async run(subject) {
      await subject.given({ ...ROOT, ada: { uid: 1000, unlisted: true }, bob: { uid: 1001, password: drawSecret() } });
      const accounts = subject.accounts();
      const ada = await accounts.resolve('ada');
      equal(ada.state, 'no_password');
      const { bob } = await accounts.fingerprint();
      await setAndProve(accounts, ada, drawSecret());
      equal((await accounts.fingerprint())['bob'], bob);
      equal(await accounts.usable(ada), true);
    },
  },
  {
    title: 'a policy enforced for root refuses, and nothing is changed',
    run: changesNothing('strict_policy', 'PASSWD_FAILED', 'policy'),
  },
  {
    title: 'a policy that only warns root does not stop it',
    of: 'linux',
    async run(subject) {
      await subject.given(ROOT);
      const accounts = subject.accounts();
      const root = await accounts.resolve(null);
      await subject.during('warning_policy', () => setAndProve(accounts, root, drawSecret()));
    },
  },
  {
    title: 'a password that was used before is refused where the system remembers',
    of: 'linux',
    async run(subject) {
      await subject.given({ ...ROOT, ada: { uid: 1000 } });
      const accounts = subject.accounts();
      const ada = await accounts.resolve('ada');
      const [first, second] = [drawSecret(), drawSecret()];
      await subject.during('history', async () => {
        await setAndProve(accounts, ada, first);
        await setAndProve(accounts, ada, second);
        await refuses(accounts.setPassword(ada, first), 'PASSWD_FAILED', 'history');
      });
      equal(await accounts.accepts(ada, second), true);
    },
  },
  {
    title: 'a prompt in another language is given nothing',
    async run(subject) {
      await changesNothing('program_other_language', 'PASSWD_FAILED', 'unknown')(subject);
      equal(await subject.bytesGiven(), 0);
    },
  },
  {
    title: 'a question that no password program asks is given nothing',
    async run(subject) {
      await changesNothing('program_new_question', 'PASSWD_FAILED', 'unknown')(subject);
      equal(await subject.bytesGiven(), 0);
    },
  },
  {
    title: 'new words before the known prompts change nothing',
    async run(subject) {
      await subject.given(ROOT);
      const accounts = subject.accounts();
      const root = await accounts.resolve(null);
      await subject.during('program_talkative', () => setAndProve(accounts, root, drawSecret()));
    },
  },
  {
    title: 'a password program that the system forbids is told',
    run: changesNothing('program_denied', 'PASSWD_FAILED', 'permission'),
  },
  {
    title: 'busybox’s own password program is understood',
    of: 'linux',
    async run(subject) {
      await subject.given({ ...ROOT, ada: { uid: 1000, password: drawSecret() } });
      const accounts = subject.accounts();
      const before = await accounts.fingerprint();
      const ada = await accounts.resolve('ada');
      await subject.during('program_of_busybox', () => setAndProve(accounts, ada, drawSecret()));
      deepEqual(changedNames(before, await accounts.fingerprint()), ['ada']);
      equal(await accounts.usable(ada), true);
    },
  },
  {
    title: 'a busybox without the password program counts as a missing one',
    of: 'linux',
    run: changesNothing('program_not_in_busybox', 'PASSWD_FAILED', 'missing'),
  },
  {
    title: 'a shell that is not there lets nobody in',
    of: 'linux',
    async run(subject) {
      await subject.given({ ...ROOT, ada: { uid: 1000, shell: '/opt/gone/zsh' } });
      const accounts = subject.accounts();
      deepEqual(await accounts.obstacles(await accounts.resolve('ada')), ['ACCOUNT_SHELL_NOLOGIN']);
    },
  },
  {
    title: 'an end within two weeks is told: the account’s own, and the new password’s',
    async run(subject) {
      await subject.given({
        ...ROOT,
        ada: { uid: 1000, endsInDays: 10 },
        bob: { uid: 1001, endsInDays: 100 },
        eve: { uid: 1002, passwordDays: 7 },
        kim: { uid: 1003, passwordDays: 90 },
      });
      const accounts = subject.accounts();
      const told = ['ada', 'bob', 'eve', 'kim'].map(async (name) => accounts.obstacles(await accounts.resolve(name)));
      deepEqual(await Promise.all(told), [['EXPIRY_AHEAD'], [], ['EXPIRY_AHEAD'], []]);
    },
  },
  {
    title: 'too many wrong passwords are told, forgotten on demand, and nobody else’s with them',
    async run(subject) {
      await subject.given({
        ...ROOT,
        ada: { uid: 1000, password: drawSecret() },
        bob: { uid: 1001, password: drawSecret() },
      });
      const accounts = subject.accounts();
      const [ada, bob] = [await accounts.resolve('ada'), await accounts.resolve('bob')];
      await subject.during('lockout', async () => {
        deepEqual(await accounts.obstacles(ada), []);
        await subject.failToSignIn('ada');
        await subject.failToSignIn('bob');
        deepEqual(await accounts.obstacles(ada), ['FAILLOCK_ACTIVE']);
        await accounts.setPassword(ada, drawSecret());
        const { lockoutIsState } = subject.traits ?? linuxTraits;
        deepEqual(await accounts.obstacles(ada), lockoutIsState ? [] : ['FAILLOCK_ACTIVE']);
        await subject.failToSignIn('ada');
        deepEqual(await accounts.obstacles(ada), ['FAILLOCK_ACTIVE']);
        const before = await accounts.fingerprint();
        await accounts.clearLockout(ada);
        deepEqual(await accounts.obstacles(ada), []);
        deepEqual(await accounts.obstacles(bob), ['FAILLOCK_ACTIVE']);
        deepEqual(await accounts.fingerprint(), before);
      });
    },
  },
  {
    title: 'with no wrong passwords there is nothing to forget, and no harm in it',
    async run(subject) {
      await subject.given({ ...ROOT, ada: { uid: 1000 } });
      const accounts = subject.accounts();
      const ada = await accounts.resolve('ada');
      await accounts.clearLockout(ada);
      await subject.during('lockout', () => accounts.clearLockout(ada));
    },
  },
  {
    title: 'an SSH server that takes no passwords is told',
    of: 'linux',
    run: tells('ada', 'ssh_password_off', ['SSH_PASSWORD_OFF']),
  },
  {
    title: 'an SSH server that takes none from root is told of root',
    of: 'linux',
    run: tells('root', 'ssh_root_password_off', ['SSH_ROOT_PASSWORD_OFF']),
  },
  {
    title: 'an SSH server that takes none from root is no obstacle to others',
    of: 'linux',
    run: tells('ada', 'ssh_root_password_off', []),
  },
  {
    title: 'an SSH server whose answer depends on who connects is told as that',
    of: 'linux',
    run: tells('ada', 'ssh_depends', ['SSH_DEPENDS']),
  },
];

export const allAccountsRules: readonly Rule<AccountsSubject>[] = [...accountsRules, ...accountCases];
