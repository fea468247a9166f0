// The intent to let a held identity in again: proven like any other, by what can prove it, and good for nothing else.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { AGENT, Desk, refusal } from './desk.ts';

let desk: Desk;
beforeEach(async () => {
  desk = await Desk.open();
});
afterEach(() => desk.end());

const release = (operator: string) => desk.ask('release.build', { project: 'default', agent: AGENT, operator });

test('does not offer a code by mail, and counts none that is asked for all the same', async () => {
  await desk.admin('operator.add', { name: 'ada', email: 'ada@example.org' });
  const sign = await desk.key('ada');
  const built = await release('ada');
  expect(built.methods).toEqual(['key']);
  expect(await refusal(desk.mail(built as never))).toBe('FACTOR_NOT_ALLOWED');
  expect([desk.letters.length, desk.audit('factor.mailed').length]).toEqual([0, 0]);
  expect(await desk.prove(built as never, await sign(built.intent_hash))).toMatchObject({ complete: true });
});

test('is proven by its own operator alone', async () => {
  await desk.key('ada');
  const other = await desk.key('bob');
  const built = await release('ada');
  expect(await refusal(desk.prove(built as never, await other(built.intent_hash), 'bob'))).toBe('AUTHZ_INVALID');
});
