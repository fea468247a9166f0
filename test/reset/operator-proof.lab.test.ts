// A control plane's command key in the hands of a thief, and a real agent whose root demands the operator's own proof: what the
// key signs alone is refused and changes nothing, and the same words with the operator's proof over them are done.

import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canonicalBytes } from '../../protocol/canonical.ts';
import { type SealingKey, sealingKeyFromSeed, sha256, signingKeyFromSeed, toBase64url } from '../../protocol/keys.ts';
import { openSecret } from '../../protocol/seal.ts';
import { AGENT_URL, createAttachedGuest } from '../lab/enrolled.ts';
import type { Guest } from '../lab/guest.ts';
import { Issuer } from '../lab/issuer.ts';
import { SoftwarePasskey } from '../protocol/software-passkey.ts';
import { drawPassword, opens, shadowField } from './scene.ts';

const ADA = 'test-operator';
const EVE = 'other-operator';

type Authz = Readonly<{ operator: string; method: string; at: number; proof?: object }>;
/** What a command says of its proof, given the intent's bytes. */
type Prove = (intent: Uint8Array) => Promise<Partial<Authz>>;

const adasPasskey = new SoftwarePasskey();
const evesPasskey = new SoftwarePasskey();
const [adasKey, evesKey] = await Promise.all([drawnKey(), drawnKey()]);
const before = drawPassword();
let issuer: Issuer;
let guest: Guest;
let recipient: SealingKey;

beforeAll(async () => {
  const operators = {
    [ADA]: { keys: [adasKey.jwk], passkeys: [adasPasskey.listed] },
    [EVE]: { keys: [evesKey.jwk], passkeys: [evesPasskey.listed] },
  };
  issuer = await Issuer.start({ operators });
  recipient = await sealingKeyFromSeed(randomBytes(32));
  const attachment = { port: issuer.port, trust: await issuer.trust(AGENT_URL), joinToken: issuer.joinToken };
  guest = await createAttachedGuest(attachment, { name: `operator-proof-${process.pid}`, vnc: false });
  await guest.boot();
  await issuer.frame('synced');
  const changed = await guest.exec(['chpasswd'], { input: `root:${before}\n` });
  expect(changed.code).toBe(0);
});

afterAll(async () => {
  await guest?.destroy();
  await issuer?.stop();
});

function drawnKey() {
  return signingKeyFromSeed(randomBytes(32));
}

const byKey =
  (key: typeof adasKey): Prove =>
  async (intent) => {
    const sig = await crypto.subtle.sign('Ed25519', key.privateKey, await hashOf(intent));
    return { method: 'key', proof: { kid: key.kid, sig: toBase64url(new Uint8Array(sig)) } };
  };
const byPasskey =
  (passkey: SoftwarePasskey): Prove =>
  async (intent) => ({ method: 'passkey', proof: await passkey.proof(toBase64url(await hashOf(intent))) });
const over =
  (other: object, prove: Prove): Prove =>
  () =>
    prove(canonicalBytes(other as never));

async function hashOf(intent: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  return Uint8Array.from(await sha256(intent));
}

/** A reset of the administrator, signed by the real command key over `changes` of the intent, with what `prove` makes of it. */
async function ordered(prove: Prove, changes: object = {}): Promise<{ op: string }> {
  const ready = await issuer.prepare();
  const account = { name: null, uid: null, secret: { mode: 'generated', recipient_jwk: recipient.jwk }, unlock: false };
  const intent = issuer.intent(ready, { account, ...changes });
  const said = await prove(canonicalBytes(intent as never));
  const authz = { operator: ADA, method: 'totp', at: Math.floor(Date.now() / 1000), ...said };
  await issuer.command(ready, intent, { authz });
  return ready;
}

const state = async () => ({
  field: await shadowField(guest, 'root'),
  bootId: guest.bootId(),
  reboots: guest.reboots,
});

describe('with a stolen command key, where the root demands the operator’s proof, nothing is reset', () => {
  // A proof that its operator once gave, for whatever the thief could watch.
  const earlier = { v: 1, act: 'reset', nonce: toBase64url(randomBytes(32)) };
  it.each<[string, string, Prove, object?]>([
    ['by a code that the thief says was right', 'operator_proof_required', async () => ({ method: 'totp' })],
    ['by a session that the thief says there was', 'no_factor', async () => ({ method: 'session' })],
    ['by the name of a key without its signature', 'operator_proof_required', async () => ({ method: 'key' })],
    ['by a key of the thief’s', 'key_unknown', async (intent) => byKey(await drawnKey())(intent)],
    ['by the command key itself', 'key_unknown', (intent) => byKey(issuer.keys.command)(intent)],
    ['by a passkey of the thief’s', 'key_unknown', (intent) => byPasskey(new SoftwarePasskey())(intent)],
    ['by the key of another operator', 'key_unknown', byKey(evesKey)],
    ['by the passkey of another operator', 'key_unknown', byPasskey(evesPasskey)],
    ['by the key’s proof of another intent', 'signature', over(earlier, byKey(adasKey))],
    ['by the passkey’s proof of another intent', 'challenge', over(earlier, byPasskey(adasPasskey))],
    [
      'in the name of an operator whom the root does not name',
      'operator_unknown',
      async (intent) => ({ ...(await byKey(adasKey)(intent)), operator: 'nobody' }),
      { operator: 'nobody' },
    ],
  ])('%s', async (_, reason, prove, changes) => {
    const untouched = await state();
    const { op } = await ordered(prove, changes);
    const end = await issuer.end(op);
    expect(end).toMatchObject({ state: 'REFUSED', code: 'AUTHZ_INVALID', detail: { reason } });
    expect(await state()).toEqual(untouched);
    expect(await opens(guest, 'root', before)).toBe(true);
  });
});

describe('with the operator’s own proof over these very words the reset is done', () => {
  it.each<[string, Prove]>([
    ['by a passkey', byPasskey(adasPasskey)],
    ['by a registered key', byKey(adasKey)],
  ])('%s', async (_, prove) => {
    const reboots = guest.reboots;
    const { op } = await ordered(prove);
    const end = await issuer.end(op);
    expect(end).toMatchObject({ state: 'DONE', code: null });
    expect(guest.reboots).toBe(reboots + 1);
    const sealed = (await issuer.receipts(op)).find(({ state: reached }) => reached === 'SECRET_READY')?.sealed
      ?.account;
    const secret = await openSecret(
      sealed ?? '',
      { op, agent: issuer.agent, dir: 'to-operator', slot: 'account' },
      recipient,
    );
    expect(await opens(guest, 'root', secret.reveal())).toBe(true);
    expect(await opens(guest, 'root', before)).toBe(false);
  });
});
