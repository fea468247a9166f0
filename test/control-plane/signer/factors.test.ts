// Every way to prove an intent, over the signer's own sockets: each counts for exactly one intent, once, and for nobody else.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MAILS_PER_OPERATION_MAX } from '../../../control-plane/signer/challenges.ts';
import { backoffS } from '../../../control-plane/signer/proofs.ts';
import type { Proof } from '../../../control-plane/signer/requests.ts';
import { command as commandSchema } from '../../../protocol/command.ts';
import { passkeyThumbprint } from '../../../protocol/keys.ts';
import { parseSchema } from '../../../protocol/schema.ts';
import { payloadOf } from '../../../protocol/token.ts';
import { type Lie, SoftwarePasskey } from '../../protocol/software-passkey.ts';
import { AGENT, type Built, Desk, PLACE, refusal } from './desk.ts';

let desk: Desk;
beforeEach(async () => {
  desk = await Desk.open();
});
afterEach(() => desk.end());

const assertion = (passkey: SoftwarePasskey, challenge: string, lie: Lie = {}): Proof => ({
  method: 'passkey',
  response: passkey.assert(challenge, lie),
});

/** The proof is refused, and with it the operation is over, also for a right one. */
async function voids(built: Built, proof: Proof, right: () => Proof | Promise<Proof>): Promise<void> {
  const tried = desk.prove(built, proof);
  await expect(tried).rejects.toMatchObject({ code: 'AUTHZ_INVALID', details: { void: true } });
  expect(await refusal(desk.prove(built, await right()))).toBe('AUTHZ_INVALID');
  expect(await refusal(desk.mint(built))).toBe('AUTHZ_INVALID');
  expect(await refusal(desk.build('ada', built.op))).toBe('AUTHZ_INVALID');
}

describe('a code by mail', () => {
  beforeEach(() => desk.admin('operator.add', { name: 'ada', email: 'ada@example.org' }));

  test('proves the intent for which it was asked, once, and says in the letter what that is', async () => {
    const built = await desk.build();
    expect(built.methods).toEqual(['email']);
    const { sent_to, expires_at } = await desk.mail(built);
    expect(sent_to).toBe('a***@example.org');
    expect(expires_at).toBe(Math.floor(desk.nowMs / 1000) + 600);
    const [letter] = desk.letters;
    expect(letter?.to).toBe('ada@example.org');
    for (const said of ['web-1', AGENT, built.op, 'ada resets the password of ops'])
      expect(letter?.text).toContain(said);
    const proof = desk.mailed();
    expect(await desk.prove(built, proof)).toMatchObject({ method: 'email', complete: true });
    expect(await refusal(desk.mint(built))).toBeNull();
    expect(desk.ledger.rows('SELECT * FROM mail_codes')).toEqual([]);
    // Neither the code nor anything from which it could be guessed is in the log.
    expect(desk.logged.join()).not.toContain(proof.method === 'email' ? proof.code : '');
  });

  test('for operation A does not prove operation B, and voids it', async () => {
    const [a, b] = [await desk.build(), await desk.build()];
    await desk.mail(a);
    await voids(b, desk.mailed(), async () => {
      await desk.mail(await desk.build());
      return desk.mailed();
    });
    expect(await refusal(desk.prove(a, { method: 'email', code: '00000000' }))).toBe('FACTOR_REFUSED');
  });

  test('for an intent that was changed afterwards voids the operation', async () => {
    const before = await desk.build();
    await desk.mail(before);
    const after = await desk.build('ada', before.op);
    await voids(after, desk.mailed(), () => desk.mailed());
  });

  test('is dead when a newer one was sent, and after ten minutes', async () => {
    const built = await desk.build();
    await desk.mail(built);
    const first = desk.mailed();
    await desk.mail(built);
    expect(await refusal(desk.prove(built, first))).toBe('FACTOR_REFUSED');
    desk.nowMs += 601_000;
    const late = desk.prove(built, desk.mailed());
    await expect(late).rejects.toMatchObject({ code: 'FACTOR_REFUSED', details: { reason: 'expired', left: 3 } });
  });

  test('is mailed three times for an operation, and ten times an hour', async () => {
    const built = await desk.build();
    for (let n = 0; n < MAILS_PER_OPERATION_MAX; n += 1) await desk.mail(built);
    expect(await refusal(desk.mail(built))).toBe('RATE_LIMITED');
    for (let n = 0; n < 7; n += 1) await desk.mail(await desk.build());
    expect(await refusal(desk.mail(await desk.build()))).toBe('RATE_LIMITED');
    desk.nowMs += 3_601_000;
    expect(await refusal(desk.mail(await desk.build()))).toBeNull();
  });

  test('and what else has ended is forgotten once nothing asks for it any more', async () => {
    const rows = () =>
      ['mails', 'mail_codes', 'enrolments'].map((name) => desk.ledger.rows(`SELECT * FROM ${name}`).length);
    await desk.admin('operator.add', { name: 'ada', passkey: true });
    await desk.mail(await desk.build());
    expect(rows()).toEqual([1, 1, 1]);
    desk.nowMs += 86_400_000;
    await desk.mail(await desk.build());
    // Of an intent that may live for a day the letters still count.
    expect(rows()).toEqual([2, 1, 0]);
    desk.nowMs += 2 * 86_400_000;
    await desk.admin('operator.add', { name: 'ada', passkey: true });
    expect(rows()).toEqual([0, 0, 1]);
  });

  test('goes to one operator a mailbox: two people with the same one would be one', async () => {
    const asked = desk.admin('operator.add', { name: 'bob', email: 'Ada@Example.org' });
    await expect(asked).rejects.toMatchObject({ code: 'REQUEST_INVALID', details: { reason: 'mailbox_of_another' } });
    expect((await desk.admin('operator.list', {})).operators.map(({ name }) => name)).toEqual(['ada']);
    expect(await refusal(desk.admin('operator.add', { name: 'bob', email: 'bob@example.org' }))).toBeNull();
  });

  test('proves nothing once its address was replaced', async () => {
    const built = await desk.build();
    await desk.mail(built);
    const code = desk.mailed();
    await desk.admin('factor.remove', { name: 'ada', kind: 'email' });
    await desk.admin('operator.add', { name: 'ada', email: 'new@example.org' });
    expect(await refusal(desk.prove(built, code))).toBe('AUTHZ_INVALID');
  });

  test('is mailed for nobody else’s intent, and not where no mail is set up', async () => {
    await desk.admin('operator.add', { name: 'eve', email: 'eve@example.org' });
    const built = await desk.build();
    expect(await refusal(desk.mail(built, 'eve'))).toBe('AUTHZ_INVALID');
    expect(desk.letters).toEqual([]);
    await desk.stop();
    desk.mailer = null;
    await desk.start();
    expect(await refusal(desk.mail(built))).toBe('MAIL_UNAVAILABLE');
  });
});

