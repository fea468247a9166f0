// Whatever two operators and whoever stands between them and the signer send, in whatever order: a command is signed for an
// intent that its own operator proved, as it is, and what a factor once proved it never proves again.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Command } from '../../../protocol/command.ts';
import { codeOf, type Failure } from '../../../protocol/failure.ts';
import { intentHash } from '../../../protocol/intent.ts';
import { fromBase64url } from '../../../protocol/keys.ts';
import { newId } from '../../../protocol/schema.ts';
import { payloadOf } from '../../../protocol/token.ts';
import type { SoftwarePasskey } from '../../protocol/software-passkey.ts';
import { type Built, Desk, kernel, refusal } from './desk.ts';

type Proof = Parameters<Desk['prove']>[1];
const operators = ['ada', 'eve'] as const;
type Operator = (typeof operators)[number];
type Factors = Readonly<{
  totp: (ms?: number) => Proof;
  key: (hash: string) => Promise<Proof>;
  passkey: SoftwarePasskey;
}>;

/** Small numbers choose among what there is; `stray` makes one choice wrong. */
const action = fc.record({
  do: fc.constantFrom('build', 'build', 'prove', 'prove', 'prove', 'repeat', 'mint', 'mint', 'mint', 'wait'),
  op: fc.nat({ max: 2 }),
  by: fc.nat({ max: 1 }),
  method: fc.constantFrom('totp', 'key', 'passkey'),
  stray: fc.constantFrom(null, null, null, 'operator', 'signed', 'asked', 'code'),
});
type Action = typeof action extends fc.Arbitrary<infer A> ? A : never;

class Counter {
  readonly ops = Array.from({ length: 3 }, () => newId('op', kernel));
  /** Every intent that was built, by operation, the newest last. */
  readonly built = new Map<string, Built[]>();
  readonly operatorOf = new Map<string, Operator>();
  /** What was proven, by the intent's hash. */
  readonly proven = new Set<string>();
  readonly spent: string[] = [];
  readonly signed: string[] = [];
  readonly refusals = new Set<string>();
  #last: { intent: Built; proof: Proof; operator: Operator } | undefined;
  readonly #desk: Desk;
  readonly #factors: Readonly<Record<Operator, Factors>>;

  constructor(desk: Desk, factors: Readonly<Record<Operator, Factors>>) {
    this.#desk = desk;
    this.#factors = factors;
  }

