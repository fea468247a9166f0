// A fake guest with an executor in it: real tokens, real sealing, fake ports. Each `connect` is one executor process; what
// it leaves behind stays on the fake machine for the next one.

import { randomBytes } from 'node:crypto';
import { type Duplex, duplexPair } from 'node:stream';
import { pino } from 'pino';
import { readChain } from '../../../agent/adapters/journal-chain.ts';
import { type Entry, type Operation, readLedger, unacknowledged } from '../../../agent/core/ledger.ts';
import { Channel } from '../../../agent/executor/channel.ts';
import type { ExecutorParts } from '../../../agent/executor/parts.ts';
import { serveConnection } from '../../../agent/executor/session.ts';
import { isEnd, mayFollow } from '../../../protocol/lifecycle.ts';
import { RECEIPT_GENESIS, type Receipt, receipt as receiptSchema } from '../../../protocol/receipt.ts';
import type { RootPayload } from '../../../protocol/root.ts';
import { parseSchema } from '../../../protocol/schema.ts';
import { type Ready, ready as readySchema } from '../../../protocol/session.ts';
import { onlyKey, verifyToken } from '../../../protocol/token.ts';
import { AGENT, keys, OP, sampleRoot } from '../../protocol/samples.ts';
import { accountsFake } from '../fakes/accounts-fake.ts';
import { FakeClock } from '../fakes/clock-fake.ts';
import { environmentFake } from '../fakes/environment-fake.ts';
import { Crash } from '../fakes/faults.ts';
import { inspectionFake } from '../fakes/inspection-fake.ts';
import { openJournalFake } from '../fakes/journal-fake.ts';
import { FakeMachine, type FakeVncServer } from '../fakes/machine-fake.ts';
import { powerFake } from '../fakes/power-fake.ts';
import { rootsFake } from '../fakes/roots-fake.ts';
import { vncFake } from '../fakes/vnc-fake.ts';

export type Answer = {
  t: string;
  token?: string;
  op?: string | null;
  code?: string;
  head?: string;
  open?: string | null;
};

/** The link's end of one connection. */
export class Conversation {
  readonly answers: Answer[] = [];
  /** Resolves when the executor process is over: with what it died of, or with nothing. */
  readonly over: Promise<unknown>;
  readonly #socket: Duplex;
  readonly #far: Duplex;
  #partial = '';
  #wake: () => void = () => {};

