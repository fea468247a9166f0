// The one function through which operations change, held to the lifecycle's table.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Operation } from '../../../control-plane/core/operation.ts';
import { progress, type Step } from '../../../control-plane/core/progress.ts';
import { judgeReceipt } from '../../../control-plane/core/receive.ts';
import { codeOf } from '../../../protocol/failure.ts';
import { type AgentState, agentState, isEnd, mayFollow, states } from '../../../protocol/lifecycle.ts';
import { approvedOf, draftOf, factsOf, receiptOf, sentOf, shaOf, T0 } from './samples.ts';

const seen = { account: null, accountCode: null, vnc: [], warnings: [] };
const refusal = (work: () => unknown) => {
  try {
    work();
    return null;
  } catch (error) {
    return codeOf(error) ?? 'DEFECT';
  }
};

describe('progress', () => {
  test('every move it makes is in the table, whatever the step', () => {
    const steps: Step[] = [
      { t: 'ready', ready: { token: 'r', at: T0 }, seen },
      { t: 'unready' },
      { t: 'approved', method: 'key', operator: 'ada' },
      { t: 'sent', command: { token: 'c', sha256: 's', cn: 'n', expS: 1, sentAt: T0 } },
      { t: 'end', state: 'EXPIRED', code: 'EXPIRED' },
      { t: 'end', state: 'CANCELLED', code: 'CANCELLED' },
      { t: 'end', state: 'REFUSED', code: 'FACTOR_LOCKED' },
      { t: 'cancel', operator: 'admin' },
      ...agentState.options.map((state): Step => ({ t: 'receipt', receipt: factsOf(receiptOf(1, state)) })),
    ];
    for (const state of states) {
      for (const step of steps) {
        let after: Operation;
        try {
          after = progress(approvedOf({ state }), step, T0).operation;
        } catch (error) {
          expect(codeOf(error)).toBe('STATE_CONFLICT');
          continue;
        }
        if (after.state !== state) expect(mayFollow(state, after.state), `${state} → ${after.state}`).toBe(true);
      }
    }
  });

  test('each move is told by exactly one event with the state before and after', () => {
    const { operation, events } = progress(draftOf(), { t: 'end', state: 'EXPIRED', code: 'PROOF_MISSING' }, T0 + 5);
    expect(operation).toMatchObject({ state: 'EXPIRED', code: 'PROOF_MISSING', endedAt: T0 + 5 });
    expect(events).toEqual([
      {
        type: 'operation.state',
        data: {
          from: 'QUEUED',
          state: 'EXPIRED',
          code: 'PROOF_MISSING',
          n: null,
          spent_ms: 5,
          measured_by: 'control_plane',
        },
      },
    ]);
  });

  test('nothing is sent that was not approved', () => {
    const command = { token: 'c', sha256: 's', cn: 'n', expS: 1, sentAt: T0 };
    expect(refusal(() => progress(draftOf({ state: 'PREPARED' }), { t: 'sent', command }, T0))).toBe('STATE_CONFLICT');
  });

  test('an approval cannot be given twice, nor an intent changed under it', () => {
    expect(refusal(() => progress(approvedOf(), { t: 'approved', method: 'key', operator: 'ada' }, T0))).toBe(
      'STATE_CONFLICT',
    );
    const intent = { bytes: 'e30', hash: 'h', notAfterS: 1, sealed: null, sealedFor: null };
    expect(refusal(() => progress(approvedOf(), { t: 'intent', intent, operator: 'eve' }, T0))).toBe('STATE_CONFLICT');
  });

  test('the agent’s word replaces the presumption of EXPIRED, and no other end', () => {
    const step: Step = { t: 'receipt', receipt: factsOf(receiptOf(1, 'PASSWORD_SET')) };
    expect(progress(sentOf({ state: 'EXPIRED', endedAt: T0 }), step, T0).operation).toMatchObject({
      state: 'PASSWORD_SET',
      endedAt: null,
    });
    for (const state of ['DONE', 'PARTIAL', 'FAILED', 'REFUSED', 'INTERRUPTED', 'CANCELLED'] as const) {
      const { operation, events } = progress(sentOf({ state }), step, T0);
      expect(operation.state).toBe(state);
      expect(events.map(({ type }) => type)).toEqual(['operation.alarm']);
    }
  });

  test('a refusal after the acceptance moves nothing and raises an alarm', () => {
    const step: Step = { t: 'receipt', receipt: factsOf(receiptOf(2, 'REFUSED', { code: 'OP_CONFLICT' })) };
    const { operation, events } = progress(sentOf({ state: 'ACCEPTED' }), step, T0);
    expect(operation.state).toBe('ACCEPTED');
    expect(events).toMatchObject([{ type: 'operation.alarm', data: { reason: 'move_refused', code: 'OP_CONFLICT' } }]);
  });

  test('OVERDUE is a flag that the next receipt clears', () => {
    const overdue = progress(sentOf({ state: 'REBOOTING' }), { t: 'overdue' }, T0).operation;
    expect(overdue).toMatchObject({ state: 'REBOOTING', overdue: true });
    const step: Step = { t: 'receipt', receipt: factsOf(receiptOf(1, 'BOOTED')) };
    expect(progress(overdue, step, T0).operation).toMatchObject({ state: 'BOOTED', overdue: false });
  });

  test('a collected secret does not come back with a later receipt', () => {
    const sealed = { account: 'a..b.c.d' };
    const collected = progress(sentOf({ state: 'SECRET_READY', sealed }), { t: 'collected' }, T0).operation;
    const step: Step = { t: 'receipt', receipt: factsOf(receiptOf(1, 'PASSWORD_SET', { sealed })) };
    expect(progress(collected, step, T0).operation.sealed).toBeNull();
  });
});

