// How an operation's end reads: every end state in plain words, each password with whether it is in force, and what a
// reset did not do. Pure text and JSON; a password appears only in what `secretLines` and `revealed` return.

import type { State } from '../../../protocol/lifecycle.ts';
import type { VncState } from '../../../protocol/receipt.ts';
import type { Slot } from '../../../protocol/seal.ts';
import type { OperationView } from '../../api/schemas.ts';
import type { ResetEnd } from '../reset/request.ts';
import { type InForce, inForce, type OpenedSecrets } from '../reset/secrets.ts';
import { reasonText } from './reason.ts';
import { codeText, codeWithHint, paint, printable } from './text.ts';

const endings: Partial<Record<State, string>> = {
  DONE: 'Done: the machine was reset, restarted, and what was reset is in force.',
  PARTIAL: 'Partly done: something was changed, and not everything that was asked.',
  FAILED: 'Failed: the machine could not be reset.',
  REFUSED: 'Refused: nothing was changed.',
  INTERRUPTED: 'Interrupted: the operation was cut off in the machine before it changed the password.',
  CANCELLED: 'Cancelled: nothing was changed.',
  EXPIRED: 'Expired: the operation came to no end in its time.',
};

const vncStands: Readonly<Record<VncState, string>> = {
  written: 'it is in the server’s files; whether it is in force could not be asked any more.',
  verified: 'proven; the server takes the new one.',
  old_accepted: 'the server still takes the old one.',
  restart_required: 'it is in force when the server has been started anew.',
  unverifiable: 'it is in the server’s files, and the server did not say whether it is in force.',
};

/** Sentences about how it ended, from the state alone and from its code. */
export function endingLines(view: OperationView): string[] {
  const mark = view.state === 'DONE' ? paint('green', '✔') : paint(view.state === 'PARTIAL' ? 'yellow' : 'red', '✖');
  const lines = [`${mark} ${endings[view.state] ?? `The operation is in state ${view.state}.`}`];
  const reason = view.state === 'DONE' ? null : reasonText(view);
  // The code's own hint is for those of its reasons that have none.
  if (view.code !== null && view.state !== 'DONE')
    lines.push(`  ${reason?.hint == null ? codeWithHint(view.code) : codeText(view.code)}`);
  if (reason !== null) lines.push(`  Reason: ${reason.clause}.${reason.hint === null ? '' : ` ${reason.hint}`}`);
  if (view.vnc_state !== null) lines.push(`  VNC password: ${vncStands[view.vnc_state]}`);
  if (view.gap !== null) lines.push(`  ${gapText(view.gap)}`);
  for (const warning of view.warnings) lines.push(`  Warning ${codeWithHint(warning)}`);
  if (changed(view)) {
    lines.push('  Not touched: SSH keys, other accounts and other ways to sign in stay as they were.');
    const stays = view.receipts.some(({ state }) => state === 'BOOTED');
    if (!stays) lines.push('  Sessions that were open stay open until the machine restarts.');
  }
  return lines;
}

/** Receipts that the machine has signed and that did not come. */
export function gapText({ after, n }: NonNullable<OperationView['gap']>): string {
  const missing = after + 1 === n - 1 ? `Receipt ${after + 1} is` : `Receipts ${after + 1} to ${n - 1} are`;
  return `${missing} missing: the machine has signed number ${n}, which is not taken before.`;
}

/** Why this program stopped watching, and how to go on. */
export function unfinishedLines(end: ResetEnd, { op, state }: OperationView): string[] {
  const reasons: Readonly<Record<Exclude<ResetEnd, 'ended'>, string>> = {
    overdue: 'OVERDUE: the machine has not come back from its restart yet. Look at its console.',
    timeout: 'The time given with --timeout is over.',
    interrupted: 'No longer watching.',
    detached: 'Approved.',
  };
  if (end === 'ended') return [];
  return [
    `${reasons[end]} The operation goes on without this command (now ${state}).`,
    `  Watch it:  latchkey op watch ${op}`,
    `  Stop it:   latchkey op cancel ${op}`,
  ];
}

/** The passwords that matter now, with what is known of them. Called once, for the operator's eyes. */
export function secretLines(view: OperationView, secrets: OpenedSecrets): string[] {
  const lines: string[] = [];
  for (const slot of ['account', 'vnc'] as const) {
    if (view[slot]?.mode !== 'generated') continue;
    const [secret, force] = [secrets[slot], inForce(view, slot)];
    if (force === 'no') {
      if (secret) lines.push(`The ${slotName(view, slot)} that was generated is NOT in force; the old one still is.`);
    } else if (secret) {
      lines.push(`New ${slotName(view, slot)}:  ${paint('bold', secret.reveal())}`);
      if (force === 'unknown') lines.push('  It may or may not be in force: the machine has not proven it.');
    }
  }
  if (lines.some((line) => line.startsWith('New '))) lines.push('Shown this once: nobody can read it again.');
  return lines;
}

/** For `--json --reveal`: `null` for a password that is not in force. */
export function revealed(view: OperationView, secrets: OpenedSecrets): Record<Slot, string | null> {
  const value = (slot: Slot) => (inForce(view, slot) === 'no' ? null : (secrets[slot]?.reveal() ?? null));
  return { account: value('account'), vnc: value('vnc') };
}

function slotName({ account, vnc }: OperationView, slot: Slot): string {
  if (slot === 'account') return `password of ${printable(account?.name ?? 'the administrator')}`;
  return `VNC password${vnc?.server ? ` of ${printable(vnc.server)}` : ''}`;
}

function changed({ receipts }: OperationView): boolean {
  return receipts.some(({ state }) => state === 'PASSWORD_SET' || state === 'VNC_SET');
}

/** The last JSON line of an operation: the same fields as the demonstration's. */
export function doneJson(view: OperationView, event: 'done' | ResetEnd): object {
  const { op, state, code, account, verified, boot_before: bootIdBefore, boot_after: bootIdAfter, warnings } = view;
  return {
    event,
    op,
    state,
    code,
    account: account?.name ?? null,
    verified: verified ?? { account: null, vnc: null, reboot: false },
    vncState: view.vnc_state,
    gap: view.gap,
    bootIdBefore,
    bootIdAfter,
    warnings,
    inForce: { account: forceOf(view, 'account'), vnc: forceOf(view, 'vnc') },
  };
}

function forceOf(view: OperationView, slot: Slot): InForce | null {
  return view[slot] === null ? null : inForce(view, slot);
}

/** One line about a state that was reached. */
export function moveText(state: string, code: string | null): string {
  return code === null ? state : `${state}  ${codeText(code)}`;
}
