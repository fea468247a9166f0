// The operator's proof, checked by the executor itself: with the real command key and no proof of the operator that the root
// names, nothing is reset.

import { describe, expect, test } from 'vitest';
import { canonicalBytes } from '../../../protocol/canonical.ts';
import type { Command } from '../../../protocol/command.ts';
import { intentBytes, type ResetIntent, readIntent } from '../../../protocol/intent.ts';
import { type SigningKey, sha256, signingKeyFromSeed, toBase64url } from '../../../protocol/keys.ts';
import type { Operators, RootPayload } from '../../../protocol/root.ts';
import type { Ready } from '../../../protocol/session.ts';
import { payloadOf, signToken } from '../../../protocol/token.ts';
import { AGENT, countingBytes, keys, OP, sampleRoot } from '../../protocol/samples.ts';
import { type Lie, SoftwarePasskey } from '../../protocol/software-passkey.ts';
import { type Guest, makeGuest } from './guest.ts';
import { order, type Wishes } from './orders.ts';

const adasKey = await signingKeyFromSeed(countingBytes(0x90));
const evesKey = await signingKeyFromSeed(countingBytes(0x91));
const adas = new SoftwarePasskey();
const eves = new SoftwarePasskey();

const operators: Operators = {
  ada: { keys: [adasKey.jwk], passkeys: [adas.listed] },
  eve: { keys: [evesKey.jwk], passkeys: [eves.listed] },
};
const policy = { ...sampleRoot().policy, require_operator_proof: true };
const strict = (changes: Partial<RootPayload> = {}) =>
  sampleRoot({ roles: { ...sampleRoot().roles, operators }, policy, ...changes });

type Authz = Command['authz'];
type Prove = (intentHash: Uint8Array, command: Command) => Promise<Partial<Authz>>;

/** A command as `wishes` and further members of the intent say, with the proof that `prove` makes over that very intent. */
async function proven(ready: Ready, prove: Prove, wishes: Wishes = {}, members: object = {}): Promise<string> {
  const ordered = payloadOf(await order(ready, wishes)) as unknown as Command;
  const meant = JSON.parse(Buffer.from(ordered.intent ?? '', 'base64url').toString()) as object;
  const command = { ...ordered, intent: toBase64url(canonicalBytes({ ...meant, ...members })) };
  const hash = await sha256(Buffer.from(command.intent ?? '', 'base64url'));
  const authz = { ...command.authz, ...(await prove(hash, command)) };
  return signToken('lk-command+jws', { ...command, authz }, wishes.key ?? keys.command);
}

const byKey =
  (key: SigningKey, kid = key.kid): Prove =>
  async (hash) => {
    const sig = await crypto.subtle.sign('Ed25519', key.privateKey, Uint8Array.from(hash));
    return { method: 'key', proof: { kid, sig: toBase64url(new Uint8Array(sig)) } };
  };
const byPasskey =
  (passkey: SoftwarePasskey, lie: Lie = {}): Prove =>
  async (hash) => ({ method: 'passkey', proof: await passkey.proof(toBase64url(hash), lie) });
const byNothing: Prove = async () => ({});

const touched = ({ machine }: Guest) =>
  machine.faults.calls.filter((call) => ['accounts.setPassword', 'vnc.setPassword', 'power.reboot'].includes(call));

/** Expects a signed refusal with that reason, which changed nothing. */
async function refused(prove: Prove, reason: string, wishes: Wishes = {}, root = strict()): Promise<void> {
  const guest = makeGuest({ root });
  const { conversation, ready } = await guest.prepare();
  conversation.send({ t: 'execute', token: await proven(ready, prove, wishes) });
  expect(await conversation.over).toBeUndefined();
  const [said] = await guest.receipts();
  expect(said).toMatchObject({ op: OP, state: 'REFUSED', code: 'AUTHZ_INVALID', detail: { reason } });
  expect(touched(guest)).toEqual([]);
}

async function accepted(prove: Prove, root = strict()): Promise<void> {
  const guest = makeGuest({ root });
  const { conversation, ready } = await guest.prepare();
  conversation.send({ t: 'execute', token: await proven(ready, prove, { graceS: 60 }) });
  await conversation.answer('receipt');
  expect((await guest.receipts())[0]).toMatchObject({ state: 'ACCEPTED', code: null });
  conversation.disconnect();
}

