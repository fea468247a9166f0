// What the scripted server says of its one machine: its script, and the views, tokens and intents that follow from it.

import type {
  IntentRequest,
  IntentResponse,
  OperationRequest,
  OperationView,
  VmView,
} from '../../../control-plane/api/schemas.ts';
import type { Code } from '../../../protocol/codes.ts';
import type { ResetIntent, SecretSource } from '../../../protocol/intent.ts';
import { sha256Text, signingKeyFromSeed } from '../../../protocol/keys.ts';
import type { State } from '../../../protocol/lifecycle.ts';
import type { Slot } from '../../../protocol/seal.ts';
import type { Ready } from '../../../protocol/session.ts';
import { AGENT, BOOT, bytes32Text, countingBytes, keys, OP, seal } from '../../protocol/samples.ts';

export const VM = `vm_${'0'.repeat(25)}4`;
export const AFTER = '00000000-0000-4000-8000-000000000002';

/** One thing that the machine says after the approval. */
export type Beat = Readonly<{
  state?: State;
  code?: Code;
  warnings?: Code[];
  verified?: OperationView['verified'];
  overdue?: boolean;
  /** Ends every open stream, as a restart of the server does. */
  cut?: true;
}>;

const proven = { account: true, vnc: null, reboot: true } as const;
const untilSet: readonly Beat[] = [
  { state: 'SENT' },
  { state: 'ACCEPTED' },
  { state: 'SECRET_READY' },
  { state: 'PASSWORD_SET' },
];

/** A script for each way in which an operation ends. */
export const scripts = {
  DONE: [...untilSet, { state: 'REBOOTING' }, { state: 'BOOTED' }, { state: 'DONE', verified: proven }],
  PARTIAL: [...untilSet, { state: 'PARTIAL', code: 'REBOOT_CANCELLED' }],
  FAILED: [...untilSet.slice(0, 3), { state: 'FAILED', code: 'PASSWD_FAILED' }],
  REFUSED: [{ state: 'SENT' }, { state: 'REFUSED', code: 'ENV_REFUSED' }],
  INTERRUPTED: [...untilSet.slice(0, 3), { state: 'INTERRUPTED', code: 'INTERRUPTED' }],
  CANCELLED: [{ state: 'SENT' }, { state: 'ACCEPTED' }, { state: 'CANCELLED', code: 'CANCELLED' }],
  EXPIRED: [{ state: 'EXPIRED', code: 'AGENT_OFFLINE' }],
} as const satisfies Record<string, readonly Beat[]>;

export type Script = {
  online: boolean;
  /** The guest’s own word for its system. */
  os: string;
  account: Ready['account'];
  accountCode: Code | null;
  vnc: Ready['vnc'];
  warnings: Code[];
  beats: readonly Beat[];
  methods: ('totp' | 'key')[];
  /** The key that the control plane names for the machine, and the one that signs `ready`. */
  ek: typeof keys.ek;
  signer: typeof keys.ek;
  /** What the control plane does to the intent before it writes it. */
  alterIntent(intent: ResetIntent): ResetIntent;
  alterResponse(response: IntentResponse): IntentResponse;
  /** Codes that `submit` answers first, one after the other. */
  refusals: Code[];
  /** The first `submit` is taken, and its answer lost. */
  loseAnswer: boolean;
};

export const defaultScript = (): Script => ({
  online: true,
  os: 'Debian 13',
  account: { name: 'root', uid: 0, state: 'active' },
  accountCode: null,
  vnc: [],
  warnings: [],
  beats: scripts.DONE,
  methods: ['totp', 'key'],
  ek: keys.ek,
  signer: keys.ek,
  alterIntent: (intent) => intent,
  alterResponse: (response) => response,
  refusals: [],
  loseAnswer: false,
});

export function vmOf({ online, ek, os }: Script): VmView {
  return {
    id: VM,
    agent: AGENT,
    name: 'web-1',
    project: 'default',
    online,
    enrolled_at: '2026-11-01T00:00:00Z',
    last_seen: null,
    boot: BOOT,
    agent_version: '0.1.0',
    facts: {
      os,
      kernel: '6.12',
      arch: 'x64',
      virtualisation: 'kvm',
      memory_bytes: 2 ** 30,
      uptime_s: 60,
      boot: BOOT,
      hostname: 'web-1',
      agent_version: '0.1.0',
    },
    flags: [],
    quarantine: null,
    labels: {},
    ik: keys.ik.jwk,
    ek: ek.jwk,
    provision: null,
    removed: false,
    busy: null,
  };
}

