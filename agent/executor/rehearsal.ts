// While the operator still types: goes once through what a command will need, with bytes that mean nothing, so that the real
// one finds the code loaded and compiled. It touches nothing and its outcome is thrown away.

import { intentBytes, readIntent } from '../../protocol/intent.ts';
import { toBase64url } from '../../protocol/keys.ts';
import { generatePassword } from '../../protocol/password.ts';
import { openSecret, sealSecret } from '../../protocol/seal.ts';
import { onlyKey, verifyToken } from '../../protocol/token.ts';
import { environmentFault } from '../core/environment.ts';
import type { ExecutorParts } from './parts.ts';
import type { Prepared } from './prepare.ts';

/** `ready` is the token that this process has just signed: a signature to verify. */
export async function rehearse(parts: ExecutorParts, { op, seal }: Prepared, ready: string): Promise<void> {
  const { identity, policy, random } = parts;
  const { agent, project, ek } = identity;
  const randomBytes = (count: number) => random.bytes(count);
  const recipient = { mode: 'generated', recipient_jwk: seal.jwk } as const;
  const intent = intentBytes({
    v: 1,
    op,
    project,
    agent,
    act: 'reset',
    method: 'online',
    operator: 'rehearsal',
    nonce: toBase64url(random.bytes(32)),
    not_after: 0,
    account: { name: null, uid: null, secret: recipient, unlock: false },
    reboot: { kind: 'normal', grace_s: 0 },
  });
  readIntent(toBase64url(intent));
  await verifyToken(ready, 'lk-ready+jws', onlyKey(ek.kid, ek.jwk));
  const context = { op, agent, dir: 'to-agent', slot: 'account' } as const;
  const sealed = await sealSecret(generatePassword(24, randomBytes), context, seal.jwk, randomBytes);
  (await openSecret(sealed, context, seal)).wipe();
  environmentFault(await parts.environment.observe(), policy.rootfs);
  await parts.accounts.fingerprint();
}
