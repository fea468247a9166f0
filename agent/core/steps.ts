// What to do next. A pure decision over what the journal holds and three facts of the moment; the executor asks it again
// after every outcome, and after a crash or a reboot it gives the same kind of answer.

import type { Code } from '../../protocol/codes.ts';
import type { AgentState } from '../../protocol/lifecycle.ts';
import { REBOOT_REQUESTS_MAX } from '../../protocol/limits.ts';
import type { VncState } from '../../protocol/receipt.ts';
import { isEnded, type Operation } from './ledger.ts';

/** What the executor knows beside the journal. */
export type Moment = Readonly<{
  boot: string;
  /** This process holds the unsealed or generated secrets: it is the one that accepted the command. */
  holdsSecrets: boolean;
  /** A verified cancel of this operation was received. */
  cancelled: boolean;
  /** The reboot was asked for by this process, long enough ago for it to have happened. */
  rebootSwallowed: boolean;
}>;

export type Step =
  | Readonly<{ do: 'wait'; graceS: number }>
  | Readonly<{ do: 'generate' }>
  | Readonly<{ do: 'set_account' }>
  | Readonly<{ do: 'set_vnc' }>
  | Readonly<{ do: 'reboot'; attempt: number }>
  /** The reboot was asked for: see whether this process dies of it. */
  | Readonly<{ do: 'await_reboot' }>
  /** An effect was begun by a process that is gone: compare what is there with what was there before. */
  | Readonly<{ do: 'inspect'; effect: 'account' | 'vnc' }>
  | Readonly<{ do: 'prove_boot' }>
  | Readonly<{ do: 'prove_secrets' }>
  /** `reason` is a short word beside the code, for the receipt. */
  | Readonly<{ do: 'end'; state: AgentState; code: Code | null; reason?: string; vncState?: VncState }>
  | Readonly<{ do: 'nothing' }>;

/**
 * The next step of an accepted operation.
 *
 * The order: ACCEPTED, WAITING (grace; nothing changed yet), SECRET_READY (generated secrets sealed and durable),
 * PASSWORD_SET, VNC_SET, REBOOTING, and in another boot BOOTED and the end. A process that did not accept the command holds
 * no secrets and never starts to change one: it finishes what needs none, or ends the operation by what it finds.
 */
export function nextStep(operation: Operation, moment: Moment): Step {
  const { work, state, begun } = operation;
  if (!work) return { do: 'nothing' };
  // Announced, and no outcome: whoever asks, the effect is looked at and never started a second time.
  if (begun && !isEnded(operation)) return { do: 'inspect', effect: begun.effect };
  switch (state) {
    case 'ACCEPTED':
    case 'WAITING':
    case 'SECRET_READY':
      return beforeTheAccount(operation, moment);
    case 'PASSWORD_SET':
      // A cancel stops only the reboot now: one secret set and the other not is what nobody asked for.
      if (vncToSet(operation))
        return moment.holdsSecrets ? { do: 'set_vnc' } : { do: 'end', state: 'PARTIAL', code: 'INTERRUPTED' };
      if (moment.cancelled) return { do: 'end', state: 'PARTIAL', code: 'REBOOT_CANCELLED' };
      return { do: 'reboot', attempt: operation.reboots + 1 };
    case 'VNC_SET':
      if (moment.cancelled) return { do: 'end', state: 'PARTIAL', code: 'REBOOT_CANCELLED' };
      return { do: 'reboot', attempt: operation.reboots + 1 };
    case 'REBOOTING':
      return whileRebooting(operation, moment);
    case 'BOOTED':
      return { do: 'prove_secrets' };
    default:
      return { do: 'nothing' };
  }
}

function beforeTheAccount(operation: Operation, moment: Moment): Step {
  const { work, state } = operation;
  if (!work) return { do: 'nothing' };
  if (!moment.holdsSecrets) return { do: 'end', state: 'INTERRUPTED', code: 'INTERRUPTED' };
  if (moment.cancelled) return { do: 'end', state: 'CANCELLED', code: 'CANCELLED' };
  if (state === 'ACCEPTED' && work.graceS > 0) return { do: 'wait', graceS: work.graceS };
  if (state !== 'SECRET_READY' && hasGenerated(operation)) return { do: 'generate' };
  return work.account ? { do: 'set_account' } : { do: 'set_vnc' };
}

function whileRebooting(operation: Operation, moment: Moment): Step {
  if (operation.rebootAskedIn !== moment.boot) return { do: 'prove_boot' };
  // Asked for in this very boot, by this process or by one that is gone: it either comes or was swallowed.
  if (!moment.rebootSwallowed) return { do: 'await_reboot' };
  // It was asked for and may come late all the same: only asking again is what a cancel can stop.
  if (moment.cancelled) return { do: 'end', state: 'PARTIAL', code: 'REBOOT_CANCELLED', reason: 'asked_for_before' };
  if (operation.reboots >= REBOOT_REQUESTS_MAX) return { do: 'end', state: 'PARTIAL', code: 'REBOOT_TIMEOUT' };
  return { do: 'reboot', attempt: operation.reboots + 1 };
}

export function hasGenerated({ work }: Operation): boolean {
  return work?.account?.secret === 'generated' || (work?.vnc?.secret === 'generated' && work.vnc.server !== null);
}

function vncToSet({ work }: Operation): boolean {
  return work?.vnc != null && work.vnc.server !== null;
}

/** How an inspected effect ends the operation: by what was found, never by what is remembered. */
export function endOfInspection(effect: 'account' | 'vnc', changed: boolean, hasAccount: boolean): Step {
  if (effect === 'account') return { do: 'end', state: changed ? 'PARTIAL' : 'INTERRUPTED', code: 'INTERRUPTED' };
  // The account, where there is one, was set and proven before the VNC step began.
  return { do: 'end', state: changed || hasAccount ? 'PARTIAL' : 'INTERRUPTED', code: 'INTERRUPTED' };
}

/** The end after the reboot, from what was proven. */
export function endOfProof(
  operation: Operation,
  proven: { account: boolean | null; vnc: boolean | 'absent' | null },
): Step {
  if (operation.work?.account && proven.account !== true) return { do: 'end', state: 'PARTIAL', code: 'VERIFY_FAILED' };
  if (operation.work?.vnc && operation.work.vnc.server === null)
    return { do: 'end', state: 'PARTIAL', code: 'VNC_ABSENT' };
  if (operation.work?.vnc && proven.vnc !== true) return { do: 'end', state: 'PARTIAL', code: 'VNC_UNVERIFIED' };
  return { do: 'end', state: 'DONE', code: null };
}
