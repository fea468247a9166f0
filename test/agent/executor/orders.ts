// What a control plane and an operator would send: commands with their intents and sealed secrets, for a `ready` that was
// heard. Passwords are drawn when a test runs.

import { randomBytes } from 'node:crypto';
import type { Command } from '../../../protocol/command.ts';
import { type Intent, intentBytes, type ResetIntent, type SecretSource } from '../../../protocol/intent.ts';
import {
  type SealingKey,
  type SigningKey,
  sealingKeyFromSeed,
  sha256Text,
  toBase64url,
} from '../../../protocol/keys.ts';
import { generatePassword } from '../../../protocol/password.ts';
import type { Receipt } from '../../../protocol/receipt.ts';
import { openSecret, type SealContext, type Slot, sealSecret } from '../../../protocol/seal.ts';
import { Secret } from '../../../protocol/secret.ts';
import type { Ready } from '../../../protocol/session.ts';
import { signToken, type TokenType } from '../../../protocol/token.ts';
import { AGENT, bytes32Text, INSTALLATION, keys, NOW_S } from '../../protocol/samples.ts';

const fresh = (count: number) => Uint8Array.from(randomBytes(count));
/** The operator's own key, to which generated secrets are sealed. */
export const operatorKey: SealingKey = await sealingKeyFromSeed(fresh(32));

export const drawPassword = (length = 24): string => generatePassword(length, fresh, { accountName: 'root' }).reveal();

type Typed = Readonly<{
  typed: string;
  context?: Partial<SealContext>;
  key?: SealingKey;
  sealed?: string;
  sha256?: string;
}>;
export type Wished = 'generated' | Typed;
export type Wishes = Readonly<{
  account?: Wished | null;
  vnc?: Wished | null;
  /** Consent to a restart of the VNC server. */
  restart?: boolean;
  name?: string | null;
  uid?: number | null;
  unlock?: boolean;
  server?: string | null;
  graceS?: number;
  intent?: Partial<Intent>;
  command?: Partial<Command>;
  key?: SigningKey;
  typ?: TokenType;
  /** To whom generated secrets are sealed; the operator's own key by default. */
  recipient?: SealingKey;
}>;

async function sourceOf(
  slot: Slot,
  wished: Wished,
  ready: Ready,
  recipient: SealingKey,
): Promise<{ source: SecretSource; sealed?: string }> {
  if (wished === 'generated') return { source: { mode: 'generated', recipient_jwk: recipient.jwk } };
  const context = { op: ready.op, agent: ready.agent, dir: 'to-agent', slot, ...wished.context } as const;
  const sealed =
    wished.sealed ?? (await sealSecret(Secret.ofText(wished.typed), context, wished.key?.jwk ?? ready.seal, fresh));
  return { source: { mode: 'typed', sealed_sha256: wished.sha256 ?? (await sha256Text(sealed)) }, sealed };
}

/** A signed command for this `ready`: by default a reset of both secrets, generated, at once. */
export async function order(ready: Ready, wishes: Wishes = {}): Promise<string> {
  const { account = 'generated', vnc = 'generated', recipient = operatorKey } = wishes;
  const forAccount = account && (await sourceOf('account', account, ready, recipient));
  const forVnc = vnc && (await sourceOf('vnc', vnc, ready, recipient));
  const intent = {
    v: 1,
    op: ready.op,
    project: 'default',
    agent: AGENT,
    method: 'online',
    operator: 'ada',
    nonce: bytes32Text(0x50),
    not_after: NOW_S + 900,
    act: 'reset',
    ...(forAccount
      ? {
          account: {
            name: wishes.name ?? null,
            uid: wishes.uid === undefined ? 0 : wishes.uid,
            secret: forAccount.source,
            unlock: wishes.unlock ?? false,
          },
        }
      : {}),
    ...(forVnc
      ? { vnc: { server: wishes.server ?? null, secret: forVnc.source, restart: wishes.restart ?? false } }
      : {}),
    reboot: { kind: 'normal', grace_s: wishes.graceS ?? 0 },
    ...wishes.intent,
  } as ResetIntent;
  const sealed = {
    ...(forAccount?.sealed ? { account: forAccount.sealed } : {}),
    ...(forVnc?.sealed ? { vnc: forVnc.sealed } : {}),
  };
  const command: Command = {
    v: 1,
    iss: INSTALLATION,
    aud: AGENT,
    op: ready.op,
    cn: ready.cn,
    iat: NOW_S,
    exp: NOW_S + 120,
    root_ver: 1,
    intent: toBase64url(intentBytes(intent)),
    authz: { operator: 'ada', method: 'totp', at: NOW_S },
    ...(Object.keys(sealed).length > 0 ? { sealed } : {}),
    ...wishes.command,
  };
  return signToken(wishes.typ ?? 'lk-command+jws', command, wishes.key ?? keys.command);
}

export async function cancelOrder(
  of: Readonly<{ op: string; cn: string }>,
  changes: Partial<Command> = {},
): Promise<string> {
  const intent: Intent = {
    v: 1,
    op: of.op,
    project: 'default',
    agent: AGENT,
    method: 'online',
    operator: 'ada',
    nonce: bytes32Text(0x51),
    not_after: NOW_S + 900,
    act: 'cancel',
  };
  const command: Command = {
    v: 1,
    iss: INSTALLATION,
    aud: AGENT,
    op: of.op,
    cn: of.cn,
    iat: NOW_S,
    exp: NOW_S + 120,
    root_ver: 1,
    intent: toBase64url(intentBytes(intent)),
    authz: { operator: 'ada', method: 'session', at: NOW_S },
    ...changes,
  };
  return signToken('lk-command+jws', command, keys.command);
}

export const ackOf = (op: string, n: number, key: SigningKey = keys.session, agent: string = AGENT): Promise<string> =>
  signToken('lk-ack+jws', { v: 1, agent, op, n }, key);

/** What the operator opens from the receipts; `undefined` where nothing was sealed for that slot. */
export async function collected(
  receipts: readonly Receipt[],
  slot: Slot,
  key: SealingKey = operatorKey,
): Promise<string | undefined> {
  const found = receipts.find(({ sealed }) => sealed?.[slot]);
  const sealed = found?.sealed?.[slot];
  if (!found || !sealed) return undefined;
  const context = { op: found.op, agent: found.agent, dir: 'to-operator', slot } as const;
  return (await openSecret(sealed, context, key)).reveal();
}