describe('a machine whose root asks for the operator’s proof', () => {
  test('takes a passkey of that operator over this very intent', () => accepted(byPasskey(adas)));
  test('takes a key of that operator over this very intent', () => accepted(byKey(adasKey)));

  test('refuses the real command key alone', async () => {
    await refused(byNothing, 'operator_proof_required');
    await refused(async () => ({ method: 'key' }), 'operator_proof_required');
    await refused(async () => ({ method: 'passkey' }), 'operator_proof_required');
    await refused(async () => ({ method: 'email' }), 'operator_proof_required');
  });

  test('refuses a proof under the name of another method', async () => {
    const renamed = (prove: Prove, method: Authz['method']): Prove => {
      return async (hash, command) => ({ ...(await prove(hash, command)), method });
    };
    for (const method of ['totp', 'email', 'recovery', 'passkey'] as const) {
      await refused(renamed(byKey(adasKey), method), 'method');
    }
    await refused(renamed(byPasskey(adas), 'key'), 'method');
  });

  test('refuses an operator whom the root does not name, whatever their name', async () => {
    for (const operator of ['bob', 'constructor', 'valueof']) {
      const as =
        (prove: Prove): Prove =>
        async (hash, command) => ({ ...(await prove(hash, command)), operator });
      await refused(as(byKey(adasKey)), 'operator_unknown', { intent: { operator } });
      await refused(as(byPasskey(adas)), 'operator_unknown', { intent: { operator } });
    }
  });

  test('refuses everything where the root names nobody', () =>
    refused(byKey(adasKey), 'operator_unknown', {}, strict({ roles: sampleRoot().roles })));
});

describe('a passkey’s assertion', () => {
  const other = toBase64url(countingBytes(0x12));
  test.each<[string, Lie, string]>([
    ['of another challenge', { challenge: other }, 'challenge'],
    ['at another origin', { origin: 'https://evil.example' }, 'origin'],
    ['at an origin that begins alike', { origin: 'https://console.example.evil.example' }, 'origin'],
    ['without TLS', { origin: 'http://console.example' }, 'origin'],
    ['for another relying party', { rpId: 'evil.example' }, 'rp_id'],
    ['without the user being verified', { flags: 0x01 }, 'user_verified'],
    ['without the user being present', { flags: 0x04 }, 'user_present'],
    ['of a registration', { type: 'webauthn.create' }, 'type'],
    ['from inside another page', { crossOrigin: true }, 'cross_origin'],
  ])('%s', (_, lie, reason) => refused(byPasskey(adas, lie), reason));

  test('of another operator’s passkey', () => refused(byPasskey(eves), 'key_unknown'));
  test('of another operator’s passkey under this one’s id', () =>
    refused(async (hash) => {
      const [mine, theirs] = [await adas.proof(toBase64url(hash)), await eves.proof(toBase64url(hash))];
      return { method: 'passkey', proof: { ...theirs, kid: mine.kid } };
    }, 'signature'));
  test('for another intent, replayed', async () => {
    const earlier = await adas.proof(other);
    await refused(async () => ({ method: 'passkey', proof: earlier }), 'challenge');
  });
  test('whose signed bytes were altered afterwards', async () => {
    const altered = (change: (proof: Awaited<ReturnType<typeof adas.proof>>) => object): Prove => {
      return async (hash) => {
        const proof = await adas.proof(toBase64url(hash));
        return { method: 'passkey', proof: { ...proof, ...change(proof) } };
      };
    };
    // The counter, and a member that browsers may add: neither is judged, both are signed.
    const recounted = (text: string) => {
      const bytes = Buffer.from(text, 'base64url');
      bytes[36] = 77;
      return bytes.toString('base64url');
    };
    await refused(
      altered(({ auth_data }) => ({ auth_data: recounted(auth_data) })),
      'signature',
    );
    const widened = (text: string) => {
      const said = JSON.parse(Buffer.from(text, 'base64url').toString()) as object;
      return Buffer.from(JSON.stringify({ ...said, more: 1 })).toString('base64url');
    };
    await refused(
      altered(({ client_data }) => ({ client_data: widened(client_data) })),
      'signature',
    );
    await refused(
      altered(() => ({ sig: Buffer.from('3006020101020101', 'hex').toString('base64url') })),
      'signature',
    );
    await refused(
      altered(() => ({ sig: 'AAAA' })),
      'signature',
    );
  });
  test('that is no JSON object, or too short', async () => {
    const with_ =
      (change: object): Prove =>
      async (hash) => ({ method: 'passkey', proof: { ...(await adas.proof(toBase64url(hash))), ...change } });
    for (const text of ['x', '[]', 'null', '"webauthn.get"']) {
      await refused(with_({ client_data: Buffer.from(text).toString('base64url') }), 'client_data');
    }
    await refused(with_({ auth_data: toBase64url(countingBytes(0, 36)) }), 'auth_data');
  });
});

describe('a key’s signature', () => {
  test('over another intent', () => refused(async () => byKey(adasKey)(countingBytes(3), {} as Command), 'signature'));
  test('by another operator’s key', () => refused(byKey(evesKey), 'key_unknown'));
  test('by another operator’s key under this one’s id', () => refused(byKey(evesKey, adasKey.kid), 'signature'));
  test('by the command key itself', () => refused(byKey(keys.command), 'key_unknown'));
  test('over the intent’s bytes rather than their hash', () =>
    refused(
      async (_, command) => byKey(adasKey)(Buffer.from(command.intent ?? '', 'base64url'), command),
      'signature',
    ));
});

