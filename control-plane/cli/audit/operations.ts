// Operations as the rows of an audit tell them: what was intended, who proved it, which commands were signed for it, and what the
// machines said. Of each, only what later rows are checked with is kept.

import * as z from 'zod/mini';
import type { AuditRow } from '../../../protocol/audit.ts';
import { parseCanonical } from '../../../protocol/canonical.ts';
import { type Command, command as commandSchema, type FactorMethod } from '../../../protocol/command.ts';
import { type Intent, readIntent, targetOf } from '../../../protocol/intent.ts';
import { fromBase64url, sha256Text, thumbprint } from '../../../protocol/keys.ts';
import { isEnd } from '../../../protocol/lifecycle.ts';
import { RECEIPT_GENESIS, type Receipt, receipt as receiptSchema } from '../../../protocol/receipt.ts';
import { assertRootValid, type RootPayload, roleKeys } from '../../../protocol/root.ts';
import { agentId, bytes32, counter, ed25519Jwk, parseSchema } from '../../../protocol/schema.ts';
import { onlyKey, verifyToken } from '../../../protocol/token.ts';
import { demand } from './broken.ts';
import { type Factors, provenData } from './factors.ts';

const text = z.string();
const policy = z.object({ second_person: z.boolean() });
const built = z.object({ hash: bytes32, agent: agentId, intent: text, two_people: z.optional(counter) });
const release = z.object({
  op: text,
  agent: agentId,
  operator: text,
  act: z.literal('release'),
  not_after: counter,
});
const signed = z.object({ token: text, cmd_sha256: bytes32 });
const enrolled = z.object({ agent: agentId, ek: ed25519Jwk, join_sha256: z.optional(bytes32) });
type Machine = Pick<z.infer<typeof enrolled>, 'ek' | 'join_sha256'>;
const said = z.object({
  agent: agentId,
  n: counter,
  state: text,
  code: z.nullable(text),
  sha256: bytes32,
  after: z.optional(counter),
  token: text,
});

type Proof = Readonly<{ method: FactorMethod; at: number }>;
type Told = {
  hash: string;
  notAfter: number;
  operator: string | null;
  twoPeople: boolean;
  proven: Proof | null;
  seconded: boolean;
  /** Of a list: the machines, in its order. */
  targets: readonly string[] | undefined;
};
/** What one machine was commanded, and what it said of that. */
type Work = { commands: Set<string>; nonces: Set<string>; n: number; sha256: string; ended: boolean };
export type Gap = Readonly<{ row: number; op: string; agent: string; after: number; n: number }>;

/** So many gaps, and so many open operations, are named; all are counted. */
const NAMED_MAX = 100;

export class Operations {
  readonly #machines = new Map<string, Machine>();
  readonly #intents = new Map<string, Told>();
  readonly #works = new Map<string, Work>();
  readonly #factors: Factors;
  readonly counts = { machines: 0, intents: 0, commands: 0, receipts: 0, gaps: 0, forks: 0 };
  readonly gaps: Gap[] = [];

  constructor(factors: Factors) {
    this.#factors = factors;
  }

