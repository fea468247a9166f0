// The largest honest messages fit their limits: no operation that the schemas allow can fail on its way for its size.

import { expect, test } from 'vitest';
import { canonicalBytes } from '../../protocol/canonical.ts';
import { toBase64url } from '../../protocol/keys.ts';
import { FRAME_BYTES_MAX, PASSWORD_BYTES_MAX, RECEIPT_BYTES_MAX, TOKEN_BYTES_MAX } from '../../protocol/limits.ts';
import { type Slot, sealSecret } from '../../protocol/seal.ts';
import { Secret } from '../../protocol/secret.ts';
import { encodeFrame } from '../../protocol/session.ts';
import { signToken } from '../../protocol/token.ts';
import { AGENT, BOOT, countingBytes, keys, OP, sampleCommand, sampleIntent, sampleReceipt, seal } from './samples.ts';

const MAX = Number.MAX_SAFE_INTEGER;
const longest = (slot: Slot, dir: 'to-agent' | 'to-operator') =>
  sealSecret(Secret.ofText('"'.repeat(PASSWORD_BYTES_MAX)), { op: OP, agent: AGENT, dir, slot }, seal.jwk, () =>
    countingBytes(0x70),
  );

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
      method: 'key',
      at: MAX,
      proof: { kid: keys.spare.kid, sig: `${'A'.repeat(85)}Q` },
    },
    sealed: { account: await longest('account', 'to-agent'), vnc: await longest('vnc', 'to-agent') },
  };
  const token = await signToken('lk-command+jws', command, keys.command);
  expect(token.length).toBeLessThanOrEqual(TOKEN_BYTES_MAX);
  expect(encodeFrame({ t: 'command', op: OP, token }).length).toBeLessThanOrEqual(FRAME_BYTES_MAX);
});
