// A Windows machine as far as the agent's programs see it: a process port behind which accounts live and which answers
// with the written exchanges. It knows passwords in clear and must never leave the tests. Whatever is asked of it that
// the real programs are not expected to be asked fails the test.

import { deepEqual, equal, fail } from 'node:assert/strict';
import { accountScripts } from '../../../agent/adapters/windows-accounts.ts';
import type { Ended, Processes, Program } from '../../../agent/ports/process.ts';
import { Secret } from '../../../protocol/secret.ts';
import { netUserExchange, netUserFile, type TerminalExchange } from './exchanges.ts';
import {
  answerOf,
  assertNotSeen,
  assertPlain,
  inputOf,
  playTerminal,
  SYSTEM_ROOT,
  scriptOf,
} from './processes-scripted.ts';

export type FakeWindowsAccount = {
  name: string;
  rid: number;
  password: string | null;
  enabled: boolean;
  lockedOut: boolean;
  /** Ticks; `null` where the password was never set or has to be changed. */
  passwordSet: bigint | null;
  accountEnds: number | null;
  passwordEnds: number | null;
};

const MACHINE_SID = 'S-1-5-21-1004336348-1177238915-682003330';

export class FakeWindows {
  accounts: FakeWindowsAccount[] = [];
  /** DomainRole: 0 is a workstation of its own, 2 a server, 4 and 5 are domain controllers. */
  role = 2;
  /** What `net user` shows, by the name of the exchange. */
  shows = 'success_drawn_by_conpty';
  netExe: 'there' | 'missing' = 'there';
  /** `net user` ends well and changes nothing. */
  swallows = false;
  /** The error of LogonUser, whatever the password. */
  logonError: number | null = null;
  /** Scripts answer this instead of what they should. */
  answers: { output: Buffer; status: number } | 'hang' | null = null;
  bytesTyped = 0;
  flushes = 0;
  readonly calls: string[] = [];
  #ticks = 638_900_000_000_000_000n;
  readonly #secrets: Secret[] = [];

  tick(): bigint {
    this.#ticks += 10_000_000n;
    return this.#ticks;
  }

  readonly processes: Processes = {
    run: async (program, input) => {
      this.#look(program);
      if (program.program.endsWith('net.exe')) return { ...this.#activate(program, input), output: Buffer.alloc(0) };
      const script = scriptOf(program);
      if (this.answers === 'hang') return { ending: 'timeout', status: null, output: Buffer.alloc(0) };
      if (this.answers)
        return { ending: 'exited', status: this.answers.status, output: Buffer.from(this.answers.output) };
      return { ending: 'exited', status: 0, output: this.#answer(script, inputOf(input)) };
    },
    talk: async (program, hear) => {
      this.#look(program);
      equal(program.program, `${SYSTEM_ROOT}\\System32\\net.exe`);
      const [user, name, star, yes, ...rest] = program.args;
      deepEqual([user, star, yes, rest], ['user', '*', '/Y', []]);
      if (this.netExe === 'missing') return { ending: 'missing', status: null };
      return this.#talk(this.#named(name ?? ''), netUserExchange(this.shows), hear);
    },
  };

  #look(program: Program): void {
    assertPlain(program);
    assertNotSeen(program, this.#secrets);
    this.calls.push([program.program.split('\\').at(-1), ...program.args.slice(0, 3)].join(' '));
  }

  #named(name: string): FakeWindowsAccount | undefined {
    return this.accounts.find((account) => account.name.toLowerCase() === name.toLowerCase());
  }

  #talk(
    account: FakeWindowsAccount | undefined,
    exchange: TerminalExchange,
    hear: Parameters<Processes['talk']>[1],
  ): Ended {
    const typed: string[] = [];
    const ended = playTerminal(netUserFile.terminal.opening, exchange, hear, (bytes) => {
      this.bytesTyped += bytes.length;
      const line = Buffer.from(bytes).toString('utf8');
      equal(line.at(-1), '\r', 'not ended by Enter');
      typed.push(line.slice(0, -1));
      this.#secrets.push(Secret.ofText(line.slice(0, -1)));
    });
    const [first, second] = typed;
    const done = ended.status === 0 && typed.length === 2;
    if (!done || account === undefined || this.swallows) return ended;
    equal(first, second, 'two different secrets');
    account.password = first ?? null;
    account.passwordSet = this.tick();
    return ended;
  }

  #activate({ program, args }: Program, input: Uint8Array): Ended {
    equal(program, `${SYSTEM_ROOT}\\System32\\net.exe`);
    const [user, name = '', active, ...rest] = args;
    deepEqual([user, active, rest, input.length], ['user', '/active:yes', [], 0]);
    const account = this.#named(name) ?? fail(`no account ${name}`);
    account.enabled = true;
    account.lockedOut = false;
    return { ending: 'exited', status: 0 };
  }

  #answer(script: string, { request, secret }: ReturnType<typeof inputOf>): Buffer {
    if (script.endsWith(accountScripts.LIST)) {
      deepEqual([request, secret], [{}, null]);
      return answerOf({ role: this.role, accounts: this.role >= 4 ? [] : this.accounts.map(toldOf) });
    }
    if (script.endsWith(accountScripts.FLUSH)) {
      deepEqual([request, secret], [{}, null]);
      this.flushes += 1;
      return answerOf({ flushed: true });
    }
    if (script.endsWith(accountScripts.LOGON)) {
      const { name, ...others } = request as { name: string };
      deepEqual(others, {});
      const password = secret?.toString('utf8') ?? fail('no secret');
      this.#secrets.push(Secret.ofText(password));
      return answerOf({ error: this.logonError ?? logonError(this.#named(name), password) });
    }
    return fail('an unknown script');
  }
}

function toldOf({ name, rid, enabled, lockedOut, passwordSet, accountEnds, passwordEnds }: FakeWindowsAccount) {
  return {
    name,
    sid: `${MACHINE_SID}-${rid}`,
    enabled,
    lockedOut,
    passwordSet: passwordSet === null ? null : String(passwordSet),
    accountEnds,
    passwordEnds,
  };
}

/** Errors of LogonUser by their meaning in winerror.h; learn.microsoft.com, system error codes 1300 to 1999. */
function logonError(account: FakeWindowsAccount | undefined, password: string): number {
  if (account === undefined) return 1326;
  if (account.lockedOut) return 1909;
  if (account.password === null || account.password !== password) return 1326;
  if (!account.enabled) return 1331;
  if (account.accountEnds !== null && account.accountEnds <= 0) return 1793;
  return account.passwordSet === null ? 1907 : 0;
}
