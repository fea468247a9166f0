// What must be true of the machine for a reset, as demands that throw the code of the refusal. A command's acceptance and
// the preflight ask these same functions, so that the one cannot say yes to what the other refuses.

import { Failure } from '../../protocol/failure.ts';
import { environmentFault } from '../core/environment.ts';
import { type Ledger, openOperation, type Work } from '../core/ledger.ts';
import type { Tried } from '../core/trouble.ts';
import type { Account } from '../ports/accounts.ts';
import type { VncServer } from '../ports/vnc.ts';
import type { ExecutorParts } from './parts.ts';

/** One operation at a time. */
export function demandIdle(ledger: Ledger): void {
  const open = openOperation(ledger);
  if (open) throw new Failure('BUSY', { op: open.op });
}

/** The boot in which the machine is normal. */
export async function demandNormalEnvironment({
  environment,
  policy,
}: Pick<ExecutorParts, 'environment' | 'policy'>): Promise<string> {
  const facts = await environment.observe();
  const fault = environmentFault(facts, policy.rootfs);
  if (fault) throw new Failure('ENV_REFUSED', { reason: fault });
  return facts.bootId;
}

export type AskedAccount = Readonly<{ name: string | null; uid: number | null; unlock: boolean }>;

export async function chooseAccount(
  { accounts }: Pick<ExecutorParts, 'accounts'>,
  asked: AskedAccount,
): Promise<Account> {
  const account = await accounts.resolve(asked.name);
  // Another uid means that the account was made anew since the operator looked at it.
  if (asked.uid !== null && asked.uid !== account.uid) throw new Failure('ACCOUNT_NOT_FOUND', { reason: 'uid' });
  if (account.state === 'expired') throw new Failure('ACCOUNT_EXPIRED', { account: account.name });
  if (account.state === 'locked' && !asked.unlock) throw new Failure('ACCOUNT_LOCKED', { account: account.name });
  return account;
}

/** After a grace period: throws the code by which the machine would now refuse what it accepted then. */
export async function demandUnchanged(
  parts: Pick<ExecutorParts, 'accounts' | 'environment' | 'policy'>,
  { account }: Work,
): Promise<void> {
  await demandNormalEnvironment(parts);
  if (account) await chooseAccount(parts, account);
}

export type AskedVnc = Readonly<{
  server: string | null;
  /** Nothing but VNC is to be reset. */
  alone: boolean;
}>;

/** Of the servers that run, the one to change; `null` where there is none and that is no reason to refuse. */
export function chooseVnc(
  { policy }: Pick<ExecutorParts, 'policy'>,
  servers: readonly VncServer[],
  { server, alone }: AskedVnc,
): VncServer | null {
  const name = server ?? policy.vncServer;
  const named = name === null ? servers : servers.filter(({ id }) => id === name);
  // Servers in different networks of the guest may share a port, and so a name.
  if (named.length > 1) throw new Failure('VNC_AMBIGUOUS');
  const found = named[0] ?? null;
  // With an account to reset the operation goes on and says so at its end; with nothing else to do it is refused.
  if (!found && alone) throw new Failure('VNC_ABSENT');
  if (found?.kind === 'account') throw new Failure('VNC_USES_ACCOUNT', { vnc: found.id });
  return found;
}

/** How long a machine's first boot is waited for, and how often it is looked at. */
const FIRST_BOOT_MS_MAX = 60_000;
const FIRST_BOOT_LOOK_MS = 1_000;

/**
 * At a machine's first boot the agent may be there before the account and the VNC server that the image makes then. What does
 * not come in time is refused or reported by the checks that follow.
 */
export async function awaitFirstBoot(
  parts: Pick<ExecutorParts, 'accounts' | 'vnc' | 'clock' | 'policy'>,
  { account, vnc }: Readonly<{ account: AskedAccount; vnc?: Readonly<{ server: string | null }> | undefined }>,
): Promise<void> {
  const untilMs = parts.clock.monotonicMs() + FIRST_BOOT_MS_MAX;
  const isThere = async () => {
    const chosen = await tryTo(() => chooseAccount(parts, account));
    if ('code' in chosen) return chosen.code !== 'ACCOUNT_NOT_FOUND';
    if (!vnc) return true;
    const { server } = vnc;
    const found = await tryTo(async () => chooseVnc(parts, await parts.vnc.list(), { server, alone: false }));
    return 'code' in found || found.value !== null;
  };
  while (!(await isThere()) && parts.clock.monotonicMs() < untilMs) await parts.clock.sleep(FIRST_BOOT_LOOK_MS);
}

/** What a call gave, or the code with which it failed. A defect stays one and stops the process. */
export async function tryTo<T>(act: () => Promise<T> | T): Promise<Tried<T>> {
  try {
    return { value: await act() };
  } catch (error) {
    const { code, details } = refusalOf(error);
    return { code, details };
  }
}

/** The code of a refusal; a defect is not one and stops the process. */
export function refusalOf(error: unknown): Failure {
  if (error instanceof Failure && error.code !== 'INTERNAL') return error;
  throw error;
}
