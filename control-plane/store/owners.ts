// Whom a machine belongs to, and the letters to them that were not sent yet: each written down in the transaction that ends its
// operation, and in hand with whoever holds its lease.

import { sql } from 'kysely';
import type { Operation } from '../core/operation.ts';
import type { Db, Write } from './store.ts';

const now = sql<number>`clock_ms()`;
const inFuture = (ms: number) => sql<number>`clock_ms() + ${sql.val(ms)}`;

export async function ownerOf(db: Db, vm: string): Promise<string | null> {
  const row = await db.selectFrom('vm_owners').select('email').where('vm', '=', vm).executeTakeFirst();
  return row?.email ?? null;
}

export async function setOwner(trx: Write, vm: string, email: string | null): Promise<void> {
  await trx.deleteFrom('vm_owners').where('vm', '=', vm).execute();
  if (email !== null) await trx.insertInto('vm_owners').values({ vm, email }).execute();
}

/** To whoever owns the machine when it ends. */
export async function queueLetter(trx: Write, { op, vm }: Operation): Promise<void> {
  const recipient = await ownerOf(trx, vm);
  if (recipient === null) return;
  await trx
    .insertInto('letters')
    .values({ op, recipient, attempts: 0, next_at: now })
    .onConflict((conflict) => conflict.column('op').doNothing())
    .execute();
}

export type QueuedLetter = Readonly<{ op: string; recipient: string; attempts: number }>;

/** Those that are due, which nobody else takes until the lease is over. */
export async function takeLetters(trx: Write, leaseMs: number, count: number): Promise<QueuedLetter[]> {
  const rows = await trx
    .selectFrom('letters')
    .select(['op', 'recipient', 'attempts'])
    .where('next_at', '<=', now)
    .orderBy('next_at')
    .limit(count)
    .execute();
  const ops = rows.map(({ op }) => op);
  if (ops.length === 0) return [];
  await trx
    .updateTable('letters')
    .set((eb) => ({ next_at: inFuture(leaseMs), attempts: eb('attempts', '+', 1) }))
    .where('op', 'in', ops)
    .execute();
  return rows.map((row) => ({ ...row, attempts: row.attempts + 1 }));
}

export async function anyLetterDue(db: Db): Promise<boolean> {
  const row = await db.selectFrom('letters').select('op').where('next_at', '<=', now).limit(1).executeTakeFirst();
  return row !== undefined;
}

export async function postponeLetter(trx: Write, op: string, delayMs: number): Promise<void> {
  await trx
    .updateTable('letters')
    .set({ next_at: inFuture(delayMs) })
    .where('op', '=', op)
    .execute();
}

export async function dropLetter(trx: Write, op: string): Promise<void> {
  await trx.deleteFrom('letters').where('op', '=', op).execute();
}
