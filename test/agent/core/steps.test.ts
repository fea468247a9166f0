// The next step, over every combination of what can be known: the rules that hold for all of them.

import { describe, expect, test } from 'vitest';
import { isEnded, type Operation } from '../../../agent/core/ledger.ts';
import { hasGenerated, type Moment, nextStep, type Step } from '../../../agent/core/steps.ts';
import { agentState, mayFollow } from '../../../protocol/lifecycle.ts';
import { REBOOT_REQUESTS_MAX } from '../../../protocol/limits.ts';
import { BOOT } from '../../protocol/samples.ts';
import { accepted, operationOf, vncServer, work } from './operations.ts';

const OTHER_BOOT = BOOT.replace(/1$/, '2');
const booleans = [false, true] as const;
const typed = { name: 'root', uid: 0, unlock: false, secret: 'typed' } as const;
const generated = { ...typed, secret: 'generated' } as const;
const works = [typed, generated, null].flatMap((account) =>
  [
    null,
    { server: null, secret: 'generated' } as const,
    { server: vncServer, secret: 'typed' } as const,
    { server: vncServer, secret: 'generated' } as const,
  ].flatMap((vnc) => [0, 60].map((graceS) => work({ account, vnc, graceS }))),
);
const begun = [
  null,
  { kind: 'begin', op: 'op', effect: 'account', before: {} },
  { kind: 'begin', op: 'op', effect: 'vnc', before: [] },
] as const;

const moments: Moment[] = [BOOT, OTHER_BOOT].flatMap((boot) =>
  booleans.flatMap((holdsSecrets) =>
    booleans.flatMap((cancelled) =>
      booleans.map((rebootSwallowed) => ({ boot, holdsSecrets, cancelled, rebootSwallowed })),
    ),
  ),
);
const operations: Operation[] = agentState.options.flatMap((state) =>
  works.flatMap((each) =>
    begun.flatMap((announced) =>
      [0, 1, REBOOT_REQUESTS_MAX, REBOOT_REQUESTS_MAX + 1].map((reboots) => ({
        ...operationOf(accepted()),
        work: each,
        state,
        begun: announced,
        reboots,
        rebootAskedIn: reboots > 0 ? BOOT : null,
      })),
    ),
  ),
);

/** The state that a step's success brings, by which the lifecycle can be asked. */
const brings: Partial<Record<Step['do'], (step: Step) => string>> = {
  wait: () => 'WAITING',
  generate: () => 'SECRET_READY',
  set_account: () => 'PASSWORD_SET',
  set_vnc: () => 'VNC_SET',
  reboot: () => 'REBOOTING',
  prove_boot: () => 'BOOTED',
  end: (step) => (step.do === 'end' ? step.state : ''),
};

/** The first combinations that break a rule; none where it holds. */
const breaches = (rule: (operation: Operation, moment: Moment, step: Step) => boolean): string[] =>
  operations
    .flatMap((operation) =>
      moments.flatMap((moment) => {
        const step = nextStep(operation, moment);
        return rule(operation, moment, step) ? [] : [JSON.stringify({ operation, moment, step })];
      }),
    )
    .slice(0, 3);

describe('whatever is known', () => {
  test('all combinations are looked at', () => expect(operations.length * moments.length).toBe(13 * 24 * 3 * 4 * 16));

  test('a process without the secrets never starts to change one', () => {
    expect(
      breaches(
        (_, { holdsSecrets }, step) => holdsSecrets || !['set_account', 'set_vnc', 'generate'].includes(step.do),
      ),
    ).toEqual([]);
  });

  test('an announced effect is looked at, and never started again', () => {
    expect(breaches((operation, _, step) => !operation.begun || !['set_account', 'set_vnc'].includes(step.do))).toEqual(
      [],
    );
  });

  test('nothing is announced or changed for an operation that has ended or was never accepted', () => {
    expect(breaches((operation, _, step) => !isEnded(operation) || step.do === 'nothing')).toEqual([]);
    for (const operation of operations) {
      for (const moment of moments) expect(nextStep({ ...operation, work: null }, moment)).toEqual({ do: 'nothing' });
    }
  });

  test('an operation under way always has a next step', () => {
    expect(breaches((operation, _, step) => isEnded(operation) || step.do !== 'nothing')).toEqual([]);
  });

  test('every state that a step brings may follow the present one', () => {
    expect(
      breaches((operation, _, step) => {
        const after = brings[step.do]?.(step);
        // Combinations that no journal can hold are left out: a VNC step begun or set for an operation without one.
        if (after === undefined || impossible(operation)) return true;
        return mayFollow(operation.state, after as never);
      }),
    ).toEqual([]);
  });

  test('a reboot is asked for only when all secrets were set, at most so often, and never while one may still come', () => {
    expect(
      breaches((operation, moment, step) => {
        if (step.do !== 'reboot') return true;
        if (!['PASSWORD_SET', 'VNC_SET', 'REBOOTING'].includes(operation.state)) return false;
        if (operation.state === 'PASSWORD_SET' && operation.work?.vnc?.server) return false;
        if (operation.state !== 'REBOOTING') return step.attempt === operation.reboots + 1;
        return moment.rebootSwallowed && step.attempt === operation.reboots + 1 && step.attempt <= REBOOT_REQUESTS_MAX;
      }),
    ).toEqual([]);
  });

  test('a cancel never lets a first secret be changed or a reboot be asked for', () => {
    expect(
      breaches((operation, { cancelled }, step) => {
        // The second secret follows the first: what is cancelled then is the reboot alone.
        if (step.do === 'set_vnc' && operation.state === 'PASSWORD_SET') return true;
        return !cancelled || !['set_account', 'set_vnc', 'generate', 'wait', 'reboot'].includes(step.do);
      }),
    ).toEqual([]);
  });

  test('CANCELLED is said only before anything was changed', () => {
    expect(
      breaches(
        (operation, _, step) =>
          step.do !== 'end' ||
          step.state !== 'CANCELLED' ||
          (['ACCEPTED', 'WAITING', 'SECRET_READY'].includes(operation.state) && operation.begun === null),
      ),
    ).toEqual([]);
  });

  test('DONE is never decided here, but by what is proven after the boot', () => {
    expect(breaches((_, __, step) => step.do !== 'end' || step.state !== 'DONE')).toEqual([]);
  });

  test('secrets are proven after a boot alone', () => {
    expect(breaches((operation, _, step) => step.do !== 'prove_secrets' || operation.state === 'BOOTED')).toEqual([]);
    expect(
      breaches((operation, { boot }, step) => step.do !== 'prove_boot' || operation.rebootAskedIn !== boot),
    ).toEqual([]);
  });

  test('generated secrets are sealed before anything is set', () => {
    expect(
      breaches(
        (operation, _, step) =>
          !['set_account', 'set_vnc'].includes(step.do) ||
          operation.state === 'PASSWORD_SET' ||
          operation.state === 'SECRET_READY' ||
          !hasGenerated(operation),
      ),
    ).toEqual([]);
  });
});

function impossible({ work: has, begun: announced, state }: Operation): boolean {
  const vnc = has?.vnc?.server ?? null;
  if (!has?.account && !vnc) return true;
  if (announced?.effect === 'vnc' && !vnc) return true;
  return (state === 'VNC_SET' && !vnc) || (state === 'PASSWORD_SET' && !has?.account);
}
