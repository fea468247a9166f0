// The intent to let a held identity in again: proven like any other, by what can prove it and by as many as the policy wants,
// and good for nothing else.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { sampleRoot } from '../../protocol/samples.ts';
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
  const before = desk.letters.length;
  expect(built.methods).toEqual(['key']);
  expect(await refusal(desk.mail(built))).toBe('FACTOR_NOT_ALLOWED');
  expect([desk.letters.length, desk.audit('factor.mailed').length]).toEqual([before, 0]);
  expect(await desk.prove(built, await sign(built.intent_hash))).toMatchObject({ complete: true });
});

test('is proven by two people where the policy wants them, each with a factor of their own', async () => {
  const [adas, bobs] = [await desk.key('ada'), await desk.key('bob')];
  await desk.admin('policy.set', { second_person: true });
  const built = await release('ada');
  expect(built.awaits).toBe('first');
  expect(await desk.prove(built, await adas(built.intent_hash))).toMatchObject({ complete: false });
  // Whoever asked cannot be the second one: they are given an intent of their own.
  expect(await release('ada')).toMatchObject({ awaits: 'first', op: expect.not.stringContaining(built.op) });
  expect(await refusal(desk.prove(built, await adas(built.intent_hash)))).toBe('AUTHZ_INVALID');
  const shown = await release('bob');
  expect(shown).toMatchObject({ op: built.op, intent: built.intent, awaits: 'second', methods: ['key'] });
  expect(await desk.prove(shown, await bobs(shown.intent_hash), 'bob')).toMatchObject({ complete: true });
  expect(await release('bob')).toMatchObject({ awaits: 'first' });
});

test('that nobody proved, or that has ended, is not shown to a second person', async () => {
  const adas = await desk.key('ada');
  await desk.admin('policy.set', { second_person: true });
  const unproven = await release('ada');
  expect((await release('bob')).op).not.toBe(unproven.op);
  await desk.prove(unproven, await adas(unproven.intent_hash));
  desk.nowMs += 901_000;
  expect((await release('bob')).op).not.toBe(unproven.op);
});

test('is proven by its own operator alone', async () => {
  await desk.key('ada');
  const other = await desk.key('bob');
  const built = await release('ada');
  expect(await refusal(desk.prove(built, await other(built.intent_hash), 'bob'))).toBe('AUTHZ_INVALID');
});

test('is no command, proven as it is', async () => {
  const sign = await desk.key('ada');
  const built = await release('ada');
  await desk.prove(built, await sign(built.intent_hash));
  await expect(desk.mint(built)).rejects.toMatchObject({ code: 'AUTHZ_INVALID', details: { reason: 'act' } });
  expect(desk.audit('command.signed')).toEqual([]);
});

test('nothing is signed under a root past its end, proven as it is', async () => {
  const sign = await desk.key('ada');
  const built = await desk.build();
  await desk.prove(built, await sign(built.intent_hash));
  desk.root = sampleRoot({ expires: Math.floor(desk.nowMs / 1000) });
  expect(await refusal(desk.mint(built))).toBe('ROOT_EXPIRED');
  desk.root = undefined;
  expect(await refusal(desk.mint(built))).toBeNull();
});