describe('a passkey', () => {
  let passkey: SoftwarePasskey;
  beforeEach(async () => {
    passkey = await desk.passkey();
  });

  test('proves the intent whose hash it was challenged with, and the command carries its proof', async () => {
    const built = await desk.build();
    const { options } = await desk.ask('factor.passkey', { ...onIntent(built), operator: 'ada' });
    expect(options).toMatchObject({ challenge: built.intent_hash, rpId: PLACE.rpId, userVerification: 'required' });
    expect(options['allowCredentials']).toMatchObject([{ id: passkey.id }]);
    expect(await desk.prove(built, assertion(passkey, String(options['challenge'])))).toMatchObject({ complete: true });
    const command = parseSchema(commandSchema, payloadOf((await desk.mint(built)).token));
    const kid = await passkeyThumbprint(passkey);
    expect(command.authz).toMatchObject({ operator: 'ada', method: 'passkey', proof: { kid } });
  });

  test.each<[string, Lie]>([
    ['for another challenge', { challenge: 'A'.repeat(43) }],
    ['at another origin', { origin: 'https://evil.example' }],
    ['at an origin that begins alike', { origin: `${PLACE.origin}.evil.example` }],
    ['for another relying party', { rpId: 'evil.example' }],
    ['without the user being verified', { flags: 0x01 }],
    ['without the user being present', { flags: 0x04 }],
    ['of a registration', { type: 'webauthn.create' }],
    ['from inside another page', { crossOrigin: true }],
    ['with a counter that went back', { counter: 0 }],
  ])('%s is AUTHZ_INVALID and void', async (_, lie) => {
    const first = await desk.build();
    await desk.prove(first, assertion(passkey, first.intent_hash, { counter: 9 }));
    const built = await desk.build();
    const right = () => assertion(passkey, built.intent_hash, { counter: 10 });
    await voids(built, assertion(passkey, built.intent_hash, { counter: 10, ...lie }), right);
  });

  test('127 of another operator is AUTHZ_INVALID and void', async () => {
    const eves = await desk.passkey('eve');
    const built = await desk.build();
    await voids(built, assertion(eves, built.intent_hash), () => assertion(passkey, built.intent_hash));
    const forged = await desk.build();
    const { response } = assertion(eves, forged.intent_hash) as Extract<Proof, { method: 'passkey' }>;
    const renamed = { ...response, id: passkey.id, rawId: passkey.id };
    await voids(forged, { method: 'passkey', response: renamed }, () => assertion(passkey, forged.intent_hash));
  });

  test('replayed is AUTHZ_INVALID for another operation, and accepted once for its own', async () => {
    const first = await desk.build();
    const proof = assertion(passkey, first.intent_hash);
    await desk.prove(first, proof);
    expect(await refusal(desk.prove(first, proof))).toBe('STATE_CONFLICT');
    const second = await desk.build();
    await voids(second, proof, () => assertion(passkey, second.intent_hash));
  });

  test('is registered with an invitation of that operator, once, within a quarter of an hour', async () => {
    const invited = async () =>
      (await desk.admin('operator.add', { name: 'bob', passkey: true })).passkey_invitation ?? '';
    const register = async (invitation: string, operator = 'bob', lie: Lie = {}) => {
      const { options } = await desk.ask('passkey.options', { operator, invitation });
      const response = new SoftwarePasskey(PLACE).register(String(options['challenge']), lie);
      return desk.ask('passkey.register', { operator, invitation, response });
    };
    const invitation = await invited();
    expect(await refusal(register(invitation, 'eve'))).toBe('AUTHZ_INVALID');
    for (const lie of [
      { origin: 'https://evil.example' },
      { rpId: 'evil.example' },
      { challenge: 'AAAA' },
      { flags: 0x41 },
    ]) {
      expect(await refusal(register(invitation, 'bob', lie)), JSON.stringify(lie)).toBe('AUTHZ_INVALID');
    }
    expect(await refusal(register(invitation))).toBeNull();
    expect(await refusal(register(invitation))).toBe('AUTHZ_INVALID');
    const late = await invited();
    desk.nowMs += 901_000;
    expect(await refusal(register(late))).toBe('AUTHZ_INVALID');
  });

  test.each([null, 'http://10.0.0.1:8420', 'http://console.example', 'http://[::1]:8420'])(
    'cannot live at %s',
    async (origin) => {
      desk.origin = origin;
      expect(await refusal(desk.passkey('bob'))).toBe('CONFIG_INVALID');
      const built = await desk.build();
      expect(await refusal(desk.ask('factor.passkey', { ...onIntent(built), operator: 'ada' }))).toBe('CONFIG_INVALID');
    },
  );
});

