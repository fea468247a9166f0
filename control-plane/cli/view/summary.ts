// What an operator is told before confirming a reset: what will be done to which account, what it can cost, and what the
// executor said of the machine. Pure text.

import type { ResetSummary } from '../reset/request.ts';
import { codeText, printable } from './text.ts';

const accountStates: Readonly<Record<string, string>> = {
  active: 'has a password now',
  no_password: 'has no password now; the reset gives it one',
  locked: 'is locked; the reset unlocks it',
  expired: 'has expired',
};

export type SummaryText = Readonly<{ title: string; facts: readonly string[]; costs: readonly string[] }>;

export function summaryText(summary: ResetSummary): SummaryText {
  const { operation, request } = summary;
  return {
    title: `Reset on ${printable(operation.vm_name)}`,
    facts: [
      ...accountFacts(summary),
      ...vncFacts(summary),
      ...rebootFacts(request.graceS),
      ...readinessFacts(summary),
      ...summary.warnings.map((code) => `Warning ${codeText(code)}`),
      ...acquaintanceFacts(summary),
    ],
    costs: costs(summary),
  };
}

function accountFacts({ request, ready }: ResetSummary): string[] {
  if (!request.account) return [];
  const { name, mode } = request.account;
  const origin =
    mode === 'typed' ? 'typed by you and sealed to the machine' : 'generated in the machine, sealed to you';
  const account = ready?.account;
  const who = account
    ? `${account.name} (uid ${account.uid}), which ${accountStates[account.state] ?? account.state}`
    : (name ?? 'the default administrator');
  return [`Account password of ${who}: ${origin}.`];
}

function vncFacts({ request, ready }: ResetSummary): string[] {
  if (!request.vnc) return [];
  const { server, mode } = request.vnc;
  const origin =
    mode === 'typed' ? 'typed by you and sealed to the machine' : 'generated in the machine, sealed to you';
  if (ready && ready.vnc.length === 0) return ['VNC: no server was found; only the account’s password is reset.'];
  const found = (ready?.vnc ?? []).filter((entry) => server === null || entry.server === server);
  const lines = [`VNC password${server === null ? '' : ` of ${server}`}: ${origin}.`];
  for (const entry of found) {
    if (entry.kind === 'vncauth') {
      lines.push(`  ${entry.server} reads the first ${entry.effective} characters of a password and no more.`);
    } else lines.push(`  ${entry.server} asks for an account’s password and has none of its own.`);
  }
  return lines;
}

function rebootFacts(graceS: number): string[] {
  if (graceS === 0) return ['The machine restarts at once: there is no grace period.'];
  return [`The machine restarts after a grace period of ${durationText(graceS)}; nothing is changed before.`];
}

function readinessFacts({ ready, online, reason, operation }: ResetSummary): string[] {
  if (ready) return [];
  const why = reason === null ? '' : ` It says ${codeText(reason)}`;
  const state = online ? `The agent is connected and not ready.${why}` : 'The agent is not connected.';
  return [`${state} The operation will be queued as ${operation.op} and done when the agent is ready.`];
}

function acquaintanceFacts({ acquaintance, operation: { agent } }: ResetSummary): string[] {
  if (acquaintance === 'known') return [];
  if (acquaintance === 'new') return [`This is the first time that agent ${agent} is seen from here; its key is kept.`];
  return [
    `Note: this machine was enrolled anew since you last used it from here; its agent is now ${agent}. Go on only if you know why.`,
  ];
}

function costs({ request }: ResetSummary): string[] {
  const lines = ['Unsaved work in the machine is lost when it restarts.'];
  if (request.account) {
    lines.push('Login keyrings, encrypted homes (fscrypt) and DPAPI or EFS data still want the old password.');
  }
  return lines;
}

export function durationText(totalS: number): string {
  const [hours, minutes, seconds] = [Math.floor(totalS / 3_600), Math.floor((totalS % 3_600) / 60), totalS % 60];
  const parts = [hours ? `${hours} h` : '', minutes ? `${minutes} min` : '', seconds ? `${seconds} s` : ''];
  return parts.filter((part) => part !== '').join(' ') || '0 s';
}