describe('a proof over many machines', () => {
  const OTHER = `agt_${'0'.repeat(25)}9`;
  /** The same order over a list of machines, whose intent comes beside the command. */
  async function bulk(ready: Ready, targets: readonly string[], index: number, prove: Prove) {
    const { intent = '', ...rest } = payloadOf(await order(ready, { uid: null, vnc: null })) as unknown as Command;
    const { agent: _, ...one } = readIntent(intent) as ResetIntent;
    const bytes = intentBytes({ ...one, targets: [...targets] });
    const hash = await sha256(bytes);
    const command = { ...rest, intent_sha256: toBase64url(hash), index };
    const authz = { ...rest.authz, ...(await prove(hash, command)) };
    return {
      token: await signToken('lk-command+jws', { ...command, authz }, keys.command),
      intent: toBase64url(bytes),
    };
  }
  const outcome = async (make: (ready: Ready) => Promise<object>) => {
    const guest = makeGuest({ root: strict() });
    const { conversation, ready } = await guest.prepare();
    conversation.send({ t: 'execute', ...(await make(ready)) });
    await conversation.answer('receipt');
    conversation.disconnect();
    await conversation.over;
    const [said] = await guest.receipts();
    return [said?.state, said?.code];
  };

  test('counts for each that the list names, at its place', async () => {
    const targets = [OTHER, AGENT];
    expect(await outcome((ready) => bulk(ready, targets, 1, byPasskey(adas)))).toEqual(['ACCEPTED', null]);
    expect(await outcome((ready) => bulk(ready, targets, 1, byKey(adasKey)))).toEqual(['ACCEPTED', null]);
  });
  test('counts for no other place, list or machine', async () => {
    const refusal = ['REFUSED', 'AUTHZ_INVALID'];
    expect(await outcome((ready) => bulk(ready, [OTHER, AGENT], 0, byPasskey(adas)))).toEqual(refusal);
    expect(await outcome((ready) => bulk(ready, [OTHER], 0, byPasskey(adas)))).toEqual(refusal);
    const shorter = async (ready: Ready) => {
      const { token } = await bulk(ready, [OTHER, AGENT], 1, byPasskey(adas));
      const { intent } = await bulk(ready, [AGENT], 0, byNothing);
      return { token, intent };
    };
    expect(await outcome(shorter)).toEqual(refusal);
    const lengthened: Prove = async () => {
      const { proof } = await byPasskey(adas)(countingBytes(9), {} as Command);
      return { method: 'passkey', ...(proof ? { proof } : {}) };
    };
    expect(await outcome((ready) => bulk(ready, [OTHER, AGENT], 1, lengthened))).toEqual(refusal);
  });
});

describe('the proof’s place among the checks', () => {
  test('is after the ledger of operations', async () => {
    const guest = makeGuest({ root: strict() });
    const first = await guest.prepare();
    first.conversation.send({ t: 'execute', token: await proven(first.ready, byKey(adasKey)) });
    await first.conversation.answer('receipt');
    first.conversation.disconnect();
    await first.conversation.over;
    const second = await guest.prepare();
    second.conversation.send({ t: 'execute', token: await proven(second.ready, byNothing) });
    expect(await second.conversation.answer('refused')).toMatchObject({ code: 'OP_CONFLICT' });
  });
  test('is after the nonce, and before the environment', async () => {
    const guest = makeGuest({ root: strict() });
    guest.machine.facts = { initPath: '/bin/sh' };
    const wrongNonce = await guest.prepare();
    wrongNonce.conversation.send({
      t: 'execute',
      token: await proven(wrongNonce.ready, byNothing, { command: { cn: toBase64url(countingBytes(1)) } }),
    });
    await wrongNonce.conversation.over;
    expect((await guest.operation())?.code).toBe('NONCE_UNKNOWN');
    const second = `op_${'0'.repeat(25)}4`;
    const unproven = await guest.prepare(second);
    unproven.conversation.send({ t: 'execute', token: await proven(unproven.ready, byNothing) });
    await unproven.conversation.over;
    expect((await guest.operation(second))?.code).toBe('AUTHZ_INVALID');
    const third = `op_${'0'.repeat(25)}5`;
    const good = await guest.prepare(third);
    good.conversation.send({ t: 'execute', token: await proven(good.ready, byKey(adasKey)) });
    await good.conversation.over;
    expect((await guest.operation(third))?.code).toBe('ENV_REFUSED');
  });
});

describe('a reset by reroot is refused with the operator’s valid proof over it', () => {
  test.each([
    ['a method', { method: 'rd.break' }],
    ['a member', { sysroot: '/mnt' }],
    ['a kind of reboot', { reboot: { kind: 'kexec', grace_s: 0 } }],
  ])('%s', async (_, change) => {
    for (const prove of [byKey(adasKey), byPasskey(adas)]) {
      const guest = makeGuest({ root: strict() });
      const { conversation, ready } = await guest.prepare();
      conversation.send({ t: 'execute', token: await proven(ready, prove, {}, change) });
      expect(await conversation.over).toBeUndefined();
      expect((await guest.receipts())[0]).toMatchObject({ state: 'REFUSED', code: 'REROOT_REFUSED' });
      expect(touched(guest)).toEqual([]);
    }
  });
});
