// The executor's hand on the journal: appends entries one at a time, keeps the ledger that follows from them, and signs
// the receipt that each state's entry carries, so that an outcome and its receipt become durable together.

import { canonicalBytes } from '../../protocol/canonical.ts';
import type { Code } from '../../protocol/codes.ts';
import { Failure } from '../../protocol/failure.ts';
import type { SigningKey } from '../../protocol/keys.ts';
import { sha256Text } from '../../protocol/keys.ts';
import type { AgentState } from '../../protocol/lifecycle.ts';
import { RECEIPT_GENESIS, type Receipt, type ReceiptDetail, receipt as receiptSchema } from '../../protocol/receipt.ts';
import { parseSchema } from '../../protocol/schema.ts';
import { signToken } from '../../protocol/token.ts';
import {
  apply,
  type Entry,
  type Finding,
  type Ledger,
  type Operation,
  readLedger,
  type StoredReceipt,
} from '../core/ledger.ts';
import type { Clock } from '../ports/clock.ts';
import type { Journal, JournalRecord } from '../ports/journal.ts';

/** What a receipt says beside its place in the chain. */
export type Statement = Readonly<{
  state: AgentState;
  code: Code | null;
  detail: ReceiptDetail;
  warnings: readonly string[];
  cmdSha256: string;
  cn: string;
  sealed?: Receipt['sealed'];
}>;

export type Signatory = Readonly<{ agent: string; ek: SigningKey; boot: string; clock: Clock }>;

/** The ledger of a journal. Its records are ours: the journal's owner and chain were checked when it was opened. */
export function ledgerOf(journal: Journal): Ledger {
  return readLedger(journal.records() as readonly JournalRecord[] as readonly Entry[]);
}

/** Signs the next receipt of an operation, given those that it has. */
export async function signReceipt(
  { agent, ek, boot, clock }: Signatory,
  op: string,
  earlier: readonly StoredReceipt[],
  statement: Statement,
): Promise<StoredReceipt> {
  const last = earlier.at(-1);
  const { state, code, detail, warnings, cmdSha256, cn, sealed } = statement;
  const payload: Receipt = parseSchema(receiptSchema, {
    v: 1,
    op,
    agent,
    n: (last?.n ?? 0) + 1,
    prev: last?.sha256 ?? RECEIPT_GENESIS,
    state,
    code,
    warnings: [...warnings],
    cmd_sha256: cmdSha256,
    cn,
    boot,
    mono: Math.floor(clock.monotonicMs()),
    detail,
    ...(sealed ? { sealed } : {}),
  });
  const token = await signToken('lk-receipt+jws', payload, ek);
  return { n: payload.n, token, sha256: await sha256Text(canonicalBytes(payload)) };
}

export class Recorder {
  readonly #journal: Journal;
  readonly #signatory: Signatory;
  readonly #ledger: Map<string, Operation>;
  readonly #hopes: { op: string; n: number; controller: AbortController }[] = [];
  #tail: Promise<unknown> = Promise.resolve();

  constructor(journal: Journal, signatory: Signatory) {
    this.#journal = journal;
    this.#signatory = signatory;
    this.#ledger = new Map(ledgerOf(journal));
  }

  get ledger(): Ledger {
    return this.#ledger;
  }

  operation(op: string): Operation {
    const operation = this.#ledger.get(op);
    if (!operation) throw new Failure('INTERNAL', { reason: 'operation_not_in_ledger' });
    return operation;
  }

  /** Makes an entry durable, then lets it count. Entries are written in the order of the calls. */
  append(entry: Entry): Promise<void> {
    return this.#inTurn(() => this.#write(entry));
  }

  /** Signs and makes durable a state of an accepted operation; returns its receipt. */
  async state(
    op: string,
    said: Omit<Statement, 'cmdSha256' | 'cn' | 'warnings'>,
    finding: Finding,
  ): Promise<StoredReceipt> {
    return this.#inTurn(async () => {
      const operation = this.operation(op);
      if (!operation.work) throw new Failure('INTERNAL', { reason: 'not_accepted' });
      const { cmdSha256, cn } = operation.work;
      const warnings = [...new Set([...operation.warnings, ...(finding.warnings ?? [])])];
      const receipt = await signReceipt(this.#signatory, op, operation.receipts, { ...said, warnings, cmdSha256, cn });
      const { state, code } = said;
      await this.#write({ kind: 'state', op, state, code, boot: this.#signatory.boot, finding, receipt });
      return receipt;
    });
  }

  /** Ends once the control plane has acknowledged that receipt. */
  acknowledged(op: string, n: number): AbortSignal {
    const controller = new AbortController();
    this.#hopes.push({ op, n, controller });
    return controller.signal;
  }

  /** Signs a receipt for an operation that the ledger does not know yet. */
  sign(op: string, statement: Statement): Promise<StoredReceipt> {
    return signReceipt(this.#signatory, op, [], statement);
  }

  close(): Promise<void> {
    return this.#inTurn(() => this.#journal.close());
  }

  async #write(entry: Entry): Promise<void> {
    await this.#journal.append(entry);
    const after = apply(this.#ledger.get(entry.op), entry);
    if (after) this.#ledger.set(entry.op, after);
    if (entry.kind !== 'acked') return;
    for (const { op, n, controller } of this.#hopes) if (op === entry.op && n <= entry.n) controller.abort();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(work);
    this.#tail = turn.catch(() => undefined);
    return turn;
  }
}
