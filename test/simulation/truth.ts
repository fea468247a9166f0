// What must hold when all is over: one end, by the lifecycle, that says what is true of the machine; a chain of receipts
// that the control plane has in full; no secret lost, none in clear, and a machine that takes the next order.

import { readLedger, unacknowledged } from '../../agent/core/ledger.ts';
import { codes, isCode } from '../../protocol/codes.ts';
import type { Receipt } from '../../protocol/receipt.ts';
import type { Slot } from '../../protocol/seal.ts';
import { payloadOf } from '../../protocol/token.ts';
import { verifyChain } from '../agent/executor/guest.ts';
import { collected } from '../agent/executor/orders.ts';
import { OP } from '../protocol/samples.ts';
import { operator, type World } from './world.ts';

const slots: readonly Slot[] = ['account', 'vnc'];

/** Every rule that does not hold, and how the operation ended. */
export async function judge(world: World): Promise<Readonly<{ end: string; broken: readonly string[] }>> {
  await world.play();
  const broken = [...world.broken];
  const receipts = await verifyChain(world.operation?.receipts.map(({ token }) => token) ?? []).catch((error) => {
    broken.push((error as Error).message);
    return [] as Receipt[];
  });
  const last = receipts.at(-1);
  broken.push(
    ...(await endComplaints(world, receipts)),
    ...(await secretComplaints(world, receipts)),
    ...(await handOver(world, receipts)),
    ...equivocations(world),
    ...plaintexts(world),
  );
  return { end: last ? `${last.state} ${last.code}` : 'nothing', broken: [...broken, ...world.broken] };
}

/** The secret of the operation that decides now, by the machine's own memory. */
function inForce({ machine }: World, slot: Slot): boolean {
  const set = machine.changes.find((change) => change.slot === slot)?.secret;
  if (set === undefined) return false;
  return slot === 'account' ? machine.root.password === set : machine.server?.source === set.slice(0, 8);
}

/** Whether the agent changed it, whoever changed it back. */
const touched = ({ machine }: World, slot: Slot) => machine.changes.some((change) => change.slot === slot);

async function endComplaints(world: World, receipts: readonly Receipt[]): Promise<string[]> {
  const { machine, scenario, blinded } = world;
  const last = receipts.at(-1);
  const changed = slots.filter((slot) => inForce(world, slot));
  if (!last) return changed.map((slot) => `nothing was accepted, and the ${slot} secret is changed`);
  const { state, code } = last;
  const asked = slots.filter((slot) => scenario.order[slot] !== null);
  const wrong: string[] = [];
  const must = (holds: boolean, rule: string) => {
    if (!holds) wrong.push(`${state} ${code}: ${rule}`);
  };
  const verified = last.detail.verified;
  if (state === 'DONE') {
    for (const slot of asked) must(inForce(world, slot), `the ${slot} secret is in force`);
    must(machine.boots > 1, 'the machine was booted anew');
    must(
      machine.facts.marker !== 'other' && machine.facts.initPath === undefined,
      'it is the same root, booted normally',
    );
    for (const slot of asked) must(verified?.[slot] === true, `the ${slot} secret was proven`);
    must(!scenario.machine.alsoChanges || asked[0] !== 'account', 'no other account’s entry changed');
    must(verified?.reboot === true && last.detail.boot_before !== last.detail.boot_after, 'the reboot was proven');
  }
  if (['FAILED', 'REFUSED', 'INTERRUPTED', 'CANCELLED'].includes(state)) {
    must(changed.length === 0, `no secret of the operation is in force, and ${changed} is`);
  }
  // What an end in FAILED, REFUSED or CANCELLED says was never done at all, and was not only undone by a power cut.
  if (['FAILED', 'REFUSED', 'CANCELLED'].includes(state))
    must(!slots.some((slot) => touched(world, slot)), 'nothing was done');
  if (state === 'PARTIAL') must(blinded || slots.some((slot) => touched(world, slot)), 'something was changed');
  if (code !== null && isCode(code) && codes[code].changed === 'nothing')
    must(changed.length === 0, 'its code says that nothing changed');
  if (code === 'REBOOT_CANCELLED') {
    for (const slot of asked) {
      const elsewhere = noServer(world, slot) || machine.strangers.has(slot);
      must(elsewhere || inForce(world, slot), `the ${slot} secret is set`);
    }
  }
  for (const slot of slots) {
    if (verified?.[slot] === true)
      must(inForce(world, slot) || machine.strangers.has(slot), `the proven ${slot} secret is in force`);
  }
  if (verified?.reboot) must(machine.boots > 1, 'the proven reboot took place');
  return wrong;
}

const noServer = ({ scenario }: World, slot: Slot) =>
  slot === 'vnc' && ['absent', 'vanishes'].includes(scenario.machine.vnc);

/** A generated secret that is in force can be opened by the operator, from receipts. */
async function secretComplaints(world: World, receipts: readonly Receipt[]): Promise<string[]> {
  const wrong: string[] = [];
  for (const slot of slots) {
    if (world.scenario.order[slot] !== 'generated' || !inForce(world, slot)) continue;
    const set = world.machine.changes.find((change) => change.slot === slot)?.secret;
    if ((await collected(receipts, slot, operator)) !== set)
      wrong.push(`the generated ${slot} secret is in force and lost`);
  }
  return wrong;
}

/** A new link asks for everything, acknowledges it, tries the old command again, and orders something new. */
async function handOver(world: World, receipts: readonly Receipt[]): Promise<string[]> {
  const wrong: string[] = [];
  const before = JSON.stringify([world.machine.changes, receipts.length]);
  const reported = await world.run({ t: 'receipts' });
  const open = reported.heard.find(({ t }) => t === 'state');
  if (open?.t !== 'state' || open.open !== null) wrong.push('the report says that something is under way');
  if (receipts.length > 0) await world.acknowledge(receipts.length);
  if (unacknowledged(readLedger(world.entries)).length > 0) wrong.push('a receipt stays unacknowledged');
  const prepared = await world.run({ t: 'prepare', op: OP, account: null });
  if (!prepared.heard.some(({ t }) => t === 'ready')) wrong.push('the machine takes no new order');
  if (world.command) await world.run({ t: 'execute', token: world.command });
  if (receipts.length > 0) await world.replay();
  const after = JSON.stringify([world.machine.changes, world.operation?.receipts.length ?? 0]);
  if (before !== after) wrong.push('the old command had an effect');
  return wrong;
}

/** No two different receipts were ever said under one number, and none that is not in the journal in the end. */
function equivocations({ answers, machine }: World): string[] {
  const byNumber = new Map<string, string>();
  const wrong: string[] = [];
  for (const answer of answers) {
    if (answer.t !== 'receipt') continue;
    const { op, n, state } = payloadOf(answer.token) as Receipt;
    const other = byNumber.get(`${op} ${n}`);
    if (other !== undefined && other !== answer.token)
      wrong.push(`two receipts were said as number ${n}, one ${state}`);
    byNumber.set(`${op} ${n}`, answer.token);
    if (state !== 'REFUSED' && !machine.journal.includes(answer.token)) wrong.push(`the receipt ${n} ${state} is lost`);
  }
  return wrong;
}

function plaintexts({ machine, typed, log, answers }: World): string[] {
  const secrets = [...machine.changes.map(({ secret }) => secret), typed.account, typed.vnc];
  const places = { journal: machine.journal.toString('latin1'), log: log.join('\n'), answers: JSON.stringify(answers) };
  return Object.entries(places).flatMap(([place, text]) =>
    secrets.some((secret) => text.includes(secret)) ? [`a secret stands in clear in the ${place}`] : [],
  );
}