  enrolled(_: AuditRow, data: unknown): void {
    const { agent, ek, join_sha256 } = parseSchema(enrolled, data);
    demand(!this.#machines.has(agent), 'machine');
    this.#machines.set(agent, { ek, join_sha256 });
    this.counts.machines += 1;
  }

  async built({ op, operator }: AuditRow, data: unknown): Promise<void> {
    const { hash, agent, intent: bytes, two_people = 0 } = parseSchema(built, data);
    demand((await sha256Text(fromBase64url(bytes))) === hash, 'intent');
    const intent = readIntent(bytes);
    demand(intent.act !== 'cancel' && intent.op === op && intent.operator === operator, 'intent');
    const targets = intent.act === 'reset' ? intent.targets : undefined;
    demand(intent.agent === agent, 'intent');
    this.#begin(op, { hash, notAfter: intent.not_after, operator, twoPeople: two_people === 1, targets });
  }

  async releaseBuilt({ op, operator }: AuditRow, data: unknown): Promise<void> {
    const { hash, agent, intent: bytes, two_people = 0 } = parseSchema(built, data);
    demand((await sha256Text(fromBase64url(bytes))) === hash, 'intent');
    const intent = parseSchema(release, parseCanonical(fromBase64url(bytes)));
    demand(intent.op === op && intent.operator === operator && intent.agent === agent, 'intent');
    const said = { hash, notAfter: intent.not_after, operator, twoPeople: two_people === 1 };
    this.#begin(op, { ...said, targets: undefined });
  }

  #begin(op: string | null, said: Omit<Told, 'proven' | 'seconded'>): void {
    demand(op !== null && !this.#intents.get(op)?.proven, 'intent');
    this.#intents.set(op, { ...said, proven: null, seconded: false });
    this.counts.intents += 1;
  }

  /** What is not proven yet falls under a policy that asks for a second person, whenever it was built. */
  policySet(_: AuditRow, data: unknown): void {
    if (!parseSchema(policy, data).second_person) return;
    for (const told of this.#intents.values()) if (!told.proven) told.twoPeople = true;
  }

  /** By whoever asked, or by a second person. `earlier`: there are rows that bring no keys. */
  async proven({ op, operator, at, kind }: AuditRow, data: unknown, earlier: boolean): Promise<void> {
    const proof = parseSchema(provenData, data);
    const told = this.#intentOf(op, earlier);
    if (!told) return;
    demand(told.hash === proof.hash, 'intent');
    if (kind === 'intent.proven') {
      demand(told.proven === null && told.operator === operator, 'proof');
      await this.#factors.demandProof(operator, proof, earlier);
      told.proven = { method: proof.method, at };
    } else {
      demand(told.proven !== null && !told.seconded && told.operator !== operator, 'second_person');
      await this.#factors.demandProof(operator, proof, earlier);
      told.seconded = true;
    }
  }

  async commanded(row: AuditRow, data: unknown, root: RootPayload, earlier: boolean): Promise<void> {
    const { command, sha256 } = await readCommand(row, data, root);
    const told = this.#intentOf(row.op, earlier);
    const hash = command.intent === undefined ? command.intent_sha256 : await sha256Text(fromBase64url(command.intent));
    if (told) {
      const { operator, method, at } = command.authz;
      demand(hash === told.hash, 'intent');
      demand(told.proven !== null && (!told.twoPeople || told.seconded), 'not_proven');
      demand(command.iat <= told.notAfter, 'expired');
      demand(operator === told.operator && method === told.proven.method && at === told.proven.at, 'authz');
      demand(command.intent !== undefined || told.targets?.[command.index ?? -1] === command.aud, 'command');
    }
    const intent = demandAddressed(command, ['reset', 'initialise']);
    const isMeant = intent?.act !== 'initialise' || this.#machines.get(command.aud)?.join_sha256 === intent.join_sha256;
    demand(isMeant, 'join_token');
    const work = this.#workOf(command.op, command.aud);
    demand(!work.nonces.has(command.cn), 'nonce');
    work.commands.add(sha256);
    work.nonces.add(command.cn);
    this.counts.commands += 1;
  }

  async cancelled(row: AuditRow, data: unknown, root: RootPayload, earlier: boolean): Promise<void> {
    const { command } = await readCommand(row, data, root);
    demand(command.authz.method === 'session', 'authz');
    demandAddressed(command, ['cancel']);
    const work = this.#works.get(`${command.op} ${command.aud}`);
    demand(work?.nonces.has(command.cn) ?? earlier, 'nonce');
  }

  async received({ n: row, op, kind }: AuditRow, data: unknown): Promise<void> {
    const told = parseSchema(said, data);
    const ek = this.#machines.get(told.agent)?.ek;
    demand(ek !== undefined, 'machine');
    const verified = await verifyToken(told.token, 'lk-receipt+jws', onlyKey(await thumbprint(ek), ek));
    const receipt = parseSchema(receiptSchema, verified.payload);
    const { agent, n, state, code } = receipt;
    demand(verified.payloadSha256 === told.sha256 && receipt.op === op && agent === told.agent, 'receipt');
    demand(n === told.n && state === told.state && code === told.code, 'receipt');
    const work = this.#works.get(`${op} ${agent}`);
    demand(work !== undefined && isOfCommand(receipt, work), 'not_commanded');
    const isNext = n === work.n + 1 && receipt.prev === work.sha256;
    if (kind === 'receipt.recorded') {
      demand(isNext, 'receipt_chain');
      Object.assign(work, { n, sha256: told.sha256, ended: isEnd(state) });
      this.counts.receipts += 1;
      return;
    }
    demand(told.after === work.n, 'receipt_chain');
    if (kind === 'receipt.fork') {
      demand(!isNext && n <= work.n + 1, 'receipt_chain');
      this.counts.forks += 1;
      return;
    }
    demand(n > work.n + 1, 'receipt_chain');
    this.counts.gaps += 1;
    if (this.gaps.length < NAMED_MAX) this.gaps.push({ row, op: receipt.op, agent, after: work.n, n });
  }

  /** Commands whose machine has not said how it ended: at work still, or what it said was left out. */
  open(): Readonly<{ count: number; ops: readonly string[] }> {
    const open = [...this.#works].filter(([, { ended }]) => !ended).map(([key]) => key.split(' ')[0] ?? '');
    return { count: open.length, ops: open.slice(0, NAMED_MAX) };
  }

  #intentOf(op: string | null, earlier: boolean): Told | null {
    const told = op === null ? undefined : this.#intents.get(op);
    demand(told !== undefined || earlier, 'intent');
    return told ?? null;
  }

  #workOf(op: string, agent: string): Work {
    const key = `${op} ${agent}`;
    const work: Work = this.#works.get(key) ?? {
      commands: new Set(),
      nonces: new Set(),
      n: 0,
      sha256: RECEIPT_GENESIS,
      ended: false,
    };
    this.#works.set(key, work);
    return work;
  }
}

async function readCommand(
  { op, at }: AuditRow,
  data: unknown,
  root: RootPayload,
): Promise<Readonly<{ command: Command; sha256: string }>> {
  const { token, cmd_sha256 } = parseSchema(signed, data);
  const { payload, payloadSha256 } = await verifyToken(token, 'lk-command+jws', roleKeys(root, 'command', at));
  assertRootValid(root, at);
  const command = parseSchema(commandSchema, payload);
  demand(payloadSha256 === cmd_sha256 && command.op === op && command.iat === at, 'command');
  demand(command.iss === root.iss && command.root_ver === root.version, 'command');
  return { command, sha256: payloadSha256 };
}

/** An intent that comes beside the command was read with its row. */
function demandAddressed({ aud, op, intent, index }: Command, acts: readonly Intent['act'][]): Intent | null {
  if (intent === undefined) return null;
  const value = readIntent(intent);
  demand(acts.includes(value.act) && value.op === op && targetOf(value, index) === aud, 'command');
  return value;
}

/** A refusal may name other bytes, when the command was altered on its way; its nonce still says which one it was. */
function isOfCommand({ cmd_sha256, cn, n, state }: Receipt, { commands, nonces }: Work): boolean {
  return commands.has(cmd_sha256) || (n === 1 && state === 'REFUSED' && nonces.has(cn));
}
