// Accounts of a fake machine, by the contract of the port. It knows passwords in clear and must never leave the tests.

import type { Account, Accounts } from '../../../agent/ports/accounts.ts';
import { Failure } from '../../../protocol/failure.ts';
import { type FakeAccount, type FakeMachine, hashOf } from './machine-fake.ts';

export function accountsFake(machine: FakeMachine, options: { administrator?: string } = {}): Accounts {
  const { faults } = machine;
  const call = <T>(name: string, act: () => T): Promise<T> => faults.around(`accounts.${name}`, act);
  const entry = (account: Account): FakeAccount => {
    const found = machine.accounts.get(account.name);
    if (found === undefined) throw new Failure('ACCOUNT_NOT_FOUND', { account: account.name });
    return found;
  };
  return {
    resolve: (name) => call('resolve', () => resolve(machine, name, options.administrator)),
    fingerprint: () =>
      call('fingerprint', () =>
        Object.fromEntries(
          [...machine.accounts].map(([name, { uid, password, state, changes }]) => [
            name,
            hashOf(name, uid, password, state, changes),
          ]),
        ),
      ),
    setPassword: (account, password) =>
      call('setPassword', () => {
        refuseInTrouble(machine, account.name);
        const found = machine.accounts.get(account.name);
        if (found === undefined) throw new Failure('PASSWD_FAILED', { account: account.name, reason: 'no_account' });
        refuseKnown(machine, account.name, found, password.reveal());
        found.password = password.reveal();
        // An account's own end is not the password program's business.
        if (found.state !== 'expired') found.state = 'active';
        found.changes += 1;
      }),
    accepts: (account, password) =>
      call('accepts', () => {
        const { state, password: stored } = entry(account);
        return stored !== null && state !== 'locked' && stored === password.reveal();
      }),
    usable: (account) => call('usable', () => !['expired', 'must_change'].includes(entry(account).state)),
    obstacles: (account) =>
      call('obstacles', () => {
        const { uid, obstacles = [] } = machine.accounts.get(account.name) ?? {};
        const ssh = machine.sshObstacles.filter((code) => code !== 'SSH_ROOT_PASSWORD_OFF' || uid === 0);
        return [...obstacles, ...ssh];
      }),
    clearLockout: (account) =>
      call('clearLockout', () => {
        const found = entry(account);
        found.obstacles = (found.obstacles ?? []).filter((code) => code !== 'FAILLOCK_ACTIVE');
      }),
  };
}

function resolve(machine: FakeMachine, name: string | null, administrator: string | undefined): Account {
  const wanted = name ?? administrator;
  const all = [...machine.accounts];
  const [first] = all.filter(([found, { uid }]) => (wanted === undefined ? uid === 0 : found === wanted));
  if (first === undefined) throw new Failure('ACCOUNT_NOT_FOUND', { account: wanted ?? null });
  const [found, { uid, state }] = first;
  const settled = wanted !== undefined && wanted === administrator;
  if (!settled && all.filter(([, other]) => other.uid === uid).length > 1) {
    throw new Failure('ACCOUNT_AMBIGUOUS', { account: wanted ?? null, uid });
  }
  return { name: found, uid, state: state === 'must_change' ? 'active' : state };
}

function refuseInTrouble({ diskTrouble, programTrouble }: FakeMachine, account: string): void {
  if (diskTrouble === 'lock_held') throw new Failure('SHADOW_LOCKED', { account, reason: 'lock' });
  if (diskTrouble === 'read_only') throw new Failure('FS_READONLY', { reason: 'readonly' });
  if (diskTrouble === 'full') throw new Failure('PASSWD_FAILED', { account, reason: 'full' });
  const reasons = {
    echoes: 'echoed',
    hangs: 'timeout',
    asks_current: 'asks_current',
    missing: 'missing',
    no_terminal: 'no_terminal',
    refuses: 'policy',
    asks_unknown: 'unknown',
    denied: 'permission',
  };
  if (programTrouble !== null) throw new Failure('PASSWD_FAILED', { account, reason: reasons[programTrouble] });
}

function refuseKnown({ remembersPasswords }: FakeMachine, account: string, found: FakeAccount, password: string): void {
  if (!remembersPasswords) return;
  if (found.had?.includes(password)) throw new Failure('PASSWD_FAILED', { account, reason: 'history' });
  found.had = [...(found.had ?? []), password];
}
