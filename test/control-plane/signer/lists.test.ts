// One proof for many machines: the signer writes the list into the bytes that are proven, and signs for each machine of it, by its
// place, what it would sign for one alone, and for no other.

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Command } from '../../../protocol/command.ts';
import { type CancelIntent, type ResetIntent, readIntent } from '../../../protocol/intent.ts';
import { type SigningKey, signingKeyFromSeed } from '../../../protocol/keys.ts';
import { TARGETS_MAX } from '../../../protocol/limits.ts';
import { newId } from '../../../protocol/schema.ts';
import { payloadOf } from '../../../protocol/token.ts';
import { AGENT, type Built, Desk, enrolled, kernel, refusal } from './desk.ts';

const OTHER = newId('agt', kernel);
const STRANGER = newId('agt', kernel);
let desk: Desk;
let ek: SigningKey;
let key: (hash: string) => Promise<Parameters<Desk['prove']>[1]>;
beforeAll(async () => {
  desk = await Desk.open();
  ek = await signingKeyFromSeed(kernel(32));
  await desk.ask('audit.take', { items: [await enrolled(ek, OTHER), await enrolled(ek, STRANGER)] });
  key = await desk.key();
});
afterAll(() => desk.end());

async function proven(targets = [AGENT, OTHER]): Promise<Built> {
  const built = await desk.buildList(targets);
  await desk.prove(built, await key(built.intent_hash));
  return built;
}
const commandOf = ({ token }: { token: string }) => payloadOf(token) as unknown as Command;

test('the list is in the bytes that are proven, as it was asked for', async () => {
  const intent = readIntent((await desk.buildList([OTHER, AGENT])).intent) as ResetIntent;
  expect(intent).toMatchObject({ act: 'reset', targets: [OTHER, AGENT], operator: 'ada' });
  expect(intent.agent).toBeUndefined();
});

test('what names no machine, one of them twice, too many, or a list beside one is not written', async () => {
  expect(await refusal(desk.buildList([]))).toBe('REQUEST_INVALID');
  expect(await refusal(desk.buildList([AGENT, AGENT]))).toBe('SCHEMA_INVALID');
  const many = Array.from({ length: TARGETS_MAX + 1 }, () => newId('agt', kernel));
  expect(await refusal(desk.buildList(many))).toBe('REQUEST_INVALID');
  expect((await desk.buildList(many.slice(1))).intent_hash).toMatch(/^[\w-]{43}$/);
});

test('each machine’s command names the proven bytes by their hash, and its own place', async () => {
  const built = await proven();
  const commands = [await desk.mintFor(built, AGENT, desk.ek, 0), await desk.mintFor(built, OTHER, ek, 1)].map(
    commandOf,
  );
  expect(commands).toMatchObject([
    { aud: AGENT, index: 0, intent_sha256: built.intent_hash, op: built.op },
    { aud: OTHER, index: 1, intent_sha256: built.intent_hash, op: built.op },
  ]);
  for (const { intent, authz } of commands) {
    expect(intent).toBeUndefined();
    expect(authz).toMatchObject({ operator: 'ada', method: 'key' });
  }
});

test('before the proof, for another place, without one, and for a machine that is not in the list nothing is signed', async () => {
  const unproven = await desk.buildList([AGENT, OTHER]);
  expect(await refusal(desk.mintFor(unproven, AGENT, desk.ek, 0))).toBe('AUTHZ_INVALID');
  const built = await proven();
  for (const [agent, by, index] of [
    [AGENT, desk.ek, 1],
    [OTHER, ek, 0],
    [AGENT, desk.ek, undefined],
    [AGENT, desk.ek, 2],
    [STRANGER, ek, 0],
    [STRANGER, ek, 1],
  ] as const) {
    expect(await refusal(desk.mintFor(built, agent, by, index)), `${agent} ${index}`).not.toBeNull();
  }
  const one = await desk.build();
  await desk.prove(one, await key(one.intent_hash));
  expect(await refusal(desk.mintFor(one, AGENT, desk.ek, 0))).toBe('AUTHZ_INVALID');
});

test('one proof is one submission: it is not taken twice, and the bytes do not change after it', async () => {
  const built = await proven();
  expect(await refusal(desk.prove(built, await key(built.intent_hash)))).toBe('STATE_CONFLICT');
  expect(await refusal(desk.buildList([AGENT, OTHER, STRANGER], 'ada', built.op))).toBe('STATE_CONFLICT');
});

test('a cancel is for the machine that is named, and that was commanded', async () => {
  const built = await proven();
  await desk.mintFor(built, OTHER, ek, 1);
  const asked = { op: built.op, operator: 'eve' };
  expect(await refusal(desk.ask('cancel.mint', { ...asked, agent: AGENT }))).toBe('STATE_CONFLICT');
  expect(await refusal(desk.ask('cancel.mint', asked))).toBe('STATE_CONFLICT');
  const { token } = await desk.ask('cancel.mint', { ...asked, agent: OTHER });
  const { aud, intent = '' } = commandOf({ token });
  expect([aud, (readIntent(intent) as CancelIntent).agent]).toEqual([OTHER, OTHER]);
});

test('a letter says how many machines there are, and which', async () => {
  await desk.admin('operator.add', { name: 'ada', email: 'ada@example.org' });
  const { op, intent_hash } = await desk.buildList([AGENT, OTHER]);
  await desk.ask('factor.email', { op, intent_hash, operator: 'ada' });
  const letter = desk.letters.at(-1);
  expect(letter?.subject).toBe('Latchkey: code to reset 2 machines');
  expect(letter?.text).toContain(`Machines: agents ${AGENT}, ${OTHER}`);
});
