// What a reset asks for, and the conversation that it needs on its way: the types of the flow, and no behaviour but the
// draft's body.

import type { Code } from '../../../protocol/codes.ts';
import type { SigningKey } from '../../../protocol/keys.ts';
import type { PasswordFault } from '../../../protocol/password.ts';
import type { Slot } from '../../../protocol/seal.ts';
import type { Secret } from '../../../protocol/secret.ts';
import type { Ready } from '../../../protocol/session.ts';
import type { IntentResponse, OperationRequest, OperationView } from '../../api/schemas.ts';
import type { Acquaintance } from '../client/known-agents.ts';

export type SecretMode = 'generated' | 'typed';

export type ResetRequest = Readonly<{
  /** Id or name of the machine. */
  vm: string;
  /** `name: null`: the default administrator. */
  account?: Readonly<{ name: string | null; mode: SecretMode; unlock: boolean }>;
  /** `server: null`: the configured one, or the only one. */
  vnc?: Readonly<{ server: string | null; mode: SecretMode; restart: boolean }>;
  graceS: number;
  /** How long the proof may wait for an offline machine. */
  validS?: number;
  /** When its window opens, in whole seconds since 1970. */
  notBeforeS?: number;
  /** Give up watching after this long; the operation goes on. */
  timeoutMs?: number;
  /** Do not watch at all. */
  detach?: boolean;
  /** Go on watching a machine that is overdue; without, the flow ends there with `end: 'overdue'`. */
  waitWhileOverdue?: boolean;
  signal?: AbortSignal;
}>;

/** What the operator is told before confirming. `ready: null`: the agent is not there and the operation will wait. */
export type ResetSummary = Readonly<{
  request: ResetRequest;
  operation: OperationView;
  online: boolean;
  ready: Ready | null;
  /** Why an agent that is online is not ready. */
  reason: Code | string | null;
  acquaintance: Acquaintance;
  warnings: readonly string[];
}>;

export type CodeMethod = 'totp' | 'email' | 'recovery';
export type Proof = Readonly<{ method: CodeMethod; code: string }> | Readonly<{ method: 'key'; key: SigningKey }>;

export type ProofQuestion = Readonly<{
  operation: Pick<OperationView, 'vm_name'>;
  intentHash: string;
  methods: IntentResponse['methods'];
  /** Counts from 1. */
  attempt: number;
  /** Has a code mailed for exactly this intent; says to where. */
  mail(): Promise<string>;
}>;

export type ResetEvent =
  | Readonly<{ event: 'created'; operation: OperationView }>
  | Readonly<{ event: 'ready'; operation: OperationView; ready: Ready }>
  | Readonly<{ event: 'waiting'; operation: OperationView; online: boolean; reason: string | null }>
  | Readonly<{ event: 'intent'; operation: OperationView; intentHash: string; notAfterS: number }>
  | Readonly<{ event: 'approved'; operation: OperationView }>
  /** Proven here, and waiting for the proof of somebody else. */
  | Readonly<{ event: 'proven'; operation: OperationView }>
  | Readonly<{ event: 'progress'; operation: OperationView }>
  | Readonly<{ event: 'unreachable'; code: Code }>
  | Readonly<{ event: 'reachable' }>;

/** The other side of the conversation: a person at a terminal, or a program. */
export type ResetObserver = Readonly<{
  onEvent(event: ResetEvent): void;
  /** Whether to go on. `false` cancels the operation before anything is proven. */
  confirm(summary: ResetSummary): Promise<boolean>;
  /** A typed password that `fault` finds nothing wrong with; asked for typed slots alone. */
  typedSecret(slot: Slot, fault: (secret: Secret) => PasswordFault | undefined): Promise<Secret>;
  /** A proof for the intent. Asked again after a refused one where the observer says so. */
  prove(question: ProofQuestion): Promise<Proof>;
  /** Whether `prove` may be asked again after a refusal. */
  retryProof: boolean;
}>;

/** `ended`: the operation is over. Otherwise it goes on without this program. */
export type ResetEnd = 'ended' | 'overdue' | 'timeout' | 'interrupted' | 'detached';
export type ResetOutcome = Readonly<{ end: ResetEnd; operation: OperationView }>;

export function draftOf({ vm, account, vnc, graceS, notBeforeS }: ResetRequest): OperationRequest {
  return {
    vm,
    ...(account ? { account: { name: account.name, unlock: account.unlock, mode: account.mode } } : {}),
    ...(vnc ? { vnc: { server: vnc.server, mode: vnc.mode, restart: vnc.restart } } : {}),
    reboot: { grace_s: graceS },
    ...(notBeforeS === undefined ? {} : { not_before: new Date(notBeforeS * 1_000).toISOString() }),
    method: 'online',
  };
}

export function isTyped(request: ResetRequest): boolean {
  return request.account?.mode === 'typed' || request.vnc?.mode === 'typed';
}

export function isGenerated(request: ResetRequest): boolean {
  return request.account?.mode === 'generated' || request.vnc?.mode === 'generated';
}
