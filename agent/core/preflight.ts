// From what was found to rows that say whether a reset would be refused, or would fail, and by which code. Every refusal's
// code is one that a reset would end with; nothing here is a condition of its own.

import type { Code } from '../../protocol/codes.ts';
import { codeOf, type Failure } from '../../protocol/failure.ts';
import { VNCAUTH_BYTES } from '../../protocol/limits.ts';
import { type Check, type CheckName, PREFLIGHT_PAYLOAD_BYTES_MAX, type Preflight } from '../../protocol/preflight.ts';
import { assertRootValid, type RootPayload, roleKeys } from '../../protocol/root.ts';
import { reasonOf, type Tried } from './trouble.ts';

const DAY_S = 86_400;
/** An end that is nearer than this is worth a word. */
const NOTICE_DAYS = 14;
/** A clock that is further off than this is worth a word. */
const CLOCK_TOLERANCE_S = 60;
/** Room for the journal's lines of one reset, many times over. */
const FREE_BYTES_LOW = 1_048_576;

/** The row of a demand: ok, or refused with the code that it threw. */
export function judge(name: CheckName, tried: Tried<unknown>, about?: string): Check {
  if (!('code' in tried)) return row(name, 'ok', { about });
  return row(name, 'refused', { code: tried.code, ...reasonOf(tried.details), about });
}

export function row(
  name: CheckName,
  verdict: Check['verdict'],
  more: Readonly<{ code?: Code; reason?: string | undefined; about?: string | undefined }> = {},
): Check {
  const { code, reason, about } = more;
  return {
    name,
    verdict,
    ...(code === undefined ? {} : { code }),
    ...(reason === undefined ? {} : { reason }),
    ...(about === undefined ? {} : { about: printable(about) }),
  };
}

/** What a row is about comes from the machine: it is cut to what the wire takes. */
function printable(about: string): string {
  return about.replace(/[^\x20-\x7e]/g, '?').slice(0, 64) || '-';
}

/** The root and the keys that sign commands, as a command of that time would find them. */
export function judgeTrust(root: Tried<RootPayload>, nowS: number): Check {
  if ('code' in root) return judge('trust', root);
  const { version, expires, roles, keys } = root.value;
  const refusal = firstRefusal(root.value, nowS);
  if (refusal) return row('trust', 'refused', { code: refusal.code, about: `version ${version}` });
  const lastKey = Math.max(...roles.command.kids.map((kid) => keys[kid]?.expires ?? 0));
  const days = Math.floor((Math.min(expires, lastKey) - nowS) / DAY_S);
  const about = `version ${version}, ends in ${days} ${days === 1 ? 'day' : 'days'}`;
  return days < NOTICE_DAYS
    ? row('trust', 'warning', { code: 'ROOT_EXPIRES_SOON', about })
    : row('trust', 'ok', { about });
}

/** One good key is enough: which of them signs is the control plane's matter. */
function firstRefusal(root: RootPayload, nowS: number): Failure | null {
  const key = roleKeys(root, 'command', nowS);
  const refusals = root.roles.command.kids.map((kid) => refusalOf(() => key(kid)));
  return refusalOf(() => assertRootValid(root, nowS)) ?? (refusals.includes(null) ? null : (refusals.at(0) ?? null));
}

function refusalOf(demand: () => unknown): Failure | null {
  try {
    demand();
    return null;
  } catch (error) {
    if (!codeOf(error)) throw error;
    return error as Failure;
  }
}

/** `nowS`: server time, `null` where it is not known. The guest's clock decides nothing, so it never refuses. */
export function judgeClock(wallS: number, nowS: number | null): Check {
  if (nowS === null) return row('clock', 'unknown', { about: 'server time is not known here' });
  const ahead = wallS - nowS;
  const about = ahead === 0 ? 'exact' : `${Math.abs(ahead)} s ${ahead > 0 ? 'ahead' : 'behind'}`;
  return Math.abs(ahead) > CLOCK_TOLERANCE_S
    ? row('clock', 'warning', { code: 'CLOCK_WRONG', about })
    : row('clock', 'ok', { about });
}

type AccountFacts = Readonly<{ name: string; uid: number; state: string }>;

export function judgeAccount(account: Tried<AccountFacts>, obstacles: readonly Code[]): Check[] {
  if ('code' in account) {
    const { account: name } = account.details;
    return [judge('account', account, typeof name === 'string' ? name : undefined)];
  }
  const { name, uid, state } = account.value;
  const about = `${name} (uid ${uid})`;
  const own =
    state === 'no_password'
      ? row('account', 'warning', { code: 'ACCOUNT_HAD_NO_PASSWORD', about })
      : row('account', 'ok', { about: `${about}, ${state}` });
  return [own, ...obstacles.map((code) => row('account', 'warning', { code, about: name }))];
}

export function judgeProgram(path: string | null): Check {
  return path === null
    ? row('password_program', 'refused', { code: 'PASSWD_FAILED', reason: 'missing' })
    : row('password_program', 'ok', { about: path });
}

export function judgeTerminal(opens: boolean): Check {
  return opens ? row('terminal', 'ok') : row('terminal', 'refused', { code: 'PASSWD_FAILED', reason: 'no_terminal' });
}

export function judgeDatabase(held: boolean): Check {
  return held ? row('database', 'refused', { code: 'SHADOW_LOCKED', reason: 'lock' }) : row('database', 'ok');
}

type PamFacts = Readonly<{ service: string | null; denies: boolean; missing: readonly string[]; unclear: boolean }>;

