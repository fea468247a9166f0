// Letters. What the owner of a machine is written after a reset of it: what was done, when, by whom, how it ended, and what to do
// if it was not them; no secret is in it, and nothing that a machine said of itself. And what somebody is written who is invited.

import { codes, isCode } from '../../protocol/codes.ts';
import type { State } from '../../protocol/lifecycle.ts';
import type { Operation } from './operation.ts';

/** Ends after which a machine is, or may be, another than before. */
const TOLD: readonly State[] = ['DONE', 'PARTIAL', 'FAILED', 'INTERRUPTED'];

export const isTold = (state: State): boolean => TOLD.includes(state);

const outcomes: Partial<Record<State, string>> = {
  DONE: 'It was done, and the machine was restarted.',
  PARTIAL: 'It was done in part.',
  FAILED: 'It failed; something may have been changed.',
  INTERRUPTED: 'It was interrupted; something may have been changed.',
};

export type Told = Readonly<{ operation: Operation; vmName: string; origin: string }>;

export function letterOf({ operation, vmName, origin }: Told): Readonly<{ subject: string; text: string }> {
  const { op, vm, project, operator, state, code, draft, approvedAt, endedAt } = operation;
  const account = draft.account && `the password of ${draft.account.name ?? 'the administrator'}`;
  const what = [account, draft.vnc && 'the VNC password'].filter((part) => part !== null).join(' and ');
  const why = code === null || !isCode(code) ? '' : ` ${codes[code].sentence}`;
  const lines = [
    `On your machine ${vmName}, ${what} was to be reset.`,
    '',
    `Machine:   ${vmName} (${vm}, project ${project})`,
    `By:        ${operator}`,
    `Approved:  ${timeText(approvedAt)}`,
    `Ended:     ${timeText(endedAt)}`,
    `Outcome:   ${state}. ${outcomes[state] ?? ''}${why}`,
    `Operation: ${op}`,
    '',
    'If you did not ask for this, or do not know of it: tell the administrators of this service at once, with the number of',
    'the operation above. They can see who approved it, and how. Treat the machine as somebody else’s until then. Whoever',
    'knows its new password can be shut out by another reset:',
    '',
    `  latchkey op show ${op} --url ${origin}`,
    `  latchkey reset ${vm} --url ${origin}`,
    '',
    'No password is in this message, and nobody will ever ask you for one.',
    '',
  ];
  return { subject: `Password reset on ${vmName}: ${state}`, text: lines.join('\n') };
}

export type Invited = Readonly<{
  operator: string;
  role: string;
  project: string;
  by: string;
  link: string;
  expiresAt: number;
}>;

/** Whoever reads it can come: it goes to the invited address and nowhere else. */
export function invitationLetter(invited: Invited): Readonly<{ subject: string; text: string }> {
  const { operator, role, project, by, link, expiresAt } = invited;
  const lines = [
    `${by} invites you to Latchkey, as ${operator}: ${role} in the project ${project}.`,
    '',
    `Open this before ${timeText(expiresAt)}. It works once:`,
    '',
    `  ${link}`,
    '',
    'Whoever has this link can come in your place: pass it on to nobody. If you expected no invitation, do nothing.',
    '',
  ];
  return { subject: `Latchkey: invitation for ${operator}`, text: lines.join('\n') };
}

const timeText = (ms: number | null) => (ms === null ? 'not known' : `${new Date(ms).toISOString().slice(0, 19)}Z`);
