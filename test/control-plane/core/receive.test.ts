// Which receipts are the next of their operation.

import { describe, expect, test } from 'vitest';
import { judgeReceipt, RECEIPTS_MAX } from '../../../control-plane/core/receive.ts';
import { approvedOf, CN, receiptOf, sentOf, shaOf, T0 } from './samples.ts';

const OTHER = `D${'A'.repeat(42)}`;
const chained = sentOf({ state: 'ACCEPTED', chain: { n: 1, sha256: shaOf(1), at: T0 } });

describe('a receipt', () => {
  test('that continues the chain is the next', () => {
    expect(judgeReceipt(chained, receiptOf(2, 'PASSWORD_SET'), shaOf(2), null)).toEqual({ verdict: 'next' });
  });

  test('stored before is a duplicate, and with other bytes a fork', () => {
    expect(judgeReceipt(chained, receiptOf(1, 'ACCEPTED'), shaOf(1), shaOf(1)).verdict).toBe('duplicate');
    expect(judgeReceipt(chained, receiptOf(1, 'ACCEPTED'), OTHER, shaOf(1))).toMatchObject({ reason: 'fork' });
  });

  test('that leaves one out is a gap', () => {
    expect(judgeReceipt(chained, receiptOf(3, 'PASSWORD_SET'), shaOf(3), null)).toMatchObject({ reason: 'gap' });
    expect(judgeReceipt(sentOf(), receiptOf(2, 'ACCEPTED'), shaOf(2), null)).toMatchObject({ reason: 'gap' });
  });

  test('that continues another chain is a fork', () => {
    const receipt = receiptOf(2, 'PASSWORD_SET', { prev: OTHER });
    expect(judgeReceipt(chained, receipt, shaOf(2), null)).toMatchObject({ reason: 'fork' });
  });

  test('beyond what any reset has is not taken: a machine cannot fill the history', () => {
    const chain = { n: RECEIPTS_MAX, sha256: shaOf(RECEIPTS_MAX), at: 0 };
    const receipt = receiptOf(RECEIPTS_MAX + 1, 'REBOOTING');
    expect(judgeReceipt(sentOf({ state: 'REBOOTING', chain }), receipt, shaOf(1), null)).toMatchObject({
      reason: 'too_many',
    });
  });

  test('of another agent, or for a command that was never sent, is not taken', () => {
    const foreign = receiptOf(1, 'ACCEPTED', { agent: `agt_${'1'.repeat(26)}` });
    expect(judgeReceipt(sentOf(), foreign, shaOf(1), null)).toMatchObject({ reason: 'agent' });
    expect(judgeReceipt(approvedOf(), receiptOf(1, 'ACCEPTED'), shaOf(1), null)).toMatchObject({
      reason: 'never_sent',
    });
  });

  test('naming another command is not taken, unless it refuses this very nonce', () => {
    const accepted = receiptOf(1, 'ACCEPTED', { cmd_sha256: OTHER });
    expect(judgeReceipt(sentOf(), accepted, shaOf(1), null)).toMatchObject({ reason: 'command' });
    const refused = receiptOf(1, 'REFUSED', { cmd_sha256: OTHER, code: 'SIG_INVALID', cn: CN });
    expect(judgeReceipt(sentOf(), refused, shaOf(1), null)).toEqual({ verdict: 'next' });
    expect(judgeReceipt(sentOf(), { ...refused, cn: OTHER }, shaOf(1), null)).toMatchObject({ reason: 'command' });
  });

  test('of an earlier command of the same operation is taken', () => {
    const again = sentOf({ sentSha256: [OTHER, receiptOf(1, 'ACCEPTED').cmd_sha256] });
    expect(judgeReceipt(again, receiptOf(1, 'ACCEPTED', { cmd_sha256: OTHER }), shaOf(1), null).verdict).toBe('next');
  });
});
