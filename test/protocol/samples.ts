// One valid message of each kind, and the keys that sign and open them. A test changes the one field that it is about.
// Every key and password here is made from plain counting, so that nobody can take it for a real one.

import type { Command } from '../../protocol/command.ts';
import { type Intent, intentBytes } from '../../protocol/intent.ts';
import { type SigningKey, sealingKeyFromSeed, signingKeyFromSeed, toBase64url } from '../../protocol/keys.ts';
import type { Preflight } from '../../protocol/preflight.ts';
import { RECEIPT_GENESIS, type Receipt } from '../../protocol/receipt.ts';
import type { RootPayload } from '../../protocol/root.ts';

/** 32 bytes counting up from `first`. */
export const countingBytes = (first: number, length = 32): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (first + i) & 255);
export const bytes32Text = (first: number): string => toBase64url(countingBytes(first));

export const OP = `op_${'0'.repeat(25)}1`;
export const AGENT = `agt_${'0'.repeat(25)}2`;
export const INSTALLATION = `ins_${'0'.repeat(25)}3`;
export const BOOT = '00000000-0000-4000-8000-000000000001';
/** 2026-11-01T00:00:00Z. */
export const NOW_S = 1_793_491_200;
export const ARTIFICIAL_PASSWORD = 'not-a-real-Password-1';

/** Signing keys by role; `spare` belongs to no root. */
export const keys = {
  rootA: await signingKeyFromSeed(countingBytes(0x00)),
  rootB: await signingKeyFromSeed(countingBytes(0x01)),
  rootC: await signingKeyFromSeed(countingBytes(0x02)),
  command: await signingKeyFromSeed(countingBytes(0x10)),
  session: await signingKeyFromSeed(countingBytes(0x11)),
  ik: await signingKeyFromSeed(countingBytes(0x20)),
  ek: await signingKeyFromSeed(countingBytes(0x21)),
  spare: await signingKeyFromSeed(countingBytes(0x30)),
};
export const seal = await sealingKeyFromSeed(countingBytes(0x40));
export const otherSeal = await sealingKeyFromSeed(countingBytes(0x41));

const listed = (key: SigningKey, expires = NOW_S + 31_536_000) => ({ [key.kid]: { jwk: key.jwk, expires } });

/** A 2-of-3 root with one command key and one session key. */
export function sampleRoot(changes: Partial<RootPayload> = {}): RootPayload {
  return {
    v: 1,
    iss: INSTALLATION,
    version: 1,
    expires: NOW_S + 31_536_000,
    keys: {
      ...listed(keys.rootA),
      ...listed(keys.rootB),
      ...listed(keys.rootC),
      ...listed(keys.command, NOW_S + 2_592_000),
      ...listed(keys.session, NOW_S + 2_592_000),
    },
    roles: {
      root: { kids: [keys.rootA.kid, keys.rootB.kid, keys.rootC.kid], threshold: 2 },
      command: { kids: [keys.command.kid], threshold: 1 },
      session: { kids: [keys.session.kid], threshold: 1 },
    },
    policy: { min_v: 1, cb: 'off', require_operator_proof: false },
    ...changes,
  };
}

/** A reset of both passwords: one typed, one generated. */
export function sampleIntent(): Extract<Intent, { act: 'reset' }> {
  return {
    v: 1,
    op: OP,
    project: 'default',
    agent: AGENT,
    method: 'online',
    operator: 'ada',
    nonce: bytes32Text(0x50),
    not_after: NOW_S + 900,
    act: 'reset',
    account: { name: null, uid: 0, secret: { mode: 'typed', sealed_sha256: bytes32Text(0x51) }, unlock: false },
    vnc: { server: 'tigervnc:5901', secret: { mode: 'generated', recipient_jwk: seal.jwk }, restart: false },
    reboot: { kind: 'normal', grace_s: 0 },
  };
}

/** First passwords, the same for both. */
export function sampleInitialise(): Extract<Intent, { act: 'initialise' }> {
  const { v, op, project, method, operator, nonce, not_after, reboot } = sampleIntent();
  return {
    v,
    op,
    project,
    agent: AGENT,
    join_sha256: bytes32Text(0x52),
    method,
    operator,
    nonce,
    not_after,
    act: 'initialise',
    account: { name: null, uid: null, secret: { mode: 'generated', recipient_jwk: seal.jwk }, unlock: false },
    vnc: { server: null, secret: 'same', restart: true },
    reboot,
  };
}

/** A reset of many machines at once. */
export function sampleBulk(targets: string[] = [AGENT]): Extract<Intent, { act: 'reset' }> {
  const { agent: _, vnc: __, ...rest } = sampleIntent();
  const secret = { mode: 'generated', recipient_jwk: seal.jwk } as const;
  return { ...rest, targets, account: { name: null, uid: null, secret, unlock: false } };
}

export function sampleCommand(intent: Intent = sampleIntent()): Command {
  return {
    v: 1,
    iss: INSTALLATION,
    aud: AGENT,
    op: OP,
    cn: bytes32Text(0x60),
    iat: NOW_S,
    exp: NOW_S + 120,
    root_ver: 1,
    intent: toBase64url(intentBytes(intent)),
    authz: { operator: 'ada', method: 'totp', at: NOW_S },
  };
}

export function sampleReceipt(): Receipt {
  return {
    v: 1,
    op: OP,
    agent: AGENT,
    n: 1,
    prev: RECEIPT_GENESIS,
    state: 'ACCEPTED',
    code: null,
    warnings: ['VNC_TRUNCATED'],
    cmd_sha256: bytes32Text(0x61),
    cn: bytes32Text(0x60),
    boot: BOOT,
    mono: 1_000,
    detail: { account: 'root', verified: { account: null, vnc: 'absent', reboot: false } },
  };
}

/** An answer with a row of every kind. */
export function samplePreflight(): Preflight {
  return {
    v: 1,
    agent: AGENT,
    nonce: bytes32Text(0x88),
    now: NOW_S,
    boot: BOOT,
    wall: NOW_S + 2,
    checks: [
      { name: 'environment', verdict: 'refused', code: 'ENV_REFUSED', reason: 'kernel_argument:init', about: 'boot' },
      { name: 'operation', verdict: 'ok' },
    ],
    left_out: 0,
  };
}
