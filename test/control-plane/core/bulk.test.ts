// How far a bulk submission is, from its own record, the operations that have not ended, and the time.

import { expect, test } from 'vitest';
import { type Bulk, operationOf, stateOfBulk } from '../../../control-plane/core/bulk.ts';
import { bulkOf } from '../store/samples.ts';
import { T0 } from './samples.ts';

const intent = { bytes: 'AAAA', hash: 'H', notAfterS: T0 / 1000 + 60 };

test.each<[string, Partial<Bulk>, number, number]>([
  ['DRAFT', {}, 0, T0 + 900_000],
  ['EXPIRED', {}, 0, T0 + 900_001],
  ['DRAFT', { intent }, 0, T0 + 60_000],
  ['EXPIRED', { intent }, 0, T0 + 60_001],
  ['RUNNING', { intent, approvedAt: T0 }, 1, T0 + 60_001],
  ['ENDED', { intent, approvedAt: T0 }, 0, T0],
  ['RUNNING', { intent, approvedAt: T0, stopped: { at: T0, operator: 'ada' } }, 1, T0],
  ['ENDED', { intent, stopped: { at: T0, operator: 'ada' } }, 0, T0],
  ['VOID', { intent, code: 'FACTOR_LOCKED' }, 0, T0],
])('is %s: %j with %i at work', (state, change, working, now) => {
  expect(stateOfBulk(bulkOf(change), working, now)).toBe(state);
});

test('each machine’s operation is approved, has no bytes of its own, and waits for its turn', () => {
  const operation = operationOf(bulkOf({ op: 'op_b', intent }), 0, 'op_1', T0);
  expect(operation).toMatchObject({ op: 'op_1', state: 'QUEUED', approvedAt: T0, intent: { bytes: '', hash: 'H' } });
  expect(operation.bulk).toEqual({ op: 'op_b', index: 0, turn: false });
});
