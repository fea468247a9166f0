// `latchkey-agent doctor`: the checks of a preflight made on the machine itself, also where it is not enrolled or its files
// are damaged, and beside them what can only be seen from here: the way to the control plane, the link, the executor.

import { codeOf, Failure } from '../../protocol/failure.ts';
import { thumbprint, toBase64url } from '../../protocol/keys.ts';
import type { Check } from '../../protocol/preflight.ts';
import { canReset, checkText, readPreflight } from '../../protocol/preflight.ts';
import { payloadOf } from '../../protocol/token.ts';
import { judge, row } from '../core/preflight.ts';
import type { Tried } from '../core/trouble.ts';
import { tryTo } from '../executor/conditions.ts';
import type { ExecutorKeys } from '../executor/identity.ts';
import { examine, inOrder, type Lookout } from '../executor/preflight.ts';
import { askPreflight } from '../link/executor-client.ts';
import type { ExecutorDoor } from '../link/executor-door.ts';
import { type Address, ControlPlaneSocket } from '../link/socket.ts';
import type { LinkNote } from '../notes.ts';
import type { Random } from '../ports/random.ts';

/** What was read of the machine's own files; each may be in trouble by itself. */
export type Patient = Readonly<{
  config: Tried<unknown>;
  keys: Tried<ExecutorKeys>;
  identity: Tried<Readonly<{ agent: string }>>;
  addresses: Tried<readonly Address[]>;
  note: LinkNote | null;
  /** Whether the process that wrote the note still lives. */
  linkRuns: boolean;
  /** Server time as far as it is known here. */
  nowS: number | null;
  /** Where a join token can be read by others. */
  exposed: readonly string[];
  lookout: Lookout;
  executor: ExecutorDoor;
  random: Random;
}>;

export async function examineHere(patient: Patient): Promise<Check[]> {
  const { lookout, nowS, config, identity } = patient;
  const [common, executor, controlPlane] = await Promise.all([
    examine(lookout, nowS),
    askExecutor(patient),
    reach(patient.addresses),
  ]);
  const checks = [
    ...(await identityOf(patient)),
    ...patient.exposed.map((reason) => row('identity', 'warning', { code: 'JOIN_TOKEN_EXPOSED', reason })),
    judge('configuration', config),
    ...common,
    ...executor,
    controlPlane,
    judgeLink(patient),
  ];
  const enrolled = !('code' in identity && identity.code === 'NOT_ENROLLED');
  return inOrder(enrolled ? checks : checks.map(beforeEnrolment));
}

/** Nothing of an identity is there yet: that is said once, and what depends on it is not known. */
function beforeEnrolment(check: Check): Check {
  const made = ['journal', 'operation', 'link', 'executor', 'sandbox'].includes(check.name);
  return made ? row(check.name, 'unknown', { code: 'NOT_ENROLLED' }) : check;
}

async function identityOf({ keys, identity }: Patient): Promise<Check[]> {
  if ('code' in identity) return [judge('identity', identity)];
  if ('code' in keys) return [judge('identity', keys)];
  return [
    row('identity', 'ok', { about: identity.value.agent }),
    row('identity', 'ok', { about: `key ${await thumbprint(keys.value.ek.jwk)}` }),
  ];
}

/** The one that the service manager starts: it alone knows in which restrictions it runs. */
async function askExecutor({ executor, random, nowS, lookout }: Patient): Promise<Check[]> {
  const nonce = toBase64url(random.bytes(32));
  const asked = await tryTo(() => askPreflight(executor, nonce, nowS ?? lookout.inspection.wallS()));
  if ('code' in asked) return [judge('executor', asked, executor.about), row('sandbox', 'unknown')];
  const said = await tryTo(() => readPreflight(payloadOf(asked.value)));
  const sandbox = 'value' in said ? said.value.checks.filter(({ name }) => name === 'sandbox') : [];
  return [row('executor', 'ok', { about: executor.about }), ...(sandbox as Check[])];
}

/** Opens a connection as the link does, to each address until one is there, and says nothing over it. */
async function reach(addresses: Tried<readonly Address[]>): Promise<Check> {
  if ('code' in addresses) return row('control_plane', 'unknown', { code: addresses.code });
  let last: Failure | undefined;
  for (const address of addresses.value) {
    try {
      (await ControlPlaneSocket.open(address)).terminate();
      return row('control_plane', 'ok', { about: address.url.host });
    } catch (error) {
      if (!codeOf(error)) throw error;
      last = error as Failure;
    }
  }
  const { code, details } = last ?? new Failure('TRUST_INVALID', { field: 'url' });
  const { host } = details;
  return judge('control_plane', { code, details }, typeof host === 'string' ? host : undefined);
}

function judgeLink({ note, linkRuns }: Patient): Check {
  if (note === null || !linkRuns) return row('link', 'refused', { code: 'AGENT_OFFLINE', reason: 'not_running' });
  const about = note.host ?? undefined;
  if (note.state === 'connected') return row('link', 'ok', { about });
  const reason = note.code ?? 'not_connected';
  return row('link', 'refused', { code: 'AGENT_OFFLINE', reason, about });
}

/** What was found, for people: one line a row, the hint where there is something to do. */
export function doctorLines(checks: readonly Check[]): string[] {
  const { account, vnc } = canReset(checks);
  const headline = account
    ? vnc
      ? 'This machine can be reset.'
      : 'The account’s password can be reset here; the VNC password cannot.'
    : 'This machine cannot be reset.';
  return [headline, ...checks.map(line)];
}

function line(check: Check): string {
  const { title, sentence, hint } = checkText(check);
  const why = check.verdict === 'ok' ? sentence : [check.code, sentence, hint].filter(Boolean).join(' ');
  return `  ${check.verdict.padEnd(7)}  ${title}${why === '' ? '' : ` — ${why}`}`;
}
