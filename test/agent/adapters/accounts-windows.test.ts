// The Windows adapter against written exchanges: the same contract as on Linux, and what only Windows has.

import { describe, expect, it } from 'vitest';
import { accountsWindows } from '../../../agent/adapters/accounts-windows.ts';
import { accountScripts } from '../../../agent/adapters/windows-accounts.ts';
import { allAccountsRules } from '../contracts/account-cases.ts';
import { drawSecret } from '../contracts/contract.ts';
import { MAC_KEY, windowsAccountsSubject } from '../windows/accounts-subject.ts';
import { netUserFile } from '../windows/exchanges.ts';
import { FakeWindows, type FakeWindowsAccount } from '../windows/machine-windows.ts';
import { HOST } from '../windows/processes-scripted.ts';

describe('Windows accounts keep the contract, by written exchanges', () => {
  for (const rule of allAccountsRules.filter(({ of }) => of !== 'linux')) {
    it(rule.title, () => rule.run(windowsAccountsSubject()));
  }
});

function machine(...wishes: Partial<FakeWindowsAccount>[]) {
  const windows = new FakeWindows();
  windows.accounts = wishes.map((wish) => ({
    name: 'Administrator',
    rid: 500,
    password: null,
    enabled: true,
    lockedOut: false,
    passwordSet: windows.tick(),
    accountEnds: null,
    passwordEnds: null,
    ...wish,
  }));
  return { windows, accounts: accountsWindows({ processes: windows.processes, host: HOST, macKey: MAC_KEY }) };
}

const failure = (code: string, reason?: string) =>
  expect.objectContaining({ code, ...(reason ? { details: expect.objectContaining({ reason }) } : {}) });

describe('who is who on Windows', () => {
  it('the administrator is the account with number 500, whatever it is called', async () => {
    const { accounts } = machine({ name: 'guest', rid: 501 }, { name: 'Chief.Of-Staff_1', rid: 500 }, { rid: 1001 });
    expect(await accounts.resolve(null)).toEqual({ name: 'Chief.Of-Staff_1', uid: 500, state: 'active' });
    expect((await accounts.resolve('administrator')).uid).toBe(1001);
  });
  it('names are found in capitals and small letters alike, and told as Windows has them', async () => {
    const { accounts } = machine({});
    expect((await accounts.resolve('ADMINISTRATOR')).name).toBe('Administrator');
  });
  it.each([
    ['two accounts with one number', [{}, { name: 'other' }]],
    ['no account at all', []],
  ])('%s cannot be, and nothing is believed', async (_, wishes) => {
    const { accounts } = machine(...wishes);
    await expect(accounts.resolve(null)).rejects.toEqual(failure('VERIFY_FAILED', 'accounts_unclear'));
    await expect(accounts.fingerprint()).rejects.toEqual(failure('VERIFY_FAILED', 'accounts_unclear'));
  });
  it('a machine without number 500 has no default administrator', async () => {
    const { accounts } = machine({ rid: 1001 });
    await expect(accounts.resolve(null)).rejects.toEqual(failure('ACCOUNT_NOT_FOUND'));
  });
  it.each(['Local Admin', 'Администратор', 'Järjestelmänvalvoja', 'a'.repeat(21), '/delete', 'x"y', 'with;semi'])(
    'a name that is not carried is refused and is no argument: %s',
    async (name) => {
      const { windows, accounts } = machine({ name });
      await expect(accounts.resolve(null)).rejects.toEqual(failure('ACCOUNT_NAME_UNSUPPORTED'));
      await expect(accounts.setPassword({ name, uid: 500, state: 'active' }, drawSecret())).rejects.toEqual(
        failure('PASSWD_FAILED', 'no_account'),
      );
      expect(windows.calls.filter((call) => call.startsWith('net.exe'))).toEqual([]);
    },
  );
  it.each([4, 5])('a domain controller is refused, and nothing is set: role %i', async (role) => {
    const { windows, accounts } = machine({});
    windows.role = role;
    await expect(accounts.resolve(null)).rejects.toEqual(failure('DOMAIN_CONTROLLER'));
    await expect(
      accounts.setPassword({ name: 'Administrator', uid: 500, state: 'active' }, drawSecret()),
    ).rejects.toEqual(failure('DOMAIN_CONTROLLER'));
    expect(windows.bytesTyped).toBe(0);
  });
  it('another account under the same name is not the one that was resolved', async () => {
    const { windows, accounts } = machine({ name: 'ada', rid: 1001 });
    const ada = await accounts.resolve('ada');
    for (const account of windows.accounts) account.rid = 1002;
    await expect(accounts.setPassword(ada, drawSecret())).rejects.toEqual(failure('PASSWD_FAILED', 'no_account'));
    expect(windows.bytesTyped).toBe(0);
  });
});

