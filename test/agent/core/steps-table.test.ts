// The next step where there is one answer, and the ends that follow from what was found.

import { describe, expect, test } from 'vitest';
import type { Operation } from '../../../agent/core/ledger.ts';
import { endOfInspection, endOfProof, type Moment, nextStep, type Step } from '../../../agent/core/steps.ts';
import { BOOT } from '../../protocol/samples.ts';
import { accepted, operationOf, stated, vncServer, work } from './operations.ts';

const OTHER_BOOT = BOOT.replace(/1$/, '2');
const typed = { name: 'root', uid: 0, unlock: false, secret: 'typed' } as const;

describe('the table', () => {
  const holding: Moment = { boot: BOOT, holdsSecrets: true, cancelled: false, rebootSwallowed: false };
  const alone: Moment = { ...holding, holdsSecrets: false };
  const base = operationOf(accepted());
  const at = (state: Operation['state'], changes: Partial<Operation> = {}): Operation => ({
    ...base,
    state,
    ...changes,
  });
  const rebooting = (reboots: number): Operation => at('REBOOTING', { reboots, rebootAskedIn: BOOT });
  const inAccount = { begun: { kind: 'begin', op: 'op', effect: 'account', before: {} } } as const;
  const inVnc = { begun: { kind: 'begin', op: 'op', effect: 'vnc', before: [] } } as const;

  // biome-ignore format: a table, one row a line
  test.each<[string, Operation, Moment, Step]>([
    ['grace comes first', at('ACCEPTED', { work: work({ graceS: 9 }) }), holding, { do: 'wait', graceS: 9 }],
    ['grace is over', at('WAITING', { work: work({ graceS: 9 }) }), holding, { do: 'generate' }],
    [
      'typed secrets need no generating',
      at('ACCEPTED', { work: work({ account: typed, vnc: null }) }),
      holding,
      { do: 'set_account' },
    ],
    [
      'VNC alone',
      at('ACCEPTED', { work: work({ account: null, vnc: { server: vncServer, secret: 'typed' } }) }),
      holding,
      { do: 'set_vnc' },
    ],
    ['account after sealing', at('SECRET_READY'), holding, { do: 'set_account' }],
    ['VNC after account', at('PASSWORD_SET'), holding, { do: 'set_vnc' }],
    ['reboot without VNC', at('PASSWORD_SET', { work: work({ vnc: null }) }), holding, { do: 'reboot', attempt: 1 }],
    [
      'reboot where VNC is absent',
      at('PASSWORD_SET', { work: work({ vnc: { server: null, secret: 'typed' } }) }),
      holding,
      { do: 'reboot', attempt: 1 },
    ],
    ['reboot at last', at('VNC_SET'), holding, { do: 'reboot', attempt: 1 }],
    ['a reboot that may come is waited for', rebooting(1), holding, { do: 'await_reboot' }],
    ['also by another process of that boot', rebooting(1), alone, { do: 'await_reboot' }],
    [
      'a swallowed one is asked for again',
      rebooting(1),
      { ...alone, rebootSwallowed: true },
      { do: 'reboot', attempt: 2 },
    ],
    [
      'three times',
      rebooting(3),
      { ...alone, rebootSwallowed: true },
      { do: 'end', state: 'PARTIAL', code: 'REBOOT_TIMEOUT' },
    ],
    ['another boot', rebooting(3), { ...alone, boot: OTHER_BOOT }, { do: 'prove_boot' }],
    ['booted', at('BOOTED', { reboots: 1, rebootAskedIn: BOOT }), alone, { do: 'prove_secrets' }],
    ['left before anything', at('ACCEPTED'), alone, { do: 'end', state: 'INTERRUPTED', code: 'INTERRUPTED' }],
    ['left in grace', at('WAITING'), alone, { do: 'end', state: 'INTERRUPTED', code: 'INTERRUPTED' }],
    ['left after sealing', at('SECRET_READY'), alone, { do: 'end', state: 'INTERRUPTED', code: 'INTERRUPTED' }],
    ['left in the account step', at('SECRET_READY', inAccount), alone, { do: 'inspect', effect: 'account' }],
    ['left in the VNC step', at('PASSWORD_SET', inVnc), alone, { do: 'inspect', effect: 'vnc' }],
    [
      'left in the VNC step, with a cancel',
      at('PASSWORD_SET', inVnc),
      { ...alone, cancelled: true },
      { do: 'inspect', effect: 'vnc' },
    ],
    ['left between the two', at('PASSWORD_SET'), alone, { do: 'end', state: 'PARTIAL', code: 'INTERRUPTED' }],
    ['left before the reboot', at('VNC_SET'), alone, { do: 'reboot', attempt: 1 }],
    [
      'cancelled in grace',
      at('WAITING'),
      { ...holding, cancelled: true },
      { do: 'end', state: 'CANCELLED', code: 'CANCELLED' },
    ],
    [
      'cancelled after the account alone',
      at('PASSWORD_SET', { work: work({ vnc: null }) }),
      { ...holding, cancelled: true },
      { do: 'end', state: 'PARTIAL', code: 'REBOOT_CANCELLED' },
    ],
    ['cancelled between the two', at('PASSWORD_SET'), { ...holding, cancelled: true }, { do: 'set_vnc' }],
    [
      'cancelled and left between the two',
      at('PASSWORD_SET'),
      { ...alone, cancelled: true },
      { do: 'end', state: 'PARTIAL', code: 'INTERRUPTED' },
    ],
    [
      'cancelled before the reboot',
      at('VNC_SET'),
      { ...alone, cancelled: true },
      { do: 'end', state: 'PARTIAL', code: 'REBOOT_CANCELLED' },
    ],
    [
      'cancelled after a swallowed reboot',
      rebooting(1),
      { ...alone, cancelled: true, rebootSwallowed: true },
      { do: 'end', state: 'PARTIAL', code: 'REBOOT_CANCELLED', reason: 'asked_for_before' },
    ],
    ['a cancel comes too late after the boot', at('BOOTED'), { ...alone, cancelled: true }, { do: 'prove_secrets' }],
  ])('%s', (_, operation, moment, step) => expect(nextStep(operation, moment)).toEqual(step));
});