  constructor(parts: ExecutorParts) {
    const [near, far] = duplexPair();
    this.#socket = near;
    this.#far = far;
    near.on('error', () => {});
    near.on('data', (chunk: Buffer) => this.#take(chunk.toString()));
    const channel = new Channel(far);
    this.over = serveConnection(parts, channel)
      .then(() => channel.end())
      .catch((error: unknown) => {
        far.destroy();
        return error;
      })
      .finally(() => this.#wake());
  }

  send(request: object): void {
    this.#socket.write(`${JSON.stringify(request)}\n`);
  }

  write(text: string | Uint8Array): void {
    this.#socket.write(text);
  }

  /** No more requests; answers may still come. */
  finish(): void {
    this.#socket.end();
  }

  disconnect(): void {
    this.#socket.destroy();
    this.#far.destroy();
  }

  /** The first answer of that type, waited for as long as the process lives. */
  async answer(t: string): Promise<Answer> {
    let over = false;
    void this.over.then(() => {
      over = true;
    });
    for (;;) {
      const found = this.answers.find((answer) => answer.t === t);
      if (found) return found;
      if (over) throw new Error(`no ${t} among ${JSON.stringify(this.answers)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  get receipts(): string[] {
    return this.answers.flatMap(({ t, token }) => (t === 'receipt' && token ? [token] : []));
  }

  #take(text: string): void {
    const lines = (this.#partial + text).split('\n');
    this.#partial = lines.pop() ?? '';
    for (const line of lines) this.answers.push(JSON.parse(line) as Answer);
    this.#wake();
  }
}

export type Guest = Readonly<{
  machine: FakeMachine;
  clock: FakeClock;
  parts: ExecutorParts;
  vnc: FakeVncServer;
  /** Every line that an executor logged. */
  log: string[];
  connect(): Conversation;
  /** One executor process with one request, from its start to its end. */
  ask(request: object): Promise<Conversation>;
  prepare(op?: string, account?: string | null): Promise<{ conversation: Conversation; ready: Ready }>;
  operation(op?: string): Promise<Operation | undefined>;
  /** The receipts of an operation, each verified and their chain checked. */
  receipts(op?: string): Promise<Receipt[]>;
  unacknowledged(): Promise<number[]>;
}>;

export function makeGuest(
  options: { root?: RootPayload; vnc?: Partial<FakeVncServer> | null; parts?: Partial<ExecutorParts> } = {},
): Guest {
  const machine = new FakeMachine();
  const vnc = machine.addVncServer({ source: randomBytes(4).toString('hex'), ...options.vnc });
  if (options.vnc === null) machine.vncServers.length = 0;
  const clock = new FakeClock();
  const log: string[] = [];
  let box: string | null = null;
  const parts: ExecutorParts = {
    identity: { agent: AGENT, project: 'default', ek: keys.ek },
    roots: rootsFake(options.root ?? sampleRoot()),
    policy: { rootfs: [], vncServer: null, commonPasswords: new Set(['common-password-1']) },
    accounts: accountsFake(machine),
    vnc: vncFake(machine),
    power: powerFake(machine),
    environment: environmentFake(machine),
    inspection: inspectionFake(machine),
    clock,
    random: { bytes: (count) => Uint8Array.from(randomBytes(count)) },
    openJournal: (mode) => openJournalFake(machine, mode),
    cancels: {
      put: async (token) => {
        box = token;
      },
      take: async () => box,
    },
    rebootPatienceMs: 120_000,
    log: pino({ level: 'trace' }, { write: (line: string) => log.push(line) }),
    ...options.parts,
  };
  const connect = () => new Conversation(parts);
  // A look at the disk from outside: no process of the guest does this, so no fault is due in it.
  const ledger = async () => readLedger(readChain(machine.journal).records as readonly Entry[]);
  return {
    machine,
    clock,
    parts,
    vnc,
    log,
    connect,
    async ask(request) {
      const conversation = connect();
      conversation.send(request);
      conversation.finish();
      await conversation.over;
      await new Promise((resolve) => setImmediate(resolve));
      return conversation;
    },
    async prepare(op = OP, account = null) {
      const conversation = connect();
      conversation.send({ t: 'prepare', op, account });
      const { token = '' } = await conversation.answer('ready');
      const { payload } = await verifyToken(token, 'lk-ready+jws', onlyKey(keys.ek.kid, keys.ek.jwk));
      return { conversation, ready: parseSchema(readySchema, payload) };
    },
    operation: async (op = OP) => (await ledger()).get(op),
    receipts: async (op = OP) => verifyChain((await ledger()).get(op)?.receipts.map(({ token }) => token) ?? []),
    unacknowledged: async () => unacknowledged(await ledger()).map(({ n }) => n),
  };
}

/** Verifies receipts in their order: signature, numbers from 1 without a gap, hashes, and the lifecycle. */
export async function verifyChain(tokens: readonly string[]): Promise<Receipt[]> {
  const receipts: Receipt[] = [];
  let prev = RECEIPT_GENESIS;
  for (const token of tokens) {
    const { payload, payloadSha256 } = await verifyToken(token, 'lk-receipt+jws', onlyKey(keys.ek.kid, keys.ek.jwk));
    const receipt = parseSchema(receiptSchema, payload);
    const last = receipts.at(-1);
    if (receipt.n !== receipts.length + 1 || receipt.prev !== prev) throw new Error(`the chain breaks at ${receipt.n}`);
    if (receipt.op !== (last?.op ?? receipt.op) || receipt.agent !== AGENT) throw new Error('a receipt of another');
    if (last && !mayFollow(last.state, receipt.state)) throw new Error(`${receipt.state} after ${last.state}`);
    receipts.push(receipt);
    prev = payloadSha256;
  }
  if (receipts.filter(({ state }) => isEnd(state)).length > 1) throw new Error('more than one end');
  return receipts;
}

/** The process dies when the machine accepts a reboot, as it does on a real one. */
export function dieOnReboot({ machine }: Guest): void {
  machine.faults.plan({ call: 'power.reboot', nth: 1, when: 'after', how: 'crash', forever: true });
}

export const states = (receipts: readonly Receipt[]): string[] => receipts.map(({ state }) => state);
export const lastOf = (receipts: readonly Receipt[]): [string | undefined, string | null | undefined] => [
  receipts.at(-1)?.state,
  receipts.at(-1)?.code,
];
export { Crash };