describe('the talk with net user', () => {
  const reasons: Readonly<Record<string, string>> = {
    policy: 'policy',
    policy_in_japanese_words: 'policy',
    history: 'history',
    too_recent: 'policy',
    no_account: 'no_account',
    denied: 'permission',
    other_authority: 'other_authority',
    long_password_asked_about: 'unknown',
    other_language: 'unknown',
    asks_current: 'unknown',
    asks_again: 'unknown',
    hangs: 'timeout',
    echoes: 'echoed',
    does_nothing: 'unknown',
  };
  it.each(Object.entries(reasons))('%s ends as %s, with nothing changed and nothing flushed', async (shows, reason) => {
    const { windows, accounts } = machine({ name: 'ada', rid: 1001 });
    windows.shows = shows;
    const before = await accounts.fingerprint();
    const ada = await accounts.resolve('ada');
    await expect(accounts.setPassword(ada, drawSecret())).rejects.toEqual(failure('PASSWD_FAILED', reason));
    expect(await accounts.fingerprint()).toEqual(before);
    expect(windows.flushes).toBe(0);
  });
  it('every written exchange is used by a test', () => {
    const used = [...Object.keys(reasons), 'success', 'success_drawn_by_conpty', 'talkative'];
    expect(Object.keys(netUserFile.exchanges).sort()).toEqual(used.sort());
    for (const { source } of Object.values(netUserFile.exchanges)) expect(source.length).toBeGreaterThan(10);
  });
  it.each(['success', 'success_drawn_by_conpty'])('%s sets, flushes and is accepted', async (shows) => {
    const { windows, accounts } = machine({});
    windows.shows = shows;
    const administrator = await accounts.resolve(null);
    const secret = drawSecret();
    await accounts.setPassword(administrator, secret);
    expect(windows.flushes).toBe(1);
    expect(await accounts.accepts(administrator, secret)).toBe(true);
    expect(windows.calls.some((call) => call.startsWith('net.exe user Administrator *'))).toBe(true);
  });
  it('an end without complaint and without a change is a failure', async () => {
    const { windows, accounts } = machine({});
    windows.swallows = true;
    await expect(accounts.setPassword(await accounts.resolve(null), drawSecret())).rejects.toEqual(
      failure('PASSWD_FAILED', 'unchanged'),
    );
  });
});

describe('states of Windows accounts', () => {
  it.each([
    ['disabled', { enabled: false }],
    ['locked out', { lockedOut: true }],
  ])('one that is %s is locked, and comes back with a new password', async (_, wish) => {
    const { windows, accounts } = machine({ ...wish, password: 'anything1' });
    const administrator = await accounts.resolve(null);
    expect(administrator.state).toBe('locked');
    expect(await accounts.usable(administrator)).toBe(false);
    const secret = drawSecret();
    await accounts.setPassword(administrator, secret);
    expect(await accounts.accepts(administrator, secret)).toBe(true);
    expect((await accounts.resolve(null)).state).toBe('active');
    expect(windows.calls.filter((call) => call.includes('/active:yes'))).toHaveLength(1);
  });
  it('a locked account stays so where its password could not be set', async () => {
    const { windows, accounts } = machine({ enabled: false });
    windows.shows = 'policy';
    await expect(accounts.setPassword(await accounts.resolve(null), drawSecret())).rejects.toThrow();
    expect((await accounts.resolve(null)).state).toBe('locked');
  });
  it('a lockout changes no fingerprint: it comes and goes by itself', async () => {
    const { windows, accounts } = machine({});
    const before = await accounts.fingerprint();
    for (const account of windows.accounts) account.lockedOut = true;
    expect(await accounts.fingerprint()).toEqual(before);
  });
});

describe('what LogonUser says', () => {
  it.each<[number, boolean]>([
    [0, true],
    [1385, true],
    ...[1326, 1327, 1330, 1331, 1793, 1907, 1909].map((error): [number, boolean] => [error, false]),
  ])('%i means %s', async (error, accepted) => {
    const { windows, accounts } = machine({});
    windows.logonError = error;
    expect(await accounts.accepts(await accounts.resolve(null), drawSecret())).toBe(accepted);
  });
  it.each([5, 87, 1314, 1722])('%i is no answer', async (error) => {
    const { windows, accounts } = machine({});
    windows.logonError = error;
    const administrator = await accounts.resolve(null);
    await expect(accounts.accepts(administrator, drawSecret())).rejects.toEqual(
      failure('VERIFY_FAILED', `logon_${error}`),
    );
  });
});

describe('what a script says', () => {
  const account = '{"name":"A","sid":"S-1-5-21-1-2-3-500","enabled":true,"lockedOut":false,"passwordSet":null';
  it.each([
    ['nothing', '', 0],
    ['words', 'Get-LocalUser : Access is denied.\n', 0],
    ['no end of line', '{"role":2,"accounts":[]}', 0],
    ['more than two lines', '{"role":2,"accounts":[]}\nAA==\nmore\n', 0],
    ['an unknown member', '{"role":2,"accounts":[],"more":1}\n', 0],
    ['a role beyond those known', '{"role":9,"accounts":[]}\n', 0],
    ['an account with a part missing', `{"role":2,"accounts":[${account}}]}\n`, 0],
    ['an account of a domain', '{"role":2,"accounts":[{"name":"A","sid":"S-1-5-32-544"}]}\n', 0],
    ['an error', '', 1],
  ])('%s is VERIFY_FAILED', async (_, text, status) => {
    const { windows, accounts } = machine({});
    windows.answers = { output: Buffer.from(text), status };
    await expect(accounts.resolve(null)).rejects.toEqual(
      failure('VERIFY_FAILED', status ? 'script_exit_1' : 'script_answer'),
    );
  });
  it('nothing in its time is VERIFY_FAILED', async () => {
    const { windows, accounts } = machine({});
    windows.answers = 'hang';
    await expect(accounts.resolve(null)).rejects.toEqual(failure('VERIFY_FAILED', 'script_timeout'));
    expect(await accounts.obstacles({ name: 'Administrator', uid: 500, state: 'active' })).toEqual([]);
  });
});

it.each(Object.entries(accountScripts))(
  'the script %s has no quotation mark for a command line to trip over',
  (_, script) => {
    expect(script).not.toContain('"');
  },
);