  async take(asked: Action): Promise<void> {
    const op = this.ops[asked.op] ?? '';
    const intents = this.built.get(op) ?? [];
    const newest = intents.at(-1);
    if (asked.do === 'wait') this.#desk.nowMs += 31_000;
    if (asked.do === 'build') await this.#build(op, operators[asked.by] ?? 'ada', intents);
    if (asked.do === 'prove' && newest) await this.#prove(newest, asked);
    if (asked.do === 'repeat' && this.#last && newest) await this.#hand(newest, this.#last.proof, this.#last.operator);
    if (asked.do === 'mint' && newest) await this.#mint(asked.stray === 'asked' ? (intents[0] ?? newest) : newest);
  }

  async #build(op: string, by: Operator, intents: readonly Built[]): Promise<void> {
    const operator = this.operatorOf.get(op) ?? by;
    const code = await refusal(
      this.#desk.build(operator, op).then((intent) => {
        this.built.set(op, [...intents, intent]);
        this.operatorOf.set(op, operator);
      }),
    );
    if (code) this.refusals.add(code);
  }

  async #prove(intent: Built, { method, stray }: Action): Promise<void> {
    const own = this.operatorOf.get(intent.op) ?? 'ada';
    const operator = stray === 'operator' ? (own === 'ada' ? 'eve' : 'ada') : own;
    const { totp, key, passkey } = this.#factors[operator];
    const others = [...this.built.values()].flat().filter(({ intent_hash }) => intent_hash !== intent.intent_hash);
    const signed = stray === 'signed' ? (others[0] ?? intent).intent_hash : intent.intent_hash;
    const proof =
      method === 'totp'
        ? totp(this.#desk.nowMs - (stray === 'code' ? 600_000 : 0))
        : method === 'key'
          ? await key(signed)
          : ({ method, response: passkey.assert(signed) } as Proof);
    const asked = stray === 'asked' ? (this.built.get(intent.op)?.[0] ?? intent) : intent;
    await this.#hand({ ...intent, intent_hash: asked.intent_hash }, proof, operator, signed);
  }

  /** Hands a proof in; where it is taken, checks that it could be. `over`: what it was made over, where it says that. */
  async #hand(intent: Built, proof: Proof, operator: Operator, over?: string): Promise<void> {
    const code = await refusal(this.#desk.prove(intent, proof, operator));
    this.#last = { intent, proof, operator };
    if (code) {
      this.refusals.add(code);
      return;
    }
    expect(intent.intent_hash).toBe(this.built.get(intent.op)?.at(-1)?.intent_hash);
    expect(operator).toBe(this.operatorOf.get(intent.op));
    if (over !== undefined && proof.method !== 'totp') expect(over).toBe(intent.intent_hash);
    this.proven.add(intent.intent_hash);
    this.spent.push(`${operator} ${proof.method === 'totp' ? proof.code : JSON.stringify(proof)}`);
  }

  async #mint(intent: Built): Promise<void> {
    const newest = this.built.get(intent.op)?.at(-1)?.intent_hash;
    try {
      const { token } = await this.#desk.mint(intent);
      const { op, intent: bytes = '', authz } = payloadOf(token) as unknown as Command;
      const hash = await intentHash(fromBase64url(bytes));
      expect([op, hash, hash]).toEqual([intent.op, intent.intent_hash, newest]);
      expect(authz.operator).toBe(this.operatorOf.get(op));
      expect(this.proven.has(hash)).toBe(true);
      this.signed.push(hash);
    } catch (error) {
      if (!codeOf(error)) throw error;
      const { code, details } = error as Failure;
      this.refusals.add(code);
      if (!this.proven.has(intent.intent_hash)) expect(details).toMatchObject({ reason: 'not_proven' });
    }
  }
}

async function factorsOf(desk: Desk, operator: Operator): Promise<Factors> {
  return { totp: await desk.totp(operator), key: await desk.key(operator), passkey: await desk.passkey(operator) };
}

test('no command without a proof of that very intent by its operator, and what was spent buys nothing more', async () => {
  const [refusals, counts] = [new Set<string>(), { proven: 0, signed: 0 }];
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 12, maxLength: 40, size: 'max' }), async (actions) => {
      const desk = await Desk.open();
      try {
        const counter = new Counter(desk, { ada: await factorsOf(desk, 'ada'), eve: await factorsOf(desk, 'eve') });
        for (const op of [0, 1]) await counter.take({ do: 'build', op, by: op, method: 'key', stray: null });
        // Chance alone leaves a wrong code out of all lives now and then.
        await counter.take({ do: 'prove', op: 0, by: 0, method: 'totp', stray: 'code' });
        for (const asked of actions) await counter.take(asked);
        expect(new Set(counter.spent).size).toBe(counter.spent.length);
        const rows = desk.audit('intent.proven').map(({ op }) => op);
        expect(new Set(rows).size).toBe(rows.length);
        expect(rows).toHaveLength(counter.proven.size);
        for (const code of counter.refusals) refusals.add(code);
        counts.proven += counter.proven.size;
        counts.signed += counter.signed.length;
      } finally {
        await desk.end();
      }
    }),
    // To make a life shorter takes as many signers again.
    { numRuns: 20, endOnFailure: true },
  );
  // Enough of each came about to mean something.
  expect([...refusals]).toEqual(expect.arrayContaining(['AUTHZ_INVALID', 'FACTOR_REFUSED', 'STATE_CONFLICT']));
  expect(Math.min(counts.proven, counts.signed)).toBeGreaterThan(10);
});