const onIntent = ({ op, intent_hash }: Built) => ({ op, intent_hash });

test('whatever is registered or removed in somebody’s name is told to the address that was known before', async () => {
  await desk.admin('operator.add', { name: 'ada', email: 'ada@example.org' });
  expect(desk.letters).toEqual([]);
  await desk.admin('operator.add', { name: 'ada' });
  await desk.admin('operator.add', { name: 'ada', recovery: true });
  await desk.admin('factor.remove', { name: 'ada', kind: 'totp' });
  await desk.admin('factor.remove', { name: 'ada', kind: 'email' });
  const told = desk.letters.map(({ to, text }) => [to, /was (\w+: \w+)/.exec(text)?.[1]]);
  const all = ['registered: totp', 'registered: recovery', 'removed: totp', 'removed: email'];
  expect(told).toEqual(all.map((what) => ['ada@example.org', what]));
});

describe('a recovery code', () => {
  test('proves one intent, once, is kept as its hash alone, and its use is an alarm', async () => {
    await desk.admin('operator.add', { name: 'ada', email: 'ada@example.org' });
    const { recovery_codes } = await desk.admin('operator.add', { name: 'ada', recovery: true });
    expect(new Set(recovery_codes).size).toBe(10);
    const [code = ''] = recovery_codes;
    const factors = JSON.stringify(desk.ledger.rows('SELECT * FROM factors'));
    for (const each of recovery_codes) expect(factors).not.toContain(each);
    const [first, second] = [await desk.build(), await desk.build()];
    await desk.prove(first, { method: 'recovery', code });
    expect(await refusal(desk.prove(second, { method: 'recovery', code }))).toBe('FACTOR_REFUSED');
    expect(desk.audit('recovery.used')).toEqual([{ operator: 'ada', op: first.op, left: 9 }]);
    expect(desk.letters.at(-1)).toMatchObject({
      to: 'ada@example.org',
      text: expect.stringContaining('recovery codes'),
    });
    expect((await desk.admin('operator.list', {})).operators).toMatchObject([{ name: 'ada', recovery_codes: 9 }]);
  });

  test('is void when new ones were made', async () => {
    const [code = ''] = (await desk.admin('operator.add', { name: 'ada', recovery: true })).recovery_codes;
    await desk.admin('operator.add', { name: 'ada', recovery: true });
    expect(await refusal(desk.prove(await desk.build(), { method: 'recovery', code }))).toBe('FACTOR_REFUSED');
  });
});

