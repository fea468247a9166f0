// The fakes keep the contracts that the real adapters keep.

import { describe, it } from 'vitest';
import type { AccountObstacle } from '../../../agent/ports/accounts.ts';
import { allAccountsRules } from '../contracts/account-cases.ts';
import type { AccountsSubject, AccountsTrouble } from '../contracts/accounts.ts';
import { drawSecret, type Rule } from '../contracts/contract.ts';
import { type EnvironmentSubject, environmentRules } from '../contracts/environment.ts';
import { type JournalSubject, journalRules } from '../contracts/journal.ts';
import { type PowerSubject, powerRules } from '../contracts/power.ts';
import { type Arrangement, type ServicesSubject, servicesRules } from '../contracts/services.ts';
import { vncRules } from '../contracts/vnc.ts';
import { tigervncTraits, type VncSubject } from '../contracts/vnc-subject.ts';
import { accountsFake } from './accounts-fake.ts';
import { environmentFake } from './environment-fake.ts';
import { openJournalFake } from './journal-fake.ts';
import { FakeMachine, type ProgramTrouble } from './machine-fake.ts';
import { powerFake } from './power-fake.ts';
import { servicesFake } from './services-fake.ts';
import { vncFake } from './vnc-fake.ts';

function holds<S>(port: string, rules: readonly Rule<S>[], subject: () => S): void {
  describe(`the fake ${port} keeps the contract`, () => {
    for (const rule of rules) it(rule.title, () => rule.run(subject()));
  });
}

holds('accounts', allAccountsRules, (): AccountsSubject => {
  const machine = new FakeMachine();
  return {
    async given(accounts) {
      machine.accounts.clear();
      for (const [name, { uid, password, made, shell, endsInDays, passwordDays }] of Object.entries(accounts)) {
        const state = made ?? (password ? 'active' : 'no_password');
        const obstacles: AccountObstacle[] = shell === undefined ? [] : ['ACCOUNT_SHELL_NOLOGIN'];
        if (Math.min(endsInDays ?? 99, passwordDays ?? 99) <= 14) obstacles.push('EXPIRY_AHEAD');
        machine.accounts.set(name, { uid, state, password: password?.reveal() ?? null, changes: 0, obstacles });
      }
    },
    accounts: (options) => accountsFake(machine, options),
    async during(trouble, act) {
      if (trouble === 'lock_held' || trouble === 'read_only' || trouble === 'full') machine.diskTrouble = trouble;
      machine.programTrouble = programTroubles[trouble] ?? null;
      machine.remembersPasswords = trouble === 'history';
      machine.sshObstacles = sshTroubles[trouble] ?? [];
      await act();
      machine.diskTrouble = null;
      machine.programTrouble = null;
      machine.remembersPasswords = false;
      machine.sshObstacles = [];
    },
    bytesGiven: async () => 0,
    async failToSignIn(name) {
      const account = machine.accounts.get(name);
      if (account) account.obstacles = ['FAILLOCK_ACTIVE'];
    },
  };
});

const sshTroubles: Partial<Record<AccountsTrouble, readonly AccountObstacle[]>> = {
  ssh_password_off: ['SSH_PASSWORD_OFF'],
  ssh_root_password_off: ['SSH_ROOT_PASSWORD_OFF'],
  ssh_depends: ['SSH_DEPENDS'],
};

const programTroubles: Partial<Record<AccountsTrouble, ProgramTrouble>> = {
  program_echoes: 'echoes',
  program_hangs: 'hangs',
  program_asks_current: 'asks_current',
  program_missing: 'missing',
  program_refuses: 'refuses',
  program_other_language: 'asks_unknown',
  program_new_question: 'asks_unknown',
  program_denied: 'denied',
  program_not_in_busybox: 'missing',
  strict_policy: 'refuses',
};

holds('VNC', vncRules({ ...tigervncTraits, settings: [...tigervncTraits.settings, 'at_start'] }), (): VncSubject => {
  const machine = new FakeMachine();
  const reasons: Readonly<Record<string, string>> = {
    folder_is_link: 'wrong_owner',
    folder_writable: 'writable_by_others',
    file_is_link: 'symlink',
    file_of_other: 'wrong_owner',
  };
  return {
    async given(setting, trouble) {
      const password = drawSecret();
      const source = password.reveal().slice(0, 8);
      const kind = setting === 'account' ? 'account' : 'vncauth';
      const unsafe = reasons[trouble ?? ''] ?? null;
      const inline = setting === 'inline';
      const unwritable = trouble === 'live_unwritable';
      const gone = trouble === 'source_gone' ? { sourcePath: null } : {};
      if (setting !== 'none')
        machine.addVncServer({
          kind,
          source,
          copies: setting === 'wrapper',
          atStart: setting === 'at_start',
          inline,
          unsafe,
          unwritable,
          ...gone,
        });
      return { vnc: vncFake(machine), password };
    },
    async stop() {
      for (const server of machine.vncServers) server.running = false;
    },
    async restart() {
      machine.reboot();
    },
    contentOf: async () => '',
    factsOf: async () => ({ uid: 1000, mode: 0o600, bytes: 8 }),
  };
});

holds('services', servicesRules, (): ServicesSubject => {
  const processes = new Map<number, string>();
  const services = servicesFake(processes);
  const isService = (arrangement: Arrangement) => ['main', 'through_shell', 'login'].includes(arrangement);
  return {
    services,
    async given(arrangement) {
      const service = `${arrangement}.service`;
      if (isService(arrangement)) processes.set(7, service);
      return { pid: 7, service };
    },
    pidNow: async (arrangement) => [...processes].find(([, name]) => name === `${arrangement}.service`)?.[0] ?? 0,
  };
});

holds('power', powerRules, (): PowerSubject => {
  const machine = new FakeMachine();
  return {
    power(kind) {
      machine.power = kind === 'normal' ? 'reboots' : 'denies';
      return powerFake(machine);
    },
  };
});

holds('environment', environmentRules, (): EnvironmentSubject => {
  const machine = new FakeMachine();
  const facts = {
    initrd: { initrd: true },
    next_root: { nextRoot: true },
    reboot_argument: { bootOverride: true },
    other_marker: { marker: 'other' },
    no_marker: { marker: 'missing' },
  } as const;
  return {
    during(oddity, act) {
      machine.facts = oddity === null ? {} : facts[oddity];
      return act(environmentFake(machine));
    },
  };
});

holds('journal', journalRules, (): JournalSubject => {
  const machine = new FakeMachine();
  return {
    async clear() {
      machine.journal = Buffer.alloc(0);
    },
    open: (mode) => openJournalFake(machine, mode),
    read: async () => Buffer.from(machine.journal),
    async write(content) {
      machine.journal = Buffer.from(content);
    },
    async whileUnsafe(act) {
      machine.journalTrouble = 'unsafe';
      await act();
      machine.journalTrouble = null;
    },
  };
});