describe('ends', () => {
  test.each([
    ['account', true, true, 'PARTIAL'],
    ['account', false, true, 'INTERRUPTED'],
    ['vnc', true, false, 'PARTIAL'],
    ['vnc', false, true, 'PARTIAL'],
    ['vnc', false, false, 'INTERRUPTED'],
  ] as const)('inspection of %s, changed %s, with an account %s: %s', (effect, changed, hasAccount, state) => {
    expect(endOfInspection(effect, changed, hasAccount)).toEqual({ do: 'end', state, code: 'INTERRUPTED' });
  });

  const all = operationOf(accepted(), stated('BOOTED', 2));
  const withoutVnc = operationOf(accepted({ vnc: null }));
  const absent = operationOf(accepted({ vnc: { server: null, secret: 'generated' } }));
  test.each([
    [all, true, true, 'DONE', null],
    [all, true, false, 'PARTIAL', 'VNC_UNVERIFIED'],
    [all, false, true, 'PARTIAL', 'VERIFY_FAILED'],
    [all, false, false, 'PARTIAL', 'VERIFY_FAILED'],
    [withoutVnc, true, null, 'DONE', null],
    [withoutVnc, true, 'absent', 'DONE', null],
    [absent, true, null, 'PARTIAL', 'VNC_ABSENT'],
  ] as const)('proof %#: account %s, vnc %s', (...row) => {
    const [operation, account, vnc, state, code] = row;
    expect(endOfProof(operation, { account, vnc })).toEqual({ do: 'end', state, code });
  });

  test('DONE is never said where what was asked for was not proven', () => {
    for (const account of [true, false, null]) {
      for (const vnc of [true, false, null, 'absent'] as const) {
        const proof = endOfProof(all, { account, vnc });
        expect(proof.do === 'end' && proof.state === 'DONE').toBe(account === true && vnc === true);
      }
    }
  });
});
