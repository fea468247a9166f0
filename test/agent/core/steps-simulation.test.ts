// The steps as a whole: an abstract machine follows them under crashes at any point, power losses, swallowed reboots and
// failing effects. Whatever happens, an operation ends once, and its states are a path of the lifecycle.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { apply, type Entry, isEnded, type Operation, type Work } from '../../../agent/core/ledger.ts';
import { endOfInspection, endOfProof, nextStep, type Step } from '../../../agent/core/steps.ts';
import type { Code } from '../../../protocol/codes.ts';
import { type AgentState, mayFollow } from '../../../protocol/lifecycle.ts';
import { REBOOT_REQUESTS_MAX } from '../../../protocol/limits.ts';
import { OP } from '../../protocol/samples.ts';
import { accepted, operationOf, stated, vncServer } from './operations.ts';

class Died extends Error {}

/** Chance, drawn by fast-check: a list of numbers that is used up, after which nothing goes wrong any more. */
class Chance {
  readonly #draws: number[];
  constructor(draws: readonly number[]) {
    this.#draws = [...draws];
  }
  /** True in one of `n` draws. */
  strikes(n: number): boolean {
    return (this.#draws.shift() ?? 1) % n === 0;
  }
}

/** A machine on which setting a secret is a counter, and a boot a number. */
class AbstractMachine {
  operation: Operation;
  readonly states: AgentState[] = ['ACCEPTED'];
  boot = 1;
  accountChanges = 0;
  vncChanges = 0;
  reboots = 0;
  readonly #chance: Chance;

  constructor(work: Partial<Work>, chance: Chance) {
    this.operation = operationOf(accepted(work));
    this.#chance = chance;
  }

  /** A process: `holdsSecrets` for the one that accepted the command. Ends by itself or dies. */
  run(holdsSecrets: boolean): void {
    let rebootSwallowed = false;
    for (let turn = 0; turn < 50; turn += 1) {
      const boot = String(this.boot);
      const cancelled = this.#chance.strikes(11);
      const step = nextStep(this.operation, { boot, holdsSecrets, cancelled, rebootSwallowed });
      if (step.do === 'nothing') return;
      rebootSwallowed = step.do === 'await_reboot';
      this.#take(step, holdsSecrets);
    }
    throw new Error('the process never comes to an end');
  }

  #take(step: Step, holdsSecrets: boolean): void {
    const fails = this.#chance.strikes(7);
    switch (step.do) {
      case 'wait':
        this.#state('WAITING');
        return;
      case 'generate':
        this.#state('SECRET_READY');
        return;
      case 'set_account':
      case 'set_vnc': {
        expect(holdsSecrets).toBe(true);
        const account = step.do === 'set_account';
        const begin = account ? { effect: 'account', before: {} } : { effect: 'vnc', before: [] };
        this.#append({ kind: 'begin', op: OP, ...begin } as Entry);
        if (fails) {
          this.#state(account || !this.operation.work?.account ? 'FAILED' : 'PARTIAL', 'VERIFY_FAILED');
          return;
        }
        if (account) this.accountChanges += 1;
        else this.vncChanges += 1;
        this.#mayDie();
        this.#state(account ? 'PASSWORD_SET' : 'VNC_SET');
        return;
      }
      case 'inspect': {
        const changed = step.effect === 'account' ? this.accountChanges > 0 : this.vncChanges > 0;
        this.#end(endOfInspection(step.effect, changed, this.operation.work?.account != null));
        return;
      }
      case 'reboot':
        expect(step.attempt).toBeLessThanOrEqual(REBOOT_REQUESTS_MAX);
        this.#state('REBOOTING');
        if (fails) return;
        this.reboots += 1;
        this.boot += 1;
        throw new Died();
      case 'prove_boot':
        if (fails) this.#state('PARTIAL', 'BOOT_ENV_CHANGED');
        else this.#state('BOOTED');
        return;
      case 'prove_secrets': {
        const { work } = this.operation;
        this.#end(
          endOfProof(this.operation, { account: work?.account ? !fails : null, vnc: work?.vnc ? true : 'absent' }),
        );
        return;
      }
      case 'end':
        this.#end(step);
        return;
      default:
        return;
    }
  }

  #end(step: Step): void {
    if (step.do !== 'end') throw new Error('no end');
    this.#state(step.state, step.code);
  }

  #state(state: AgentState, code: Code | null = null): void {
    this.#append(stated(state, this.states.length + 1, { boot: String(this.boot), code }));
    this.states.push(state);
    this.#mayDie();
  }

  #append(entry: Entry): void {
    this.#mayDie();
    const after = apply(this.operation, entry);
    if (!after) throw new Error('the entry was lost');
    this.operation = after;
    if (entry.kind === 'begin') this.#mayDie();
  }

  #mayDie(): void {
    if (!this.#chance.strikes(5)) return;
    if (this.#chance.strikes(3)) this.boot += 1;
    throw new Died();
  }
}

