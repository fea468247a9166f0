// Windows accounts as the rules of the port want them, on a machine of written exchanges.

import { accountsWindows } from '../../../agent/adapters/accounts-windows.ts';
import type { AccountsSubject, AccountsTrouble, GivenAccount } from '../contracts/accounts.ts';
import { FakeWindows, type FakeWindowsAccount } from './machine-windows.ts';
import { HOST } from './processes-scripted.ts';

const DAY_S = 86_400;
export const MAC_KEY = new Uint8Array(32).fill(7);

export function windowsAccountsSubject(): AccountsSubject {
  const windows = new FakeWindows();
  return {
    traits: { administratorUid: 500, withoutPassword: 'active', lockoutIsState: true },
    async given(accounts) {
      windows.accounts = Object.entries(accounts).map(([name, given]) => accountOf(windows, name, given));
    },
    accounts: (options) => accountsWindows({ processes: windows.processes, host: HOST, macKey: MAC_KEY, ...options }),
    async during(trouble, act) {
      const before = windows.shows;
      windows.shows = shown[trouble] ?? before;
      windows.netExe = trouble === 'program_missing' ? 'missing' : 'there';
      await act();
      windows.shows = before;
      windows.netExe = 'there';
    },
    bytesGiven: async () => windows.bytesTyped,
    async failToSignIn(name) {
      for (const account of windows.accounts) if (account.name === name) account.lockedOut = true;
    },
  };
}

const shown: Partial<Record<AccountsTrouble, string>> = {
  program_echoes: 'echoes',
  program_hangs: 'hangs',
  program_refuses: 'policy',
  strict_policy: 'policy',
  program_other_language: 'other_language',
  program_new_question: 'asks_current',
  program_talkative: 'talkative',
  program_denied: 'denied',
};

function accountOf(windows: FakeWindows, name: string, given: GivenAccount): FakeWindowsAccount {
  const { uid, password, made, endsInDays, passwordDays } = given;
  return {
    name,
    // The administrator of Windows is what uid 0 is elsewhere.
    rid: uid === 0 ? 500 : uid,
    password: password?.reveal() ?? null,
    enabled: made !== 'locked',
    lockedOut: false,
    passwordSet: password && made !== 'must_change' ? windows.tick() : null,
    accountEnds: made === 'expired' ? -DAY_S : endsInDays === undefined ? null : endsInDays * DAY_S,
    passwordEnds: passwordDays === undefined ? null : passwordDays * DAY_S,
  };
}
