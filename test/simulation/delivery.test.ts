// The receipts of whole simulated operations on their way to the control plane, over a network that loses, repeats and
// reorders frames and acknowledgements and breaks at any time. What an operator sees only ever goes forward, a gap is
// reported, and in the end both sides say the same.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Outbox } from '../../agent/link/outbox.ts';
import { newOperation, type Operation } from '../../control-plane/core/operation.ts';
import { progress } from '../../control-plane/core/progress.ts';
import { judgeReceipt } from '../../control-plane/core/receive.ts';
import { canonicalBytes } from '../../protocol/canonical.ts';
import { sha256Text } from '../../protocol/keys.ts';
import { type Receipt, receipt as receiptSchema } from '../../protocol/receipt.ts';
import { parseSchema } from '../../protocol/schema.ts';
import { payloadOf } from '../../protocol/token.ts';
import { AGENT, OP } from '../protocol/samples.ts';
import { type Blow, scenarioOf } from './scenario.ts';
import { World } from './world.ts';

type Told = Readonly<{ token: string; receipt: Receipt; sha256: string }>;

const killed = (call: string): Blow => ({ call, nth: 1, when: 'after', how: 'kill' });
const lives = await Promise.all(
  [
    scenarioOf({ order: { graceS: 2 }, machine: { swallows: 1 } }),
    scenarioOf({ episodes: [{ blow: killed('accounts.setPassword') }] }),
    scenarioOf({ episodes: [{ blow: killed('journal.append') }] }),
    scenarioOf({ machine: { account: 'locked' } }),
  ].map(async (scenario): Promise<readonly Told[]> => {
    const world = new World(scenario);
    await world.play();
    const tokens = world.operation?.receipts.map(({ token }) => token) ?? [];
    return Promise.all(
      tokens.map(async (token) => {
        const receipt = parseSchema(receiptSchema, payloadOf(token));
        return { token, receipt, sha256: await sha256Text(canonicalBytes(receipt)) };
      }),
    );
  }),
);

/** What the gateway does with a receipt whose signature holds. */
class Outside {
  operation: Operation;
  readonly stored = new Map<number, string>();
  readonly seen: string[] = [];
  readonly alarms: string[] = [];

  constructor([first]: readonly Told[]) {
    const draft = { account: null, vnc: null, graceS: 0 };
    const given = { op: OP, vm: 'vm', agent: AGENT, project: 'default', operator: 'ada', draft };
    const { cmd_sha256: sha256 = '', cn = '' } = first?.receipt ?? {};
    const command = { token: 'a.b.c', sha256, cn, expS: 0, sentAt: 0 };
    this.operation = { ...newOperation(given, 0), state: 'SENT', command, sentSha256: [sha256] };
  }

  /** Whether it is acknowledged. */
  take({ receipt, sha256 }: Told): boolean {
    const judged = judgeReceipt(this.operation, receipt, sha256, this.stored.get(receipt.n) ?? null);
    if (judged.verdict === 'refused') this.alarms.push(judged.reason);
    if (judged.verdict !== 'next') return judged.verdict === 'duplicate';
    const { n, state, code, warnings, detail, sealed = null, boot, mono } = receipt;
    const facts = { n, sha256, state, code, warnings, detail, sealed, machine: { boot, mono }, late: false };
    this.stored.set(n, sha256);
    this.operation = progress(this.operation, { t: 'receipt', receipt: facts }, n).operation;
    this.seen.push(this.operation.state);
    return true;
  }
}

const mishap = fc.record({
  do: fc.constantFrom('deliver', 'repeat', 'lose', 'ack', 'lose_ack', 'reconnect'),
  at: fc.nat({ max: 20 }),
});

test('whatever is lost, repeated or reordered, the state goes forward only and both sides come to the same', () => {
  for (const [i, life] of lives.entries()) expect(life.length, `life ${i}`).toBeGreaterThan(0);
  let gaps = 0;
  fc.assert(
    fc.property(fc.constantFrom(...lives), fc.array(mishap, { maxLength: 80, size: 'max' }), (life, mishaps) => {
      const outside = new Outside(life);
      const byToken = new Map(life.map((told) => [told.token, told]));
      let wire: Told[] = [];
      let acks: number[] = [];
      const outbox = new Outbox((token) => wire.push(byToken.get(token) as Told) > 0);
      for (const { token } of life) outbox.add(token);
      const arrive = (told: Told | undefined) => {
        if (told && outside.take(told)) acks.push(told.receipt.n);
      };
      const reconnect = () => {
        [wire, acks] = [[], []];
        outbox.restart();
      };
      for (const { do: what, at } of mishaps) {
        const [frame, ack] = [at % Math.max(1, wire.length), at % Math.max(1, acks.length)];
        if (what === 'deliver') arrive(wire.splice(frame, 1)[0]);
        if (what === 'repeat') arrive(wire[frame]);
        if (what === 'lose') wire.splice(frame, 1);
        if (what === 'ack') for (const n of acks.splice(ack, 1)) outbox.acknowledge(OP, n);
        if (what === 'lose_ack') acks.splice(ack, 1);
        if (what === 'reconnect') reconnect();
      }
      gaps += outside.alarms.length;
      expect(outside.alarms.every((reason) => reason === 'gap')).toBe(true);
      // A quiet connection in the end brings everything.
      reconnect();
      while (outbox.size > 0) {
        arrive(wire.shift());
        for (const n of acks.splice(0)) outbox.acknowledge(OP, n);
      }
      expect(outside.seen).toEqual(life.map(({ receipt }) => receipt.state));
      expect(outside.operation).toMatchObject({ state: life.at(-1)?.receipt.state, code: life.at(-1)?.receipt.code });
    }),
  );
  expect(gaps).toBeGreaterThan(0);
});
