// `latchkey vm check`: asks a machine whether it can be reset now, verifies the executor's own signed answer, and says in
// plain words what stands in the way. What the control plane itself says of the answer is not shown.

import { codeOf, Failure } from '../../protocol/failure.ts';
import { thumbprint } from '../../protocol/keys.ts';
import { canReset, checkText, type Preflight, readPreflight, type WireCheck } from '../../protocol/preflight.ts';
import { onlyKey, verifyToken } from '../../protocol/token.ts';
import type { VmView } from '../api/schemas.ts';
import type { PreflightView } from '../api/schemas-preflight.ts';
import type { Client } from './client/client.ts';
import { meetAgent } from './client/known-agents.ts';
import { EXIT } from './exit-codes.ts';
import { codeWithHint, paint, printable, table, writeJson, writeLine } from './view/text.ts';

const CHECKS_AT_ONCE = 8;

/** The exit code: 0 where nothing that was looked at would refuse a reset, else 3. */
export async function checkMachine(client: Client, name: string, json: boolean): Promise<number> {
  const vm = await client.api.vm(name);
  const { view, said } = await ask(client, demandCome(vm));
  if (json) writeJson(checkJson(vm, view, said));
  else for (const line of checkLines(vm, view, said)) writeLine(line);
  return isPossible(said) ? EXIT.done : EXIT.refused;
}

/** Asks so many at a time until all have answered or `signal` says so; one row for each, and the exit code as for one. */
export async function checkMachines(
  client: Client,
  label: string,
  { json, signal }: Readonly<{ json: boolean; signal: AbortSignal }>,
): Promise<number> {
  const waiting = await client.api.vms({ label });
  if (waiting.length === 0) throw new Failure('NOT_FOUND', { label });
  const rows: string[][] = [];
  const askNext = async (): Promise<void> => {
    for (let vm = waiting.shift(); vm && !signal.aborted; vm = waiting.shift())
      rows.push(await checkOne(client, vm, json));
  };
  await Promise.all(Array.from({ length: CHECKS_AT_ONCE }, askNext));
  if (!json) writeLine(table([['MACHINE', 'ACCOUNT', 'VNC', 'CODES'], ...rows.toSorted()]));
  if (signal.aborted) return EXIT.interrupted;
  return rows.every(([, account, vnc]) => account === 'yes' && vnc === 'yes') ? EXIT.done : EXIT.refused;
}

/** What keeps one from answering is its row. */
async function checkOne(client: Client, vm: VmView, json: boolean): Promise<string[]> {
  try {
    const { view, said } = await ask(client, demandCome(vm));
    if (json) writeJson(checkJson(vm, view, said));
    const can = said ? canReset(said.checks) : { account: false, vnc: false };
    const codes = (said?.checks ?? []).flatMap(({ verdict, code }) => (verdict === 'refused' && code ? [code] : []));
    return [
      vm.name,
      yesNo(can.account),
      yesNo(can.vnc),
      [view.code ?? '', ...new Set(codes)].filter(Boolean).join(' '),
    ];
  } catch (error) {
    const code = codeOf(error);
    if (code === undefined || code === 'SERVER_UNREACHABLE') throw error;
    if (json) writeJson({ event: 'check', vm: vm.name, code, can: { account: false, vnc: false }, checks: [] });
    return [vm.name, 'no', 'no', code];
  }
}

const yesNo = (can: boolean): string => (can ? 'yes' : 'no');

type Asked = Readonly<{ view: PreflightView; said: Preflight | null }>;

async function ask({ api, stateFolder, now }: Client, vm: Come): Promise<Asked> {
  await meetAgent(stateFolder, { agent: vm.agent, vm: vm.id, ek: vm.ek }, now());
  const view = await api.askPreflight(vm.id);
  return { view, said: await readAnswer(vm, view) };
}

function isPossible(said: Preflight | null): boolean {
  const can = said ? canReset(said.checks) : { account: false, vnc: false };
  return can.account && can.vnc;
}

/** A machine that has come has keys. */
type Come = VmView & Readonly<{ ek: NonNullable<VmView['ek']> }>;
function demandCome(vm: VmView): Come {
  if (!vm.ek) throw new Failure('NOT_ENROLLED', { vm: vm.name });
  return { ...vm, ek: vm.ek };
}

/** The answer as its executor signed it; `null` where the agent gave none. */
async function readAnswer(vm: Come, { token }: PreflightView): Promise<Preflight | null> {
  if (token === null) return null;
  const key = onlyKey(await thumbprint(vm.ek), vm.ek);
  const said = readPreflight((await verifyToken(token, 'lk-preflight+jws', key)).payload);
  if (said.agent !== vm.agent) throw new Failure('AUD_MISMATCH', { vm: vm.name });
  return said;
}

function checkJson(vm: VmView, { at, code }: PreflightView, said: Preflight | null): object {
  const checks = (said?.checks ?? []).map((check) => ({ ...check, ...checkText(check) }));
  const can = said ? canReset(said.checks) : { account: false, vnc: false };
  return { event: 'check', vm: vm.name, at, code, can, checks, leftOut: said?.left_out ?? 0 };
}

function checkLines(vm: Pick<VmView, 'name'>, view: PreflightView, said: Preflight | null): string[] {
  const name = printable(vm.name);
  if (!said) {
    return [`${paint('red', '✖')} ${name} cannot be reset now: its agent could not look.`, `  ${whyNot(view.code)}`];
  }
  const { account, vnc } = canReset(said.checks);
  const headline = account
    ? vnc
      ? `${paint('green', '✔')} ${name} can be reset now.`
      : `${paint('yellow', '!')} The account’s password on ${name} can be reset now; the VNC password cannot.`
    : `${paint('red', '✖')} ${name} cannot be reset now.`;
  const left = said.left_out > 0 ? [`  and ${said.left_out} more that did not fit into the answer`] : [];
  return [headline, ...said.checks.map(checkLine), ...left];
}

const whyNot = (code: string | null) => (code === null ? '' : codeWithHint(code));

const marks = {
  ok: ['green', 'ok     '],
  warning: ['yellow', 'warning'],
  refused: ['red', 'refused'],
  unknown: ['yellow', 'unknown'],
} as const;

function checkLine(check: WireCheck): string {
  const { title, sentence, hint } = checkText(check);
  const [color, word] = marks[check.verdict];
  const { code, verdict } = check;
  const why = verdict === 'ok' ? sentence : [code, sentence, hint].filter(Boolean).join(' ');
  return `  ${paint(color, word)}  ${printable(title)}${why === '' ? '' : ` — ${printable(why)}`}`;
}