test('a code that is handed in for an intent which has changed since voids the operation, right as it is', async () => {
  const totp = await desk.totp();
  const shown = await desk.build();
  await desk.build('ada', shown.op);
  await voids(shown, totp(), () => totp());
  // It was not burnt by that: it still proves another operation.
  expect(await refusal(desk.prove(await desk.build(), totp()))).toBeNull();
});

describe('codes that are wrong', () => {
  test('a reused one is refused, logged, and its owner is told', async () => {
    const totp = await desk.totp();
    await desk.admin('operator.add', { name: 'ada', email: 'ada@example.org' });
    await desk.prove(await desk.build(), totp());
    const again = await desk.build();
    const tried = desk.prove(again, totp());
    await expect(tried).rejects.toMatchObject({ code: 'FACTOR_REFUSED', details: { reason: 'reused' } });
    expect(desk.audit('factor.reused')).toEqual([{ operator: 'ada', op: again.op }]);
    expect(desk.logged.join()).toContain('factor.reused');
    expect(desk.letters).toMatchObject([{ to: 'ada@example.org', text: expect.stringContaining('a second time') }]);
    const { alarms } = await desk.ask('alarms', { after: 0 });
    expect(alarms).toMatchObject([{ kind: 'factor.reused', operator: 'ada', op: again.op }]);
    expect((await desk.ask('alarms', { after: alarms[0]?.n ?? 0 })).alarms).toEqual([]);
  });

  test('a letter that cannot be sent stops nothing', async () => {
    const totp = await desk.totp();
    await desk.admin('operator.add', { name: 'ada', email: 'ada@example.org' });
    desk.mailer = { send: () => Promise.reject(Object.assign(new Error('no'), { code: 'MAIL_UNAVAILABLE' })) };
    await desk.prove(await desk.build(), totp());
    expect(await refusal(desk.prove(await desk.build(), totp()))).toBe('FACTOR_REFUSED');
    expect(desk.logged.join()).toContain('the letter could not be sent');
  });

  test('have to wait after five in a row, twice as long each time, and a right one ends that', async () => {
    const totp = await desk.totp();
    const wrong = () => totp(desk.nowMs + 7_200_000);
    const first = await desk.build();
    for (let n = 0; n < 5; n += 1) expect(await refusal(desk.prove(first, wrong()))).toBe('FACTOR_REFUSED');
    const second = await desk.build();
    await expect(desk.prove(second, totp())).rejects.toMatchObject({ code: 'RATE_LIMITED', details: { wait_s: 1 } });
    desk.nowMs += 1_000;
    expect(await refusal(desk.prove(second, wrong()))).toBe('FACTOR_REFUSED');
    await expect(desk.prove(second, totp())).rejects.toMatchObject({ details: { wait_s: 2 } });
    desk.nowMs += 2_000;
    expect(await refusal(desk.prove(second, totp()))).toBeNull();
    expect(await refusal(desk.prove(await desk.build(), wrong()))).toBe('FACTOR_REFUSED');
    expect([4, 5, 6, 10, 15, 99].map(backoffS)).toEqual([0, 1, 2, 32, 900, 900]);
  });

  test('do not have to wait for the time by which a clock was wrong', async () => {
    const totp = await desk.totp();
    const dayMs = 86_400_000;
    desk.nowMs += dayMs;
    const early = await desk.build();
    for (let n = 0; n < 5; n += 1) await refusal(desk.prove(early, totp(desk.nowMs + dayMs)));
    expect(await refusal(desk.prove(await desk.build(), totp()))).toBe('RATE_LIMITED');
    desk.nowMs -= dayMs;
    expect(await refusal(desk.prove(await desk.build(), totp()))).toBeNull();
  });
});