describe('receipts in any order', () => {
  type Arrival = Readonly<{ n: number; sha256: string; state: AgentState }>;

  /** Feeds arrivals as the gateway does, and returns every state that an observer saw. */
  const receive = (arrivals: readonly Arrival[], chain: readonly AgentState[]) => {
    let operation = sentOf();
    const stored = new Map<number, string>();
    const shown: Operation[] = [operation];
    for (const { n, sha256 } of arrivals) {
      const receipt = receiptOf(n, chain[n - 1] ?? 'ACCEPTED');
      const { verdict } = judgeReceipt(operation, receipt, sha256, stored.get(n) ?? null);
      if (verdict !== 'next') continue;
      stored.set(n, sha256);
      operation = progress(operation, { t: 'receipt', receipt: factsOf(receipt) }, T0 + n).operation;
      shown.push(operation);
    }
    return { operation, stored, shown };
  };

  const chains = [
    ['ACCEPTED', 'SECRET_READY', 'PASSWORD_SET', 'VNC_SET', 'REBOOTING', 'BOOTED', 'DONE'],
    ['ACCEPTED', 'WAITING', 'CANCELLED'],
    ['REFUSED'],
    ['ACCEPTED', 'PASSWORD_SET', 'REBOOTING', 'REBOOTING', 'REBOOTING', 'PARTIAL'],
  ] satisfies AgentState[][];
  const someChain = fc.constantFrom<AgentState[]>(...chains);
  const arrivalsOf = (chain: readonly AgentState[]) =>
    fc.array(
      fc
        .integer({ min: 1, max: chain.length })
        .map((n) => ({ n, sha256: shaOf(n), state: chain[n - 1] ?? 'ACCEPTED' })),
      { maxLength: 40 },
    );

  test('dropped, repeated and reordered receipts never move the state back, and a gap is never stored', () => {
    fc.assert(
      fc.property(
        someChain.chain((chain) => fc.tuple(fc.constant(chain), arrivalsOf(chain))),
        ([chain, arrivals]) => {
          const { stored, shown } = receive(arrivals, chain);
          expect([...stored.keys()]).toEqual([...stored.keys()].map((_, index) => index + 1));
          for (const [index, now] of shown.entries()) {
            const before = shown[index - 1];
            if (!before) continue;
            expect(mayFollow(before.state, now.state)).toBe(true);
            expect(now.chain?.n).toBe((before.chain?.n ?? 0) + 1);
          }
        },
      ),
    );
  });

  test('whatever was lost or repeated on the way, sending all of it again in order reaches the end', () => {
    fc.assert(
      fc.property(
        someChain.chain((chain) => fc.tuple(fc.constant(chain), arrivalsOf(chain))),
        ([chain, arrivals]) => {
          const again = chain.map((state, index) => ({ n: index + 1, sha256: shaOf(index + 1), state }));
          const { operation } = receive([...arrivals, ...again], chain);
          expect(operation.state).toBe(chain.at(-1));
          expect(isEnd(operation.state)).toBe(true);
        },
      ),
    );
  });
});
