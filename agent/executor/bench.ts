// What every step has at hand: the operation, the machine, the journal, and the secrets that this process alone holds.

import type { Failure } from '../../protocol/failure.ts';
import type { Verified } from '../../protocol/receipt.ts';
import type { X25519Jwk } from '../../protocol/schema.ts';
import type { Slot } from '../../protocol/seal.ts';
import type { Secret } from '../../protocol/secret.ts';
import type { Operation } from '../core/ledger.ts';
import type { Step } from '../core/steps.ts';
import { reasonOf } from '../core/trouble.ts';
import type { ExecutorParts } from './parts.ts';
import type { Recorder } from './recorder.ts';

/** What only the accepting process has: typed secrets in clear, and where generated ones go. */
export type Holding = {
  readonly secrets: Map<Slot, Secret>;
  readonly recipients: ReadonlyMap<Slot, X25519Jwk>;
};

/** The operation at hand and what this process has for it. */
export type Bench = Readonly<{
  parts: ExecutorParts;
  recorder: Recorder;
  op: string;
  holding: Holding | null;
  boot: string;
}>;

export type End = Extract<Step, { do: 'end' }>;

export const end = (state: End['state'], code: End['code'], details: Failure['details'] = {}): End => ({
  do: 'end',
  state,
  code,
  ...reasonOf(details),
});

export function verifiedSoFar({ work, finding }: Operation): Verified {
  return finding.verified ?? { account: null, vnc: work?.vncAbsent ? 'absent' : null, reboot: false };
}
