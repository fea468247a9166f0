// The audit in pages: all of it once, in either direction, and only what was asked for.

import { afterEach, beforeEach, expect, test } from 'vitest';
import type { AdminMethods, Params } from '../../../control-plane/signer/requests.ts';
import { Desk, refusal } from './desk.ts';

let desk: Desk;
beforeEach(async () => {
  desk = await Desk.open();
});
afterEach(() => desk.end());

type Asked = Params<AdminMethods, 'audit.rows'>;
const pages = async (asked: Asked, on: 'after' | 'before'): Promise<number[]> => {
  const found: number[] = [];
  for (let next: number | null = asked[on] ?? 0; next !== null; ) {
    const page: Awaited<ReturnType<typeof one>> = await one({ ...asked, [on]: next });
    found.push(...page.rows.map(({ n }) => n));
    next = page.next;
  }
  return found;
};
const one = (asked: Asked) => desk.admin('audit.rows', asked);

test('pages in either direction hold each row once', async () => {
  for (let count = 0; count < 9; count += 1) await desk.build();
  const all = desk.ledger.auditRows().map(({ n }) => n);
  expect(all).toHaveLength(11);
  for (const limit of [1, 3, 10, 11, 12]) {
    expect(await pages({ limit, after: 0 }, 'after')).toEqual(all);
    expect(await pages({ limit, before: 12 }, 'before')).toEqual(all.toReversed());
  }
});

test('a filter leaves what it names, and each of them counts', async () => {
  const { op } = await desk.build();
  await desk.build('bob');
  desk.nowMs += 3_600_000;
  await desk.build('bob');
  const numbers = async (asked: Partial<Asked>) => (await one({ limit: 50, ...asked })).rows.map(({ n }) => n);
  expect(await numbers({ kind: 'intent.built' })).toEqual([5, 4, 3]);
  expect(await numbers({ op })).toEqual([3]);
  expect(await numbers({ operator: 'bob' })).toEqual([5, 4]);
  const later = Math.floor(desk.nowMs / 1000);
  expect(await numbers({ since: later })).toEqual([5]);
  expect(await numbers({ until: later - 1, operator: 'bob' })).toEqual([4]);
  expect(await numbers({ before: 4, after: 2 })).toEqual([3]);
});

test('a page of long rows ends early, and says where to go on', async () => {
  const data = { text: 'x'.repeat(200_000) };
  for (let count = 0; count < 4; count += 1) {
    desk.ledger.transaction(() => desk.ledger.audit({ at: 1, kind: 'policy.set', data }));
  }
  const { rows, next } = await one({ limit: 50, after: 2 });
  expect([rows.map(({ n }) => n), next]).toEqual([[3, 4], 4]);
  expect(await pages({ limit: 50, after: 0 }, 'after')).toEqual([1, 2, 3, 4, 5, 6]);
});

test('an audit is for the host alone', async () => {
  expect(await refusal(desk.ask('audit.rows' as never, { limit: 1 } as never))).not.toBeNull();
  expect(await refusal(desk.ask('audit.end' as never, {} as never))).not.toBeNull();
});