function follow(machine: AbstractMachine): void {
  for (let process = 0; !isEnded(machine.operation); process += 1) {
    if (process > 60) throw new Error('the operation never comes to an end');
    try {
      machine.run(process === 0);
    } catch (error) {
      if (!(error instanceof Died)) throw error;
    }
  }
}

const works = fc.record({
  graceS: fc.constantFrom(0, 60),
  account: fc.constantFrom('typed', 'generated', null),
  vnc: fc.constantFrom('typed', 'generated', 'absent', null),
});

test('an operation ends exactly once, by the lifecycle, with each secret changed at most once', () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(works, fc.array(fc.nat(1_000), { maxLength: 60, size: 'max' }), ({ graceS, account, vnc }, draws) => {
      fc.pre(account !== null || (vnc !== null && vnc !== 'absent'));
      const machine = new AbstractMachine(
        {
          graceS,
          account: account && { name: 'root', uid: 0, unlock: false, secret: account },
          vnc: vnc && { server: vnc === 'absent' ? null : vncServer, secret: vnc === 'absent' ? 'typed' : vnc },
        },
        new Chance(draws),
      );
      follow(machine);
      const { states, operation } = machine;
      for (const [i, state] of states.entries()) {
        if (i > 0)
          expect([states[i - 1], state, mayFollow(states[i - 1] ?? 'DONE', state)]).toEqual([
            states[i - 1],
            state,
            true,
          ]);
      }
      const endings = states.filter((state) => isEnded({ ...operation, state }));
      expect(endings).toEqual([states.at(-1)]);
      expect(machine.accountChanges).toBeLessThanOrEqual(1);
      expect(machine.vncChanges).toBeLessThanOrEqual(1);
      expect(operation.reboots).toBeLessThanOrEqual(REBOOT_REQUESTS_MAX);
      const changed = machine.accountChanges + machine.vncChanges > 0;
      if (endings[0] === 'CANCELLED' || endings[0] === 'FAILED') expect(changed).toBe(false);
      if (endings[0] === 'INTERRUPTED') expect(changed).toBe(false);
      if (endings[0] === 'DONE') expect(machine.boot).toBeGreaterThan(1);
      seen.add(`${endings[0]} ${operation.code}`);
    }),
    { numRuns: 3_000, verbose: 1 },
  );
  // The simulation reaches every end that the steps can lead to, so the rules above were tried on all of them.
  for (const end of [
    'DONE null',
    'PARTIAL INTERRUPTED',
    'PARTIAL REBOOT_CANCELLED',
    'PARTIAL BOOT_ENV_CHANGED',
    'PARTIAL VERIFY_FAILED',
    'FAILED VERIFY_FAILED',
    'INTERRUPTED INTERRUPTED',
    'CANCELLED CANCELLED',
  ]) {
    expect([...seen]).toContain(end);
  }
});

test('without any mishap a reset is done in one reboot', () => {
  const machine = new AbstractMachine({ graceS: 60 }, new Chance([]));
  follow(machine);
  expect(machine.states).toEqual([
    'ACCEPTED',
    'WAITING',
    'SECRET_READY',
    'PASSWORD_SET',
    'VNC_SET',
    'REBOOTING',
    'BOOTED',
    'DONE',
  ]);
  expect(machine.reboots).toBe(1);
});
