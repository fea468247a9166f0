// What the control plane saw reaches the signer's audit, in order, each once, also when the signer was away meanwhile; what a
// control plane cannot do is make it say more than machines signed.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { waitingItems } from '../../../control-plane/store/handover.ts';
import type { AuditRow } from '../../../protocol/audit.ts';
import { payloadOf } from '../../../protocol/token.ts';
import type { ScriptedAgent } from '../scripted-agent.ts';
import { World } from '../world.ts';

let world: World;
let agent: ScriptedAgent;
beforeEach(async () => {
  world = await World.start();
  agent = await world.machine();
});
afterEach(() => world.stop());

const audit = async (kind: string): Promise<(Record<string, unknown> & Pick<AuditRow, 'op' | 'operator'>)[]> => {
  const { rows } = await world.admin('audit.rows', { after: 0, limit: 500, kind });
  return rows.map(({ op, operator, data }) => ({ op, operator, ...JSON.parse(data) }));
};
const delivered = () =>
  world.eventually(async () => ((await waitingItems(world.store.db, 1)).length === 0 ? true : null), 'the delivery');

test('a machine is told with the key of its executor when it enrols', async () => {
  await delivered();
  const { id } = await world.vmOf(agent);
  expect(await audit('machine.enrolled')).toMatchObject([
    { agent: agent.agent, vm: id, ik: agent.ik.jwk, ek: agent.ek.jwk, project: 'default' },
  ]);
});

test('receipts that were acknowledged while the signer was away are told when it is back', async () => {
  const { op } = await world.sent(agent);
  await agent.report(op, 'ACCEPTED');
  await delivered();
  await world.stopSigner();
  await agent.report(op, 'PASSWORD_SET');
  await agent.report(op, 'REBOOTING');
  expect(await waitingItems(world.store.db, 9)).toHaveLength(2);
  await world.startSigner();
  await delivered();
  const recorded = await audit('receipt.recorded');
  expect(recorded.map(({ n }) => n)).toEqual([1, 2, 3]);
  expect(recorded.map(({ token }) => (payloadOf(String(token)) as { op: string }).op)).toEqual([op, op, op]);
});

test('an answer of the signer that is lost costs nothing: what it has it takes once', async () => {
  const { op } = await world.sent(agent);
  await delivered();
  world.lost.add('audit.take');
  await agent.report(op, 'ACCEPTED');
  await delivered();
  expect(await audit('receipt.recorded')).toMatchObject([{ op, n: 1 }]);
});

test('a gap is told with the receipt that shows it', async () => {
  const { op } = await world.sent(agent);
  await agent.report(op, 'ACCEPTED');
  await agent.write(op, 'PASSWORD_SET');
  agent.sendReceipt(await agent.write(op, 'REBOOTING'));
  const [gap] = await world.eventually(async () => {
    const found = await audit('receipt.gap');
    return found.length > 0 ? found : null;
  }, 'the gap');
  expect(gap).toMatchObject({ op, n: 3, after: 1 });
});

test('an operation that ended without its machine, and a machine that is held, are told', async () => {
  const draft = await world.draft(agent);
  await world.ask('POST', `/v1/operations/${draft.op}/cancel`);
  await world.until(draft.op, 'CANCELLED');
  const twin = agent.clone();
  await twin.connect();
  await delivered();
  expect(await audit('operation.ended')).toMatchObject([{ op: draft.op, state: 'CANCELLED' }]);
  expect(await audit('machine.flagged')).toMatchObject([{ code: 'CLONE_SUSPECTED' }]);
});
