// What must hold in the very moment: before a secret changes, when a reboot is asked for, and when something is said.

import type { Operation } from '../../agent/core/ledger.ts';
import type { Answer } from '../../agent/executor/channel.ts';
import { REBOOT_REQUESTS_MAX, VNCAUTH_BYTES } from '../../protocol/limits.ts';
import type { Receipt } from '../../protocol/receipt.ts';
import type { Slot } from '../../protocol/seal.ts';
import { payloadOf } from '../../protocol/token.ts';
import type { SimulatedMachine } from './machine.ts';
import { REBOOT_PATIENCE_MS } from './ports.ts';
import type { Scenario } from './scenario.ts';

/** What is looked at. */
type Scene = Readonly<{
  operation: Operation | undefined;
  machine: SimulatedMachine;
  scenario: Scenario;
  typed: Readonly<Record<Slot, string>>;
  cancelledInGrace: boolean;
}>;

/** Announced durably, at most once, of its own, and with a generated secret already sealed in a durable receipt. */
export function complaintsOfChange(
  { operation, machine, scenario, typed, cancelledInGrace }: Scene,
  slot: Slot,
  secret: string,
): string[] {
  const wish = scenario.order[slot];
  const sealed = operation?.receipts.some(({ token }) => (payloadOf(token) as Receipt).sealed?.[slot] !== undefined);
  return [
    ...(operation?.begun?.effect === slot ? [] : [`the ${slot} secret is set before its beginning is durable`]),
    ...(wish === 'generated' && !sealed ? [`a generated ${slot} secret is set before it is sealed`] : []),
    ...(wish === 'typed' && secret !== typed[slot] ? [`another ${slot} secret is set than was typed`] : []),
    ...(cancelledInGrace ? [`the ${slot} secret is set after a cancel in the grace period`] : []),
    ...(wish === null ? [`a ${slot} secret is set that nobody asked for`] : []),
    ...(machine.changes.some((change) => change.slot === slot) ? [`the ${slot} secret is set twice`] : []),
    ...(machine.changes.some((change) => change.slot !== slot && beginAlike(change.secret, secret))
      ? ['the VNC secret begins like the account’s password']
      : []),
  ];
}

/** VNC files give away as many characters as VncAuth reads. */
function beginAlike(one: string, other: string): boolean {
  return one.slice(0, VNCAUTH_BYTES) === other.slice(0, VNCAUTH_BYTES);
}

/** Its receipt is durable, and the one before it in this boot had its time. */
export function complaintsOfReboot({ operation, machine }: Scene): string[] {
  const sinceMs = machine.rebootAskedAtMs === null ? Number.POSITIVE_INFINITY : machine.nowMs - machine.rebootAskedAtMs;
  return [
    ...(operation?.state === 'REBOOTING' ? [] : [`a reboot is asked for in ${operation?.state}`]),
    ...(operation?.rebootAskedIn === machine.bootId ? [] : ['a reboot is asked for in a boot that is not recorded']),
    ...((operation?.reboots ?? 0) > REBOOT_REQUESTS_MAX ? ['a reboot is asked for again and again'] : []),
    ...(sinceMs < REBOOT_PATIENCE_MS ? ['a reboot is asked for twice in one boot without being swallowed'] : []),
  ];
}

/** A receipt is said when it is in the journal, but for the refusal of what was never accepted. */
export function complaintsOfAnswer({ machine, operation }: Scene, answer: Answer): string[] {
  if (answer.t !== 'receipt' || machine.journal.includes(answer.token)) return [];
  const { state, n } = payloadOf(answer.token) as Receipt;
  if (state === 'REFUSED' && n === 1 && operation === undefined) return [];
  return [`the receipt ${n} ${state} is said and not in the journal, which says ${operation?.state ?? 'nothing'}`];
}
