// What becomes of a webhook's message after each attempt.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { afterAttempt, isSubscribable, PACE, wants } from '../../../control-plane/core/webhook.ts';

const failure = { status: 500, error: 'STATUS' };
const chance = fc.double({ min: 0, max: 1, noNaN: true });

describe('a message', () => {
  test('that was taken is delivered, at whichever attempt', () =>
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), chance, (attempts, drawn) => {
        expect(afterAttempt({ status: 204, error: null }, attempts, drawn).state).toBe('delivered');
      }),
    ));

  test('that was not is tried again until its last attempt, and is dead then', () => {
    const states = Array.from({ length: PACE.attemptsMax }, (_, n) => afterAttempt(failure, n + 1, 0.5).state);
    expect(states).toEqual([...Array(PACE.attemptsMax - 1).fill('pending'), 'dead']);
  });

  test('waits four times as long each time, at least half of that, and never longer than half a day', () =>
    fc.assert(
      fc.property(fc.integer({ min: 1, max: PACE.attemptsMax - 1 }), chance, (attempts, drawn) => {
        const longest = Math.min(43_200_000, 5_000 * 4 ** (attempts - 1));
        const { delayMs } = afterAttempt(failure, attempts, drawn);
        expect(delayMs).toBeGreaterThanOrEqual(Math.floor(longest / 2));
        expect(delayMs).toBeLessThanOrEqual(longest);
      }),
    ));

  test('waits by chance, so that those that failed together come apart', () => {
    expect(afterAttempt(failure, 3, 0).delayMs).toBe(40_000);
    expect(afterAttempt(failure, 3, 1).delayMs).toBe(80_000);
  });

  test('to a receiver that says it is gone is dead at once', () => {
    expect(afterAttempt({ status: 410, error: 'STATUS' }, 1, 0)).toEqual({ state: 'dead', delayMs: 0 });
  });
});

describe('a subscription', () => {
  test.each([
    [['*'], 'vm.online', true],
    [['vm.*'], 'vm.online', true],
    [['vm.online'], 'vm.online', true],
    [['operation.*', 'vm.flag'], 'vm.online', false],
    [['vm.*'], 'vmx.online', false],
    [['vm.on'], 'vm.online', false],
    [[], 'vm.online', false],
  ])('to %j of %s: %s', (patterns, type, wanted) => expect(wants(patterns, type)).toBe(wanted));

  test('to what never happens is none', () => {
    expect(isSubscribable('vm.*', ['vm.online'])).toBe(true);
    for (const pattern of ['vm', 'vm.onlin', 'operation.*', '', '**', '.*']) {
      expect(isSubscribable(pattern, ['vm.online']), pattern).toBe(false);
    }
  });
});
