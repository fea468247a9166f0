// What an operator is told before confirming a reset: what will be done to which account, what it can cost, and what the
// executor said of the machine. Pure text.

import type { Ready } from '../../../protocol/session.ts';
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
      ...windowFacts(request),
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
  const { server, mode, restart } = request.vnc;
  const origin =
    mode === 'typed' ? 'typed by you and sealed to the machine' : 'generated in the machine, sealed to you';
  if (ready && ready.vnc.length === 0) return ['VNC: no server was found; only the account’s password is reset.'];
  const found = concerned(ready, server);
  const lines = [`VNC password${server === null ? '' : ` of ${server}`}: ${origin}.`];
  for (const entry of found) {
    if (entry.kind === 'vncauth') {
      lines.push(`  ${entry.server} reads the first ${entry.effective} characters of a password and no more.`);
    } else if (entry.kind === 'account') {
      lines.push(`  ${entry.server} asks for an account’s password and has none of its own.`);
    }
    if (entry.uid !== undefined) lines.push(`  ${entry.server} runs with uid ${entry.uid}.`);
    if (entry.reads === 'start') lines.push(`  ${entry.server} ${restart ? WITH_CONSENT : WITHOUT_CONSENT}`);
  }
  return lines;
}

const WITH_CONSENT = 'reads its password at its start alone; it is restarted first, where a service manager keeps it.';
const WITHOUT_CONSENT =
  'reads its password at its start alone: the old one stays in force until the machine restarts (or say --restart-vnc).';

/** The servers that a request may be about: the named one, or all where none is named. */
function concerned(ready: ResetSummary['ready'], server: string | null): Ready['vnc'] {
  return (ready?.vnc ?? []).filter((entry) => server === null || entry.server === server);
}

function windowFacts({ notBeforeS }: ResetSummary['request']): string[] {
  if (notBeforeS === undefined) return [];
  return [
    `Nothing is sent before ${new Date(notBeforeS * 1_000).toISOString()}; until then no other reset of it can begin.`,
  ];
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

function costs({ request, ready }: ResetSummary): string[] {
  const lines = ['Unsaved work in the machine is lost when it restarts.'];
  if (request.account) {
    lines.push('Login keyrings, encrypted homes (fscrypt) and DPAPI or EFS data still want the old password.');
  }
  return [...lines, ...restartCosts(request.vnc, ready)];
}

/** What the operator's consent to a restart of the VNC server can cost, beside what the machine's own restart does. */
function restartCosts(vnc: ResetSummary['request']['vnc'], ready: ResetSummary['ready']): string[] {
  if (!vnc?.restart) return [];
  const found = concerned(ready, vnc.server);
  if (found.length === 0)
    return ['The VNC server may be restarted before that: programs on a display of its own end then.'];
  return found.map(({ server, display }) =>
    display === 'own'
      ? `${server} may be restarted before that: every program on its display ends then, with unsaved work.`
      : `${server} may be restarted before that: its viewers are cut off then.`,
  );
}

export function durationText(totalS: number): string {
  const [hours, minutes, seconds] = [Math.floor(totalS / 3_600), Math.floor((totalS % 3_600) / 60), totalS % 60];
  const parts = [hours ? `${hours} h` : '', minutes ? `${minutes} min` : '', seconds ? `${seconds} s` : ''];
  return parts.filter((part) => part !== '').join(' ') || '0 s';
}