/** What the password program says when PAM fails it differs; that it fails does not. */
export function judgePam(facts: PamFacts | null): Check {
  if (facts === null) return row('pam', 'ok', { about: 'not used here' });
  const { service, denies, missing, unclear } = facts;
  if (service === null) return row('pam', 'refused', { code: 'PASSWD_FAILED', reason: 'pam_no_rules' });
  const refused = (reason: string, about: string) => row('pam', 'refused', { code: 'PASSWD_FAILED', reason, about });
  if (denies) return refused('pam_denies', service);
  if (missing.length > 0) return refused('pam_module', missing.join(' '));
  if (unclear) return row('pam', 'unknown', { about: `${service}: no module found` });
  return row('pam', 'ok', { about: service });
}

type StorageFacts = Readonly<{
  place: string;
  holds: 'journal' | 'accounts';
  writable: 'yes' | 'readonly' | 'denied' | null;
  freeBytes: number | null;
}>;

export function judgeStorage({ place, holds, writable, freeBytes }: StorageFacts): Check {
  const disk = (verdict: Check['verdict'], code?: Code, reason?: string) =>
    row('disk', verdict, { ...(code ? { code } : {}), reason, about: place });
  if (writable === 'readonly') return disk('refused', 'FS_READONLY', 'readonly');
  if (writable === 'denied')
    return disk('refused', holds === 'journal' ? 'JOURNAL_UNSAFE' : 'PASSWD_FAILED', 'permission');
  if (freeBytes === 0) return disk('refused', holds === 'journal' ? 'DISK_FULL' : 'PASSWD_FAILED', 'full');
  if (writable === null || freeBytes === null) return disk('unknown');
  return freeBytes < FREE_BYTES_LOW ? disk('warning', 'DISK_FULL', 'low') : disk('ok');
}

export type SeenServer = Readonly<{
  id: string;
  kind: 'vncauth' | 'login' | 'account';
  effective: number;
  changeable: Tried<void>;
}>;

/** `choice`: what a reset that names no server would meet. */
export function judgeVnc(servers: readonly SeenServer[], choice: Tried<unknown>): Check[] {
  if (servers.length === 0) return [row('vnc', 'ok', { code: 'VNC_ABSENT' })];
  const rows = servers.map(judgeServer);
  const none = 'value' in choice && choice.value === null;
  if (none) return [...rows, row('vnc', 'refused', { code: 'VNC_ABSENT', about: 'the one in agent.json' })];
  // A server that asks for the account's password has said so in its own row.
  if (!('code' in choice) || choice.code === 'VNC_USES_ACCOUNT') return rows;
  return [...rows, judge('vnc', choice, 'which one to change')];
}

function judgeServer({ id, kind, effective, changeable }: SeenServer): Check {
  // Its password is the account's, and a reset of that is a reset of this.
  if (kind === 'account') return row('vnc', 'warning', { code: 'VNC_USES_ACCOUNT', about: id });
  if ('code' in changeable) return judge('vnc', changeable, id);
  return row('vnc', 'ok', { about: id, ...(effective === VNCAUTH_BYTES ? { code: 'VNC_TRUNCATED' } : {}) });
}

type SandboxFacts = Readonly<{
  managed: boolean;
  noNewPrivileges: boolean;
  capabilities: bigint;
  seccomp: boolean;
}>;

/** Of capabilities(7) what no part of a reset needs: NET_ADMIN, SYS_MODULE, SYS_RAWIO, SYS_ADMIN, SYS_TIME. */
const NEEDLESS_CAPABILITIES = [12, 16, 17, 21, 25].reduce((mask, bit) => mask | (1n << BigInt(bit)), 0n);

/** Restrictions are a second wall: without them a reset works as well, so that they are missing is never a refusal. */
export function judgeSandbox(facts: SandboxFacts | null): Check {
  if (facts === null || !facts.managed)
    return row('sandbox', 'ok', { about: 'no service manager that could restrict it' });
  const missing = [
    ...(facts.noNewPrivileges ? [] : ['no_new_privs']),
    ...((facts.capabilities & NEEDLESS_CAPABILITIES) === 0n ? [] : ['capabilities']),
    ...(facts.seccomp ? [] : ['seccomp']),
  ];
  if (missing.length === 0) return row('sandbox', 'ok', { about: 'no_new_privs capabilities seccomp' });
  return row('sandbox', 'warning', { code: 'SANDBOX_OFF', about: `without ${missing.join(' ')}` });
}

export function judgePlatform({ system, proven }: Readonly<{ system: string; proven: boolean }>): Check {
  return proven
    ? row('platform', 'ok', { about: system })
    : row('platform', 'warning', { code: 'PLATFORM_UNPROVEN', about: system });
}

const severity: readonly Check['verdict'][] = ['refused', 'unknown', 'warning', 'ok'];

/** The rows as one payload that is not too large: those that say least are left out first, and how many is said. */
export function payloadOf(head: Omit<Preflight, 'checks' | 'left_out'>, checks: readonly Check[]): Preflight {
  const kept = new Set(checks);
  const payload = (): Preflight => ({
    ...head,
    checks: checks.filter((each) => kept.has(each)),
    left_out: checks.length - kept.size,
  });
  const leastFirst = [...checks].reverse().sort((a, b) => severity.indexOf(b.verdict) - severity.indexOf(a.verdict));
  for (const each of leastFirst) {
    if (JSON.stringify(payload()).length <= PREFLIGHT_PAYLOAD_BYTES_MAX) break;
    kept.delete(each);
  }
  return payload();
}
