// The largest honest messages fit their limits: no operation that the schemas allow can fail on its way for its size.

import { expect, test } from 'vitest';
import { canonicalBytes } from '../../protocol/canonical.ts';
import { intentBytes } from '../../protocol/intent.ts';
import { toBase64url } from '../../protocol/keys.ts';
import {
  FRAME_BYTES_MAX,
  INTENT_TEXT_MAX,
  PASSWORD_BYTES_MAX,
  RECEIPT_BYTES_MAX,
  ROOT_BYTES_MAX,
  TARGETS_MAX,
  TOKEN_BYTES_MAX,
} from '../../protocol/limits.ts';
import { signRoot } from '../../protocol/root.ts';
import { type Slot, sealSecret } from '../../protocol/seal.ts';
import { Secret } from '../../protocol/secret.ts';
import { encodeFrame } from '../../protocol/session.ts';
import { signToken } from '../../protocol/token.ts';
import {
  AGENT,
  BOOT,
  countingBytes,
  keys,
  OP,
  sampleBulk,
  sampleCommand,
  sampleIntent,
  sampleReceipt,
  sampleRoot,
  seal,
} from './samples.ts';

const MAX = Number.MAX_SAFE_INTEGER;
const longest = (slot: Slot, dir: 'to-agent' | 'to-operator') =>
  sealSecret(Secret.ofText('"'.repeat(PASSWORD_BYTES_MAX)), { op: OP, agent: AGENT, dir, slot }, seal.jwk, () =>
    countingBytes(0x70),
  );

const LONGEST_PROOF = {
  kid: keys.spare.kid,
  auth_data: 'A'.repeat(684),
  client_data: 'A'.repeat(1_368),
  sig: 'A'.repeat(96),
};

test('a receipt with two sealed secrets and every detail', async () => {
  const sealed = { account: await longest('account', 'to-operator'), vnc: await longest('vnc', 'to-operator') };
  const token = await signToken(
    'lk-receipt+jws',
    {
      ...sampleReceipt(),
      n: 1_000,
      state: 'SECRET_READY',
      code: 'BOOT_ENV_CHANGED',
      warnings: ['ACCOUNT_HAD_NO_PASSWORD', 'VNC_TRUNCATED', 'VNC_RESTART_REQUIRED', 'VNC_SHARES_ACCOUNT_PASSWORD'],
      mono: MAX,
      detail: {
        account: 'a'.repeat(32),
        vnc: `${'a'.repeat(20)}:65535`,
        verified: { account: false, vnc: 'absent', reboot: false },
        vnc_state: 'restart_required',
        effective: Number.MAX_SAFE_INTEGER,
        boot_before: BOOT,
        boot_after: BOOT,
        grace_s: 86_400,
        attempt: 3,
        reason: 'a'.repeat(64),
      },
      sealed,
    },
    keys.ek,
  );
  expect(token.length).toBeLessThanOrEqual(RECEIPT_BYTES_MAX);
});

test('a command with the longest names, a proof and two sealed secrets', async () => {
  const intent = { ...sampleIntent(), project: 'a'.repeat(63), operator: 'a'.repeat(63), not_after: MAX };
  const command = {
    ...sampleCommand(),
    iat: MAX - 120,
    exp: MAX,
    intent: toBase64url(canonicalBytes(intent)),
    authz: {
      operator: 'a'.repeat(63),
      method: 'passkey',
      at: MAX,
      proof: LONGEST_PROOF,
    },
    sealed: { account: await longest('account', 'to-agent'), vnc: await longest('vnc', 'to-agent') },
  };
  const token = await signToken('lk-command+jws', command, keys.command);
  expect(token.length).toBeLessThanOrEqual(TOKEN_BYTES_MAX);
  expect(encodeFrame({ t: 'command', op: OP, token }).length).toBeLessThanOrEqual(FRAME_BYTES_MAX);
});

test('a command over as many machines as one may name, with its intent beside it', async () => {
  const targets = Array.from({ length: TARGETS_MAX }, (_, n) => `agt_${String(n).padStart(26, '0')}`);
  const bulk = sampleBulk(targets);
  const text = toBase64url(
    intentBytes({
      ...bulk,
      project: 'a'.repeat(63),
      operator: 'a'.repeat(63),
      not_after: MAX,
      account: { ...bulk.account, name: 'a'.repeat(32) } as never,
      vnc: { server: `${'a'.repeat(20)}:65535`, secret: bulk.account?.secret as never, restart: false },
      reboot: { kind: 'normal', grace_s: 86_400 },
    }),
  );
  expect(text.length).toBeLessThanOrEqual(INTENT_TEXT_MAX);
  expect(text.length * 1.1).toBeGreaterThan(INTENT_TEXT_MAX);
  const { intent: _, ...rest } = sampleCommand();
  const authz = { operator: 'a'.repeat(63), method: 'passkey', at: MAX, proof: LONGEST_PROOF };
  const token = await signToken('lk-command+jws', { ...rest, intent_sha256: OP, index: 499, authz }, keys.command);
  expect(token.length).toBeLessThanOrEqual(TOKEN_BYTES_MAX);
  expect(encodeFrame({ t: 'command', op: OP, token, intent: text }).length).toBeLessThanOrEqual(FRAME_BYTES_MAX);
});

test('a root that names a passkey and a key for each of forty operators', async () => {
  const place = { rp_id: 'console.latchkey.example', origin: 'https://console.latchkey.example:8443' };
  const one = { keys: [keys.spare.jwk], passkeys: [{ x: keys.spare.kid, y: keys.spare.kid, ...place }] };
  const operators = Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`operator-of-a-name-${n}`, one]));
  const root = sampleRoot({ roles: { ...sampleRoot().roles, operators } });
  const document = await signRoot(root, [keys.rootA, keys.rootB, keys.rootC]);
  expect(JSON.stringify(document).length).toBeLessThanOrEqual(ROOT_BYTES_MAX);
});
