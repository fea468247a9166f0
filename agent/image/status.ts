// `latchkey-agent status`: who this machine is to its control plane, how the link is connected, what is under way, and by
// which root it goes. Told from the notes and files that the agent's processes leave; nothing is asked and nothing changed.

import { type Code, codes, isCode } from '../../protocol/codes.ts';
import type { Tried } from '../core/trouble.ts';
import type { EnrolmentNote, LinkNote } from '../notes.ts';

export type Status = Readonly<{
  version: string;
  identity: Tried<Readonly<{ agent: string; project: string }>>;
  enrolment: EnrolmentNote | null;
  link: LinkNote | null;
  /** Whether the process that wrote the link's note still lives. */
  linkRuns: boolean;
  operation: Tried<Readonly<{ op: string; state: string }> | null>;
  root: Tried<Readonly<{ version: number; expires: number }>>;
  platform: Readonly<{ system: string; proven: boolean }>;
}>;

export const isConnected = ({ link, linkRuns }: Status): boolean => linkRuns && link?.state === 'connected';

const iso = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
const codeIn = <T>(tried: Tried<T>): Code | null => ('code' in tried ? tried.code : null);
const valueIn = <T>(tried: Tried<T>): T | null => ('code' in tried ? null : tried.value);

export function statusJson(status: Status): object {
  const { version, identity, enrolment, link, linkRuns, operation, root, platform } = status;
  const known = valueIn(root);
  return {
    version,
    agent: valueIn(identity)?.agent ?? null,
    project: valueIn(identity)?.project ?? null,
    identity_code: codeIn(identity),
    enrolment: enrolment && { ...enrolment, at: iso(enrolment.at) },
    connected: isConnected(status),
    link: link && {
      running: linkRuns,
      state: link.state,
      since: iso(link.since),
      host: link.host,
      code: link.code,
      reason: link.reason,
    },
    operation: valueIn(operation),
    operation_code: codeIn(operation),
    root: known && { version: known.version, expires: iso(known.expires) },
    root_code: codeIn(root),
    platform,
  };
}

export function statusLines(status: Status): string[] {
  const { version, identity, enrolment, operation, root, platform } = status;
  const who = valueIn(identity);
  const known = valueIn(root);
  const running = valueIn(operation);
  const rows: (readonly [string, string])[] = [
    ['agent', who ? `${who.agent}, project ${who.project}` : words(codeIn(identity))],
    ...(enrolment ? [['enrolment', enrolmentWords(enrolment)] as const] : []),
    ['link', linkWords(status)],
    ['operation', running ? `${running.op} is ${running.state}` : words(codeIn(operation), 'none under way')],
    ['root', known ? `version ${known.version}, ends ${iso(known.expires)}` : words(codeIn(root))],
    ['version', version],
    ...(platform.proven ? [] : [['system', `${platform.system}: ${words('PLATFORM_UNPROVEN')}`] as const]),
  ];
  return rows.map(([name, value]) => `${name.padEnd(9)}  ${value}`);
}

function enrolmentWords({ at, code, reason, host, retrying }: EnrolmentNote): string {
  const about = [host, reason].filter(Boolean).join(', ');
  return `${retrying ? 'being tried again' : 'failed'}, last at ${iso(at)}: ${words(code)}${about ? ` (${about})` : ''}`;
}

function linkWords({ link, linkRuns }: Status): string {
  if (link === null) return 'never connected';
  const { state, since, host, code, reason } = link;
  const why = code === null ? '' : `: ${words(code)}${reason ? ` (${reason})` : ''}`;
  if (!linkRuns) return `not running; was ${state} since ${iso(since)}${why}`;
  if (state === 'connected') return `connected to ${host} since ${iso(since)}`;
  return `not connected since ${iso(since)}${why}`;
}

function words(code: string | null, otherwise = 'unknown'): string {
  if (code === null) return otherwise;
  return isCode(code) ? `${code} ${codes[code].sentence} ${codes[code].hint}` : code;
}
