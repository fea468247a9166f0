// What an executor is made of. The composition root fills this in with real adapters, a test with fakes.

import type { Logger } from 'pino';
import type { SigningKey } from '../../protocol/keys.ts';
import type { RootPayload, SignedRoot } from '../../protocol/root.ts';
import type { AgentConfig } from '../config.ts';
import type { Accounts } from '../ports/accounts.ts';
import type { Clock } from '../ports/clock.ts';
import type { Environment } from '../ports/environment.ts';
import type { Inspection } from '../ports/inspection.ts';
import type { Journal } from '../ports/journal.ts';
import type { Power } from '../ports/power.ts';
import type { Random } from '../ports/random.ts';
import type { Vnc } from '../ports/vnc.ts';

/** Who this machine is to the control plane, and the executor's own key. */
export type Identity = Readonly<{
  agent: string;
  project: string;
  /** The join token that it enrolled with. */
  joinSha256?: string | undefined;
  ek: SigningKey;
}>;

/** The newest root, read anew each time: one may come while an executor waits. `add` proves and keeps the next one. */
export type Roots = Readonly<{ newest(): Promise<RootPayload>; add(document: SignedRoot): Promise<RootPayload> }>;

/** What agent.json says to the executor. */
export type Policy = Readonly<{
  rootfs: readonly string[];
  vncServer: string | null;
  commonPasswords: ReadonlySet<string>;
}>;

/** What the adapters of a system are made from. */
export type MachineFacts = Readonly<{ config: AgentConfig; macKey: Uint8Array; marker: string }>;

/** A cancel that was received by another executor of this machine; kept as the signed token itself. */
export type CancelBox = Readonly<{ put(token: string): Promise<void>; take(): Promise<string | null> }>;

/** What acts on the machine, and what looks at it. */
export type Machinery = Pick<
  ExecutorParts,
  'policy' | 'accounts' | 'vnc' | 'power' | 'environment' | 'inspection' | 'openJournal'
>;

export type ExecutorParts = Readonly<{
  identity: Identity;
  roots: Roots;
  policy: Policy;
  accounts: Accounts;
  vnc: Vnc;
  power: Power;
  environment: Environment;
  inspection: Inspection;
  clock: Clock;
  random: Random;
  openJournal(mode: 'read' | 'write'): Promise<Journal>;
  cancels: CancelBox;
  /** How long a reboot that was asked for may take before it counts as swallowed, in milliseconds. */
  rebootPatienceMs: number;
  log: Logger;
}>;
