// Operations and their receipts. An operation changes through `change` alone: one read, one step of core, one write with
// its events, all in the caller's transaction.

import { isEnd } from '../../protocol/lifecycle.ts';
import type { Receipt } from '../../protocol/receipt.ts';
import { isTold } from '../core/letter.ts';
import type { Operation, OperationEvent } from '../core/operation.ts';
import { progress, type Step } from '../core/progress.ts';
import { enteredAt } from '../core/times.ts';
import { appendEvent } from './events.ts';
import { handOver } from './handover.ts';
import { queueLetter } from './owners.ts';
import type { Db, Write } from './store.ts';

const columnsOf = (operation: Operation) => ({
  project: operation.project,
  operator: operation.operator,
  created_at: operation.createdAt,
  state: operation.state,
  approved: operation.approvedAt === null ? 0 : 1,
  ended: isEnd(operation.state) ? 1 : 0,
  updated_at: operation.updatedAt,
  sealed: operation.sealed === null ? 0 : 1,
  turn: operation.bulk?.turn ? 1 : 0,
  record_json: JSON.stringify(operation),
});

/** Records that were written before states were timed say when they changed last. */
export function readOperation(row: { record_json: string }): Operation {
  const record = JSON.parse(row.record_json) as Operation;
  return { ...record, entered: record.entered ?? enteredAt(record.updatedAt), times: record.times ?? [] };
}

export async function insertOperation(trx: Write, operation: Operation): Promise<void> {
  const { op, vm, createdAt, operator } = operation;
  await trx
    .insertInto('operations')
    .values({ op, vm, bulk: operation.bulk?.op ?? null, ...columnsOf(operation) })
    .execute();
  await appendEvent(trx, {
    at: createdAt,
    vm,
    op,
    type: 'operation.created',
    data: { operator, state: operation.state, ...(operation.bulk ? { bulk: operation.bulk.op } : {}) },
  });
}

export async function findOperation(db: Db, op: string): Promise<Operation | null> {
  const row = await db.selectFrom('operations').select('record_json').where('op', '=', op).executeTakeFirst();
  return row ? readOperation(row) : null;
}

/** Applies one step and stores what came of it. */
export async function change(trx: Write, before: Operation, step: Step, at: number): Promise<Operation> {
  const { operation, events } = progress(before, step, at);
  if (operation === before && events.length === 0) return before;
  await trx.updateTable('operations').set(columnsOf(operation)).where('op', '=', operation.op).execute();
  for (const event of events) await appendEvent(trx, eventOf(operation, event, at));
  if (isTold(operation.state) && !isTold(before.state)) await queueLetter(trx, operation);
  return operation;
}

/** What that machine means by an operation's name: its own, or the one of a bulk that it is one of. */
export async function findSaid(db: Db, vm: string, said: string): Promise<Operation | null> {
  const own = await findOperation(db, said);
  if (own) return own;
  const row = await db
    .selectFrom('operations')
    .select('record_json')
    .where('bulk', '=', said)
    .where('vm', '=', vm)
    .executeTakeFirst();
  return row ? readOperation(row) : null;
}

/** A ready, and a turn to begin, belong to the connection on which it was said: with that one gone, there is none. */
export async function dropReadies(trx: Write, vm: string, at: number): Promise<void> {
  for (const operation of await openOperations(trx, vm)) {
    const { ready, bulk } = operation;
    if (ready !== null || bulk?.turn) await change(trx, operation, { t: 'unready' }, at);
  }
}

/** The machine's operations that have not ended, oldest first. */
export async function openOperations(db: Db, vm: string): Promise<Operation[]> {
  const rows = await db
    .selectFrom('operations')
    .select('record_json')
    .where('vm', '=', vm)
    .where('ended', '=', 0)
    .orderBy('seq')
    .execute();
  return rows.map(readOperation);
}

/** Everything that time may do something to: open operations, and ended ones whose secrets wait. */
export async function operationsUnderWatch(db: Db): Promise<Operation[]> {
  const rows = await db
    .selectFrom('operations')
    .select('record_json')
    .where((eb) => eb.or([eb('ended', '=', 0), eb('sealed', '=', 1)]))
    .orderBy('seq')
    .execute();
  return rows.map(readOperation);
}

export type StoredReceipt = Readonly<{
  n: number;
  sha256: string;
  state: string;
  code: string | null;
  at: number;
  detail: Receipt['detail'];
}>;

export async function insertReceipt(
  trx: Write,
  receipt: Receipt,
  token: string,
  sha256: string,
  at: number,
): Promise<void> {
  const { op, n, state, code, detail } = receipt;
  await trx
    .insertInto('receipts')
    .values({ op, n, token, sha256, state, code, at, detail_json: JSON.stringify(detail) })
    .execute();
  await handOver(trx, { t: 'receipt', token });
}

export async function receiptSha256(db: Db, op: string, n: number): Promise<string | null> {
  const row = await db
    .selectFrom('receipts')
    .select('sha256')
    .where('op', '=', op)
    .where('n', '=', n)
    .executeTakeFirst();
  return row?.sha256 ?? null;
}

export async function receiptsOf(db: Db, op: string): Promise<StoredReceipt[]> {
  const rows = await db.selectFrom('receipts').selectAll().where('op', '=', op).orderBy('n').execute();
  return rows.map(({ n, sha256, state, code, at, detail_json }) => ({
    n,
    sha256,
    state,
    code,
    at,
    detail: JSON.parse(detail_json) as Receipt['detail'],
  }));
}

function eventOf({ vm, op }: Operation, { type, data }: OperationEvent, at: number) {
  return { at, vm, op, type, data };
}
