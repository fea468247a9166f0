// What the signer allows, whoever asks: the methods of its policy, a second person where policy wants one, and where machines
// check proofs themselves, only what they can check.

import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { pathsIn } from '../../../control-plane/config/paths.ts';
import { SignerLedger } from '../../../control-plane/signer/ledger.ts';
import type { Proof } from '../../../control-plane/signer/requests.ts';
import type { RootPayload } from '../../../protocol/root.ts';
import { sampleRoot } from '../../protocol/samples.ts';
import { Desk, enrolled, PLACE, refusal } from './desk.ts';

let desk: Desk;
beforeEach(async () => {
  desk = await Desk.open();
});
afterEach(() => desk.end());

const assertion = (passkey: Awaited<ReturnType<Desk['passkey']>>, challenge: string): Proof => ({
  method: 'passkey',
  response: passkey.assert(challenge),
});

describe('the methods of a policy', () => {
  test('are the only ones that prove anything, whatever a client prefers', async () => {
    const totp = await desk.totp();
    const passkey = await desk.passkey();
    await desk.admin('operator.add', { name: 'ada', email: 'ada@example.org' });
    const { recovery_codes } = await desk.admin('operator.add', { name: 'ada', recovery: true });
    await desk.admin('policy.set', { methods: ['passkey', 'key'] });
    const built = await desk.build();
    expect(built.methods).toEqual(['passkey']);
    expect(await refusal(desk.prove(built, totp()))).toBe('FACTOR_NOT_ALLOWED');
    expect(await refusal(desk.mail(built))).toBe('FACTOR_NOT_ALLOWED');
    expect(await refusal(desk.prove(built, { method: 'email', code: '12345678' }))).toBe('FACTOR_NOT_ALLOWED');
    const recovery: Proof = { method: 'recovery', code: recovery_codes[0] ?? '' };
    expect(await refusal(desk.prove(built, recovery))).toBe('FACTOR_NOT_ALLOWED');
    expect(desk.audit('factor.not_allowed').map(({ method }) => method)).toEqual([
      'totp',
      'email',
      'email',
      'recovery',
    ]);
    // What was refused for its kind was neither tried nor burnt.
    expect(await refusal(desk.prove(built, assertion(passkey, built.intent_hash)))).toBeNull();
    await desk.admin('policy.set', { methods: ['recovery'] });
    expect(await refusal(desk.prove(await desk.build(), recovery))).toBeNull();
  });

  test('count from when they are set, also for an intent that was built before', async () => {
    const totp = await desk.totp();
    const built = await desk.build();
    expect(built.methods).toEqual(['totp']);
    await desk.admin('policy.set', { methods: ['passkey'] });
    expect(await refusal(desk.prove(built, totp()))).toBe('FACTOR_NOT_ALLOWED');
  });

  test('are set on the host alone, written into the audit, and never none', async () => {
    expect(await desk.admin('policy.get', {})).toEqual({
      methods: ['totp', 'email', 'passkey', 'key', 'recovery'],
      second_person: false,
    });
    expect(await refusal(desk.admin('policy.set', { methods: [] }))).toBe('REQUEST_INVALID');
    expect(await refusal(desk.ask('policy.set' as never, { methods: ['totp'] } as never))).not.toBeNull();
    await desk.admin('policy.set', { second_person: true });
    expect(desk.audit('policy.set')).toMatchObject([{ second_person: true }]);
    await desk.stop();
    await desk.start();
    expect((await desk.admin('policy.get', {})).second_person).toBe(true);
  });
});

