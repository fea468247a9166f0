// The ledger: what the journal's entries, read in order, say of each operation.

import { describe, expect, test } from 'vitest';
import { apply, type Entry, isEnded, openOperation, readLedger, unacknowledged } from '../../../agent/core/ledger.ts';
import { agentState, ends } from '../../../protocol/lifecycle.ts';
import { BOOT, bytes32Text, OP } from '../../protocol/samples.ts';
import { accepted, operationOf, stated, storedReceipt } from './operations.ts';

const OTHER = `op_${'0'.repeat(25)}9`;
const OTHER_BOOT = BOOT.replace(/1$/, '2');
const refused: Entry = {
  kind: 'refused',
  op: OTHER,
  code: 'ENV_REFUSED',
  cmdSha256: bytes32Text(7),
  receipt: storedReceipt(1),
};

describe('the ledger', () => {
  test('of no entries is empty, and nothing is under way', () => {
    const ledger = readLedger([]);
    expect(ledger.size).toBe(0);
    expect(openOperation(ledger)).toBeUndefined();
    expect(unacknowledged(ledger)).toEqual([]);
  });

  test('an accepted operation is under way, with its work, its warnings and its first receipt', () => {
    const ledger = readLedger([accepted({ warnings: ['VNC_ABSENT'] })]);
    expect(openOperation(ledger)).toMatchObject({ op: OP, state: 'ACCEPTED', begun: null, warnings: ['VNC_ABSENT'] });
    expect(unacknowledged(ledger)).toEqual([storedReceipt(1)]);
  });

  test('a refused operation is known, ended, and has no work', () => {
    const ledger = readLedger([refused]);
    expect(openOperation(ledger)).toBeUndefined();
    expect(ledger.get(OTHER)).toMatchObject({ state: 'REFUSED', code: 'ENV_REFUSED', work: null });
    expect(unacknowledged(ledger)).toHaveLength(1);
  });

  test('an announced effect stands until the next state', () => {
    const begin: Entry = { kind: 'begin', op: OP, effect: 'account', before: { root: 'a' } };
    expect(operationOf(accepted(), begin).begun).toEqual(begin);
    expect(operationOf(accepted(), begin, stated('PASSWORD_SET', 2)).begun).toBeNull();
  });

  test('reboots are counted, and the last one remembers the boot in which it was asked for', () => {
    const operation = operationOf(
      accepted(),
      stated('VNC_SET', 2),
      stated('REBOOTING', 3),
      stated('REBOOTING', 4, { boot: OTHER_BOOT }),
      stated('BOOTED', 5, { boot: OTHER_BOOT.replace(/2$/, '3') }),
    );
    expect(operation).toMatchObject({ reboots: 2, rebootAskedIn: OTHER_BOOT });
  });

  test('findings add up, warnings are kept once each', () => {
    const operation = operationOf(
      accepted({ warnings: ['VNC_TRUNCATED'] }),
      stated('PASSWORD_SET', 2, { finding: { accountEntry: 'x', warnings: ['VNC_TRUNCATED'] } }),
      stated('VNC_SET', 3, { finding: { vncFiles: [], warnings: ['VNC_RESTART_REQUIRED'] } }),
    );
    expect(operation.finding).toMatchObject({ accountEntry: 'x', vncFiles: [] });
    expect(operation.warnings).toEqual(['VNC_TRUNCATED', 'VNC_RESTART_REQUIRED']);
  });

  test('acknowledgements shrink what is to be sent and never grow it again', () => {
    const acked = (n: number): Entry => ({ kind: 'acked', op: OP, n });
    const entries = [accepted(), stated('PASSWORD_SET', 2), stated('VNC_SET', 3)];
    const left = (...more: Entry[]) => unacknowledged(readLedger([...entries, ...more])).map(({ n }) => n);
    expect(left()).toEqual([1, 2, 3]);
    expect(left(acked(2))).toEqual([3]);
    expect(left(acked(2), acked(1))).toEqual([3]);
    expect(left(acked(3), stated('REBOOTING', 4))).toEqual([4]);
  });

  test('receipts to be sent come in the order of operations and of their numbers', () => {
    const ledger = readLedger([refused, accepted(), stated('PASSWORD_SET', 2)]);
    expect(unacknowledged(ledger).map(({ n }) => n)).toEqual([1, 1, 2]);
  });

  test('an entry about an operation that nobody accepted is nothing', () => {
    for (const entry of [
      { kind: 'acked', op: OP, n: 3 },
      { kind: 'begin', op: OP, effect: 'account', before: {} },
      stated('DONE', 9),
    ] as const) {
      expect(apply(undefined, entry)).toBeUndefined();
      expect(readLedger([entry]).size).toBe(0);
    }
  });

  test('exactly the ends of the lifecycle that an agent can say are ends', () => {
    for (const state of agentState.options) {
      expect(isEnded(operationOf(accepted(), stated(state, 2)))).toBe((ends as readonly string[]).includes(state));
    }
  });

  test('one entry never changes another operation', () => {
    const ledger = readLedger([refused, accepted(), { kind: 'acked', op: OP, n: 1 }]);
    expect(ledger.get(OTHER)?.acked).toBe(0);
    expect(ledger.get(OP)?.acked).toBe(1);
  });
});
