// "Can this machine be reset now, and if not, why": asks everything that a reset would ask, by the same functions, and
// changes nothing. No lock is taken, no VNC server is connected to, no secret exists.

import type { Code } from '../../protocol/codes.ts';
import { type Check, type CheckName, checkNames, type Preflight } from '../../protocol/preflight.ts';
import { signToken } from '../../protocol/token.ts';
import {
  judge,
  judgeAccount,
  judgeClock,
  judgeDatabase,
  judgePam,
  judgePlatform,
  judgeProgram,
  judgeSandbox,
  judgeStorage,
  judgeTerminal,
  judgeTrust,
  judgeVnc,
  payloadOf,
  row,
} from '../core/preflight.ts';
import type { Tried } from '../core/trouble.ts';
import { chooseAccount, chooseVnc, demandIdle, demandNormalEnvironment, tryTo } from './conditions.ts';
import type { ExecutorParts } from './parts.ts';
import { ledgerOf } from './recorder.ts';

/** What looking needs: no key, and nothing that could sign or act. */
export type Lookout = Pick<
  ExecutorParts,
  'roots' | 'policy' | 'accounts' | 'vnc' | 'power' | 'environment' | 'openJournal' | 'inspection' | 'log'
>;

/** What a reset would be asked for that names nothing: the default administrator, and the server in question. */
const ANYONE = { name: null, uid: null, unlock: false } as const;
const ANY_SERVER = { server: null, alone: false } as const;

/** Answers the control plane's question. */
export async function answerPreflight(
  parts: ExecutorParts,
  { nonce, now }: Readonly<{ nonce: string; now: number }>,
): Promise<string> {
  const { identity, environment, inspection } = parts;
  const checks = [
    row('identity', 'ok', { about: `key ${identity.ek.kid}` }),
    row('configuration', 'ok'),
    ...(await examine(parts, now)),
    ...(await sandboxOf(parts)),
  ];
  const { bootId: boot } = await environment.observe();
  const head: Omit<Preflight, 'checks' | 'left_out'> = {
    v: 1,
    agent: identity.agent,
    nonce,
    now,
    boot,
    wall: inspection.wallS(),
  };
  return signToken('lk-preflight+jws', payloadOf(head, inOrder(checks)), identity.ek);
}

/** Every row that does not depend on who asks. `nowS`: server time, `null` where it is not known. */
export async function examine(parts: Lookout, nowS: number | null): Promise<Check[]> {
  const { inspection, power } = parts;
  const wallS = inspection.wallS();
  const looks: Promise<readonly Check[]>[] = [
    look(parts, 'platform', async () => judgePlatform(await inspection.platform())),
    look(parts, 'trust', async () => judgeTrust(await tryTo(() => parts.roots.newest()), nowS ?? wallS)),
    look(parts, 'clock', async () => judgeClock(wallS, nowS)),
    look(parts, 'journal', () => journalAndOperation(parts)),
    look(parts, 'environment', async () => judge('environment', await tryTo(() => demandNormalEnvironment(parts)))),
    look(parts, 'account', () => accountAndChecker(parts)),
    look(parts, 'database', async () => judgeDatabase(await inspection.databaseHeld())),
    look(parts, 'password_program', async () => judgeProgram(await inspection.passwordProgram())),
    look(parts, 'terminal', async () => judgeTerminal(await inspection.terminal())),
    look(parts, 'pam', async () => judgePam(await inspection.pam())),
    look(parts, 'disk', async () => (await inspection.storage()).map(judgeStorage)),
    look(parts, 'vnc', () => servers(parts)),
    look(parts, 'power', async () => judge('power', await tryTo(() => power.available()))),
  ];
  return inOrder((await Promise.all(looks)).flat());
}

export function sandboxOf(parts: Lookout): Promise<readonly Check[]> {
  return look(parts, 'sandbox', async () => judgeSandbox(await parts.inspection.sandbox()));
}

/** A look that fails in a way that nobody foresaw takes its own row with it and no other. */
async function look(
  { log }: Lookout,
  name: CheckName,
  at: () => Promise<Check | readonly Check[]>,
): Promise<readonly Check[]> {
  try {
    const found = await at();
    return Array.isArray(found) ? (found as readonly Check[]) : [found as Check];
  } catch (error) {
    log.error({ name, err: error }, 'a check of the preflight failed');
    return [row(name, 'unknown', { code: 'INTERNAL' })];
  }
}

async function journalAndOperation({ openJournal }: Lookout): Promise<readonly Check[]> {
  const opened = await tryTo(async () => {
    const journal = await openJournal('read');
    const found = { ledger: ledgerOf(journal), torn: journal.torn };
    await journal.close();
    return found;
  });
  if ('code' in opened) return [judge('journal', opened), row('operation', 'unknown')];
  const { ledger, torn } = opened.value;
  const about = `${ledger.size} operations${torn ? ', a torn last line' : ''}`;
  const idle = await tryTo(() => demandIdle(ledger));
  return [row('journal', 'ok', { about }), judge('operation', idle, 'code' in idle ? operationOf(idle) : undefined)];
}

function operationOf({ details }: Extract<Tried<void>, { code: Code }>): string | undefined {
  return typeof details['op'] === 'string' ? details['op'] : undefined;
}

async function accountAndChecker(parts: Lookout): Promise<readonly Check[]> {
  const { accounts } = parts;
  const account = await tryTo(() => chooseAccount(parts, ANYONE));
  if ('code' in account) return [...judgeAccount(account, []), row('checker', 'unknown')];
  const obstacles = await tryTo(() => accounts.obstacles(account.value));
  // Whether it says yes is of no matter before a reset: that it says anything is.
  const checker = await tryTo(() => accounts.usable(account.value));
  return [...judgeAccount(account, 'value' in obstacles ? obstacles.value : []), judge('checker', checker)];
}

async function servers(parts: Lookout): Promise<readonly Check[]> {
  const listed = await tryTo(() => parts.vnc.list());
  if ('code' in listed) return [judge('vnc', listed)];
  const seen = listed.value.map(async (server) => ({
    ...server,
    changeable: await tryTo(() => parts.vnc.demandChangeable(server)),
  }));
  const choice = await tryTo(() => chooseVnc(parts, listed.value, ANY_SERVER));
  return judgeVnc(await Promise.all(seen), choice);
}

/** As people read them; rows of one name stay in their own order. */
export function inOrder(checks: readonly Check[]): Check[] {
  return [...checks].sort((a, b) => checkNames.indexOf(a.name) - checkNames.indexOf(b.name));
}