export function readyOf({ account, accountCode, vnc, warnings }: Script): Ready {
  return {
    v: 1,
    op: OP,
    agent: AGENT,
    cn: bytes32Text(0x60),
    seal: seal.jwk,
    ttl: 600,
    boot: BOOT,
    account,
    account_code: accountCode,
    vnc,
    warnings,
  };
}

export function operationOf(
  script: Script,
  { account, vnc, reboot }: OperationRequest,
  ready: string | null,
): OperationView {
  const now = new Date().toISOString();
  return {
    op: OP,
    vm: VM,
    vm_name: 'web-1',
    agent: AGENT,
    project: 'default',
    act: 'reset',
    bulk: null,
    state: ready ? 'PREPARED' : 'QUEUED',
    ended: false,
    approved: false,
    approved_at: null,
    awaits_second: false,
    code: null,
    sentence: null,
    hint: null,
    warnings: [],
    overdue: false,
    reason: null,
    operator: 'ada',
    account: account
      ? {
          name: script.account?.name ?? account.name ?? null,
          uid: script.account?.uid ?? null,
          state: script.account?.state ?? null,
          code: script.accountCode,
          mode: account.mode,
          unlock: account.unlock ?? false,
        }
      : null,
    vnc: vnc ? { server: vnc.server ?? null, mode: vnc.mode, restart: vnc.restart ?? false } : null,
    vnc_servers: script.vnc,
    ready,
    ready_expires_at: null,
    ek: script.ek.jwk,
    intent_hash: null,
    not_before: null,
    not_after: null,
    verified: null,
    vnc_state: null,
    boot_before: BOOT,
    boot_after: null,
    grace_s: reboot?.grace_s ?? 0,
    grace_until: null,
    receipts: [],
    gap: null,
    state_since: now,
    state_ms: 0,
    times: [],
    sealed: null,
    collected: false,
    created_at: now,
    updated_at: now,
    ended_at: null,
  };
}

export async function intentOf(
  { account, vnc, reboot }: OperationRequest,
  script: Script,
  body: IntentRequest,
): Promise<ResetIntent> {
  const source = async (slot: Slot): Promise<SecretSource> => {
    const secret = body[slot]?.secret;
    if (!secret) throw new TypeError(`the intent lacks ${slot}`);
    if (secret.mode === 'generated') return secret;
    return { mode: 'typed', sealed_sha256: await sha256Text(secret.sealed) };
  };
  return {
    v: 1,
    op: OP,
    project: 'default',
    agent: AGENT,
    method: 'online',
    operator: 'ada',
    nonce: bytes32Text(0x50),
    not_after: Math.floor(Date.now() / 1_000) + (body.valid_s ?? 900),
    act: 'reset',
    ...(account
      ? {
          account: {
            name: account.name ?? null,
            uid: script.online ? (script.account?.uid ?? null) : null,
            secret: await source('account'),
            unlock: account.unlock ?? false,
          },
        }
      : {}),
    ...(vnc ? { vnc: { server: vnc.server ?? null, secret: await source('vnc'), restart: vnc.restart ?? false } } : {}),
    reboot: { kind: 'normal', grace_s: reboot?.grace_s ?? 0 },
  };
}

export function summaryOf({ vm_name }: OperationView, intent: ResetIntent): IntentResponse['summary'] {
  return {
    vm_name,
    agent: intent.agent ?? '',
    operator: intent.operator,
    act: 'reset',
    account: intent.account ?? null,
    vnc: intent.vnc ?? null,
    reboot: intent.reboot,
    not_before: null,
    not_after: new Date(intent.not_after * 1_000).toISOString(),
    warnings: [],
  };
}

/** Another executor key, for machines that changed theirs. */
export const otherEk = await signingKeyFromSeed(countingBytes(0x22));