describe('a second person', () => {
  let adas: Awaited<ReturnType<Desk['key']>>;
  let bobs: Awaited<ReturnType<Desk['key']>>;
  beforeEach(async () => {
    adas = await desk.key('ada');
    bobs = await desk.key('bob');
    await desk.admin('policy.set', { second_person: true });
  });

  test('proves the same intent with a factor of their own before anything is signed', async () => {
    const built = await desk.build();
    const first = await desk.prove(built, await adas(built.intent_hash));
    expect(first.complete).toBe(false);
    expect(await refusal(desk.mint(built))).toBe('AUTHZ_INVALID');
    expect(await desk.ask('intent.show', { op: built.op, operator: 'bob' })).toMatchObject({
      intent: built.intent,
      awaits: 'second',
      methods: ['key'],
    });
    const second = await desk.prove(built, await bobs(built.intent_hash), 'bob');
    expect(second.complete).toBe(true);
    expect(await refusal(desk.mint(built))).toBeNull();
    expect(desk.audit('intent.seconded')).toMatchObject([
      { operator: 'bob', op: built.op, hash: built.intent_hash, method: 'key' },
    ]);
  });

  test('is not the first one again, nor anyone before them, nor a third', async () => {
    const built = await desk.build();
    expect(await refusal(desk.prove(built, await bobs(built.intent_hash), 'bob'))).toBe('AUTHZ_INVALID');
    await desk.prove(built, await adas(built.intent_hash));
    expect(await refusal(desk.prove(built, await adas(built.intent_hash)))).toBe('AUTHZ_INVALID');
    expect((await desk.ask('intent.show', { op: built.op, operator: 'ada' })).methods).toEqual([]);
    await desk.prove(built, await bobs(built.intent_hash), 'bob');
    expect(await refusal(desk.prove(built, await bobs(built.intent_hash), 'bob'))).toBe('STATE_CONFLICT');
    expect(await refusal(desk.prove(built, { method: 'totp', code: '000000' }, 'eve'))).toBe('AUTHZ_INVALID');
  });

  test('who proves another intent voids the operation, and so do five wrong codes of both', async () => {
    const [one, two] = [await desk.build(), await desk.build()];
    await desk.prove(one, await adas(one.intent_hash));
    expect(await refusal(desk.prove(one, await bobs(two.intent_hash), 'bob'))).toBe('AUTHZ_INVALID');
    expect(await refusal(desk.prove(one, await bobs(one.intent_hash), 'bob'))).toBe('AUTHZ_INVALID');
    const totp = await desk.totp('bob');
    const wrong = () => totp(desk.nowMs + 7_200_000);
    await desk.prove(two, await adas(two.intent_hash));
    for (let n = 0; n < 5; n += 1) {
      desk.nowMs += 30_000;
      expect(await refusal(desk.prove(two, wrong(), 'bob'))).toBe('FACTOR_REFUSED');
    }
    expect(await refusal(desk.prove(two, await bobs(two.intent_hash), 'bob'))).toBe('FACTOR_LOCKED');
    expect(await refusal(desk.mint(two))).toBe('AUTHZ_INVALID');
  });

  test('is asked of what was built under the policy, also when it changes in between', async () => {
    const built = await desk.build();
    await desk.admin('policy.set', { second_person: false });
    await desk.prove(built, await adas(built.intent_hash));
    expect(await refusal(desk.mint(built))).toBe('AUTHZ_INVALID');
  });

  test('is asked of what was built before the policy, and not of what was proven before it', async () => {
    await desk.admin('policy.set', { second_person: false });
    const [early, proven] = [await desk.build(), await desk.build()];
    await desk.prove(proven, await adas(proven.intent_hash));
    await desk.admin('policy.set', { second_person: true });
    expect((await desk.prove(early, await adas(early.intent_hash))).complete).toBe(false);
    expect(await refusal(desk.mint(early))).toBe('AUTHZ_INVALID');
    expect(await refusal(desk.mint(proven))).toBeNull();
  });
});

describe('machines that check proofs themselves', () => {
  const strict = (operators: RootPayload['roles']['operators'] = {}) =>
    sampleRoot({
      roles: { ...sampleRoot().roles, operators },
      policy: { ...sampleRoot().policy, require_operator_proof: true },
    });

  test('are sent nothing that they would refuse: only what the root names proves an intent', async () => {
    const totp = await desk.totp();
    const key = await desk.key();
    const passkey = await desk.passkey();
    const { operators } = await desk.admin('operator.keys', {});
    expect(operators['ada']?.passkeys).toEqual([
      { x: passkey.x, y: passkey.y, rp_id: PLACE.rpId, origin: PLACE.origin },
    ]);
    desk.root = strict(operators);
    expect((await desk.build()).methods).toEqual(['key', 'passkey']);
    const built = await desk.build();
    expect(await refusal(desk.prove(built, totp()))).toBe('FACTOR_NOT_ALLOWED');
    expect(await refusal(desk.prove(built, await key(built.intent_hash)))).toBeNull();
    // One that was registered since the root was published is not known to machines yet.
    const newer = await desk.passkey();
    const late = await desk.build();
    const tried = desk.prove(late, assertion(newer, late.intent_hash));
    expect(await refusal(tried)).toBe('AUTHZ_INVALID');
    const newerKey = await desk.key();
    const later = await desk.build();
    expect(await refusal(desk.prove(later, await newerKey(later.intent_hash)))).toBe('AUTHZ_INVALID');
    desk.root = strict();
    expect((await desk.build()).methods).toEqual([]);
    expect(await refusal(desk.prove(await desk.build(), assertion(passkey, built.intent_hash)))).toBe(
      'FACTOR_NOT_ALLOWED',
    );
  });
});

