// The outbox: receipts leave in order, a few at a time, each once a connection, until they are acknowledged.

import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { reconnectDelayMs, restartDelayMs } from '../../../agent/link/backoff.ts';
import { ACK_MS_MAX, Outbox } from '../../../agent/link/outbox.ts';
import { RECEIPTS_PER_SEND_MAX, RECONNECT_MS_MAX, RECONNECT_MS_MIN } from '../../../protocol/limits.ts';
import { payloadOf } from '../../../protocol/token.ts';
import { codeFrom } from '../../protocol/refusal.ts';
import { OP } from '../../protocol/samples.ts';
import { receiptToken } from './executor-script.ts';

const OTHER_OP = `op_${'0'.repeat(25)}9`;
const COUNT = 20;
const tokens: Record<string, string[]> = { [OP]: [], [OTHER_OP]: [] };
for (const op of [OP, OTHER_OP]) {
  for (let n = 1; n <= COUNT; n += 1) tokens[op]?.push(await receiptToken(n, { op }));
}
const tokenOf = (op: string, n: number) => tokens[op]?.[n - 1] ?? '';
const named = (token: string) => payloadOf(token) as { op: string; n: number };

describe('the outbox', () => {
  test('sends nothing that is no receipt', async () => {
    const outbox = new Outbox(() => true);
    expect(await codeFrom(() => outbox.add('AAAA.e30.AAAA'))).toBe('SCHEMA_INVALID');
    expect(outbox.size).toBe(0);
  });

  test('takes a receipt once', () => {
    const sent: string[] = [];
    const outbox = new Outbox((token) => sent.push(token) > 0);
    outbox.add(tokenOf(OP, 1));
    outbox.add(tokenOf(OP, 1));
    expect([sent.length, outbox.size]).toEqual([1, 1]);
  });

  test('keeps what could not be sent for the next connection', () => {
    let live = false;
    const sent: string[] = [];
    const outbox = new Outbox((token) => live && sent.push(token) > 0);
    outbox.add(tokenOf(OP, 1));
    expect(sent).toEqual([]);
    live = true;
    outbox.restart();
    expect(sent).toEqual([tokenOf(OP, 1)]);
  });

  test('an older receipt that comes later still leaves before the younger ones that wait', () => {
    let live = false;
    const sent: string[] = [];
    const outbox = new Outbox((token) => live && sent.push(token) > 0);
    for (const n of [3, 1, 2]) outbox.add(tokenOf(OP, n));
    live = true;
    outbox.restart();
    expect(sent.map((token) => named(token).n)).toEqual([1, 2, 3]);
  });

  test('says that all were sent once, and at once where there is nothing', () => {
    let told = 0;
    const outbox = new Outbox(() => true);
    outbox.whenAllSent(() => {
      told += 1;
    });
    outbox.add(tokenOf(OP, 1));
    outbox.flush();
    expect(told).toBe(1);
  });

  test('receipts that are never acknowledged keep no others back for long', () => {
    vi.useFakeTimers();
    try {
      const sent: number[] = [];
      let told = false;
      const outbox = new Outbox((token) => sent.push(named(token).n) > 0);
      for (let n = 1; n <= COUNT; n += 1) outbox.add(tokenOf(OP, n));
      outbox.whenAllSent(() => {
        told = true;
      });
      vi.advanceTimersByTime(ACK_MS_MAX - 1);
      expect([sent.length, told]).toEqual([RECEIPTS_PER_SEND_MAX, false]);
      vi.advanceTimersByTime(1 + ACK_MS_MAX);
      expect(sent).toEqual(Array.from({ length: COUNT }, (_, i) => i + 1));
      expect([told, outbox.size]).toEqual([true, COUNT]);
    } finally {
      vi.useRealTimers();
    }
  });

  test('whatever comes, drops and is acknowledged: the window holds, order holds, nothing is lost or sent twice', () => {
    const event = fc.oneof(
      fc.record({ do: fc.constant('add' as const), op: fc.constantFrom(OP, OTHER_OP) }),
      fc.record({
        do: fc.constant('ack' as const),
        op: fc.constantFrom(OP, OTHER_OP),
        n: fc.integer({ min: 1, max: COUNT }),
      }),
      fc.record({ do: fc.constant('lose' as const) }),
      fc.record({ do: fc.constant('connect' as const) }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60, size: 'max' }), (events) => {
        let live = false;
        let sent: { op: string; n: number }[] = [];
        const added: Record<string, number> = { [OP]: 0, [OTHER_OP]: 0 };
        const acked: Record<string, number> = { [OP]: 0, [OTHER_OP]: 0 };
        const unacknowledged = () => sent.filter(({ op, n }) => n > (acked[op] ?? 0));
        const outbox = new Outbox((token) => {
          if (!live) return false;
          sent.push(named(token));
          expect(unacknowledged().length).toBeLessThanOrEqual(RECEIPTS_PER_SEND_MAX);
          return true;
        });
        for (const each of events) {
          if (each.do === 'add') {
            const n = Math.min(COUNT, (added[each.op] ?? 0) + 1);
            if (n > (acked[each.op] ?? 0)) outbox.add(tokenOf(each.op, n));
            added[each.op] = n;
          }
          if (each.do === 'ack') {
            const n = Math.min(each.n, added[each.op] ?? 0);
            acked[each.op] = Math.max(n, acked[each.op] ?? 0);
            outbox.acknowledge(each.op, n);
          }
          if (each.do === 'lose') live = false;
          if (each.do === 'connect') {
            live = true;
            sent = [];
            outbox.restart();
          }
          for (const op of [OP, OTHER_OP]) {
            const ns = sent.filter((one) => one.op === op).map(({ n }) => n);
            expect(ns).toEqual([...new Set(ns)].sort((a, b) => a - b));
          }
        }
        live = true;
        sent = [];
        outbox.restart();
        for (let round = 0; round < COUNT && outbox.size > 0; round += 1) {
          for (const { op, n } of [...sent]) {
            acked[op] = Math.max(n, acked[op] ?? 0);
            outbox.acknowledge(op, n);
          }
        }
        expect(outbox.size).toBe(0);
      }),
    );
  });
});

const unit = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test('a control plane that ends spreads its machines over what it says, and keeps none away for longer than a minute', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 999_999 }), unit, (withinMs, u) => {
      const ms = restartDelayMs(withinMs, u);
      expect(ms).toBeGreaterThanOrEqual(RECONNECT_MS_MIN);
      expect(ms).toBeLessThanOrEqual(Math.min(RECONNECT_MS_MAX, Math.max(RECONNECT_MS_MIN, withinMs)));
    }),
  );
  expect(restartDelayMs(40_000, 0.5)).toBe(20_500);
});

describe('back-off', () => {
  test('is always within its two bounds', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000_000 }), unit, (attempt, u) => {
        const ms = reconnectDelayMs(attempt, u);
        expect(Number.isInteger(ms)).toBe(true);
        expect(ms).toBeGreaterThanOrEqual(RECONNECT_MS_MIN);
        expect(ms).toBeLessThanOrEqual(RECONNECT_MS_MAX);
      }),
    );
  });

  test('grows with the tries, and is spread over its whole range', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), unit, (attempt, u) => {
        expect(reconnectDelayMs(attempt + 1, u)).toBeGreaterThanOrEqual(reconnectDelayMs(attempt, u));
      }),
    );
    expect(reconnectDelayMs(50, 0)).toBe(RECONNECT_MS_MIN);
    expect(reconnectDelayMs(50, 1 - 1e-9)).toBeGreaterThan(RECONNECT_MS_MAX - 10);
  });
});
