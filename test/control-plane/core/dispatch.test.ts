// What is said next to a connected machine.

import { describe, expect, test } from 'vitest';
import { type Conversation, fateAfterSync, nextErrand } from '../../../control-plane/core/dispatch.ts';
import { readyEndsAt } from '../../../control-plane/core/due.ts';
import { approvedOf, draftOf, sentOf, shaOf, T0 } from './samples.ts';

const fresh: Conversation = { asked: null, neverTaken: new Set(), cancelled: new Map() };
const ready = { token: 'r', at: T0 };
const chain = { n: 1, sha256: shaOf(1), at: T0 };
const other = (n: number) => `op_${String(n).repeat(26)}`;

describe('the next errand', () => {
  test('of drafts is to prepare the newest', () => {
    const errand = nextErrand([draftOf({ op: other(1) }), draftOf({ op: other(2) })], fresh, T0);
    expect(errand).toMatchObject({ do: 'prepare', operation: { op: other(2) } });
  });

  test('is the approved operation before every newer draft', () => {
    const errand = nextErrand([approvedOf({ op: other(1) }), draftOf({ op: other(2) })], fresh, T0);
    expect(errand).toMatchObject({ do: 'prepare', operation: { op: other(1) } });
  });

  test('is not repeated before its time', () => {
    const asked = { ...fresh, asked: { op: draftOf().op, againAt: T0 + 1 } };
    expect(nextErrand([draftOf()], asked, T0)).toBeNull();
    expect(nextErrand([draftOf()], asked, T0 + 1)).toMatchObject({ do: 'prepare' });
  });

  test('is a command only for what is approved and lives', () => {
    expect(nextErrand([draftOf({ state: 'PREPARED', ready })], fresh, T0)).toBeNull();
    const approved = approvedOf({ state: 'PREPARED', ready });
    expect(nextErrand([approved], fresh, T0)).toMatchObject({ do: 'mint', previous: 'never_sent' });
    expect(nextErrand([approved], fresh, readyEndsAt(T0) + 1)).toBeNull();
  });

  test('never prepares another executor for a password that was sealed to one', () => {
    const intent = { bytes: 'e30', hash: 'h', notAfterS: T0 / 1000 + 900, sealed: { account: 's' }, sealedFor: 'r' };
    expect(nextErrand([approvedOf({ intent })], fresh, T0)).toBeNull();
    expect(nextErrand([approvedOf({ intent, state: 'PREPARED', ready })], fresh, T0)).toMatchObject({ do: 'mint' });
  });

  test('is a second command only where the first was certainly never taken', () => {
    const again = { ...fresh, neverTaken: new Set([sentOf().op]) };
    expect(nextErrand([sentOf({ ready })], fresh, T0)).toBeNull();
    expect(nextErrand([sentOf()], again, T0)).toMatchObject({ do: 'prepare' });
    expect(nextErrand([sentOf({ ready })], again, T0)).toMatchObject({ do: 'mint', previous: 'executor_gone' });
    expect(nextErrand([sentOf({ ready, chain })], again, T0)).toBeNull();
  });

  test('is a cancel, once unless it was refused, for what the agent holds', () => {
    const held = sentOf({ state: 'WAITING', chain, cancelBy: 'admin' });
    expect(nextErrand([held], fresh, T0)).toMatchObject({ do: 'cancel', operator: 'admin' });
    const sent = (againAt: number): Conversation => ({ ...fresh, cancelled: new Map([[held.op, againAt]]) });
    expect(nextErrand([held], sent(Number.POSITIVE_INFINITY), T0)).toBeNull();
    expect(nextErrand([held], sent(T0 + 1), T0)).toBeNull();
    expect(nextErrand([held], sent(T0), T0)).toMatchObject({ do: 'cancel' });
  });
});

describe('after everything was said, a command of an earlier connection', () => {
  test('is held where the machine works on it or reported on it', () => {
    expect(fateAfterSync(sentOf(), sentOf().op, T0)).toBe('held');
    expect(fateAfterSync(sentOf({ chain }), null, T0)).toBe('held');
  });

  test('is given again while its intent lives and its secrets are generated', () => {
    expect(fateAfterSync(sentOf(), null, T0)).toBe('again');
    expect(fateAfterSync(sentOf(), null, T0 + 900_001)).toEqual({ end: 'EXPIRED' });
  });

  test('is over where its password was typed, or it was cancelled', () => {
    const draft = { account: { name: null, unlock: false, mode: 'typed' as const }, vnc: null, graceS: 0 };
    expect(fateAfterSync(sentOf({ draft }), null, T0)).toEqual({ end: 'READY_EXPIRED' });
    expect(fateAfterSync(sentOf({ cancelBy: 'admin' }), null, T0)).toEqual({ end: 'CANCELLED' });
  });
});