describe('recovering an operator', () => {
  test('replaces every factor, voids what still waits, and is an alarm to the address before', async () => {
    const totp = await desk.totp();
    const key = await desk.key();
    await desk.admin('operator.add', { name: 'ada', email: 'ada@example.org' });
    const waiting = await desk.build();
    await desk.prove(waiting, await key(waiting.intent_hash));
    const { totp_uri, recovery_codes } = await desk.admin('operator.recover', { name: 'ada' });
    expect(new URL(totp_uri).searchParams.get('secret')).toMatch(/^[A-Z2-7]{32}$/);
    expect(await refusal(desk.mint(waiting))).toBe('AUTHZ_INVALID');
    const built = await desk.build();
    expect(built.methods.toSorted()).toEqual(['recovery', 'totp']);
    expect(await refusal(desk.prove(built, await key(built.intent_hash)))).toBe('FACTOR_UNKNOWN');
    expect(await refusal(desk.prove(built, totp()))).toBe('FACTOR_REFUSED');
    expect(await refusal(desk.prove(built, { method: 'recovery', code: recovery_codes[0] ?? '' }))).toBeNull();
    expect(desk.audit('operator.recovered')).toMatchObject([{ operator: 'ada' }]);
    expect(desk.letters).toMatchObject([{ to: 'ada@example.org', text: expect.stringContaining('were replaced') }]);
    const { alarms } = await desk.ask('alarms', { after: 0 });
    expect(alarms.map(({ kind }) => kind)).toEqual(['operator.recovered', 'recovery.used']);
  });

  test('unlocks one who had a hundred wrong codes in a row', async () => {
    const totp = await desk.totp();
    desk.ledger.run("INSERT INTO failures (operator, consecutive) VALUES ('ada', 99)");
    expect(await refusal(desk.prove(await desk.build(), totp(desk.nowMs + 7_200_000)))).toBe('FACTOR_REFUSED');
    expect(await refusal(desk.prove(await desk.build(), totp()))).toBe('FACTOR_LOCKED');
    expect(desk.audit('factor.locked')).toHaveLength(1);
    const [code = ''] = (await desk.admin('operator.recover', { name: 'ada' })).recovery_codes;
    expect(await refusal(desk.prove(await desk.build(), { method: 'recovery', code }))).toBeNull();
  });

  test('of somebody unknown is refused', async () => {
    expect(await refusal(desk.admin('operator.recover', { name: 'eve' }))).toBe('FACTOR_UNKNOWN');
    expect((await desk.ask('alarms', { after: 0 })).alarms).toEqual([]);
  });
});

test('a ledger of the first version keeps its factors, and what was proven stays so', async () => {
  const key = await desk.key();
  const built = await desk.build();
  await desk.prove(built, await key(built.intent_hash));
  await desk.stop();
  const db = new DatabaseSync(pathsIn(desk.data).signerDatabase);
  // As that version made it.
  for (const column of ['void', 'two_people', 'second_operator', 'second_method', 'second_at']) {
    db.exec(`ALTER TABLE intents DROP COLUMN ${column}`);
  }
  db.exec('ALTER TABLE failures DROP COLUMN last_at; DROP INDEX audit_by_kind; DROP INDEX audit_by_op');
  db.exec('ALTER TABLE audit DROP COLUMN sig; ALTER TABLE minted DROP COLUMN agent');
  for (const table of ['mail_codes', 'mails', 'enrolments', 'settings', 'uses', 'machines', 'receipts'])
    db.exec(`DROP TABLE ${table}`);
  db.exec('PRAGMA user_version = 1');
  db.close();
  SignerLedger.open(pathsIn(desk.data).signerDatabase).close();
  await desk.start();
  await desk.ask('audit.take', { items: [await enrolled(desk.ek)] });
  expect(await refusal(desk.mint(built))).toBeNull();
  const next = await desk.build();
  expect(await refusal(desk.prove(next, await key(next.intent_hash)))).toBeNull();
});
