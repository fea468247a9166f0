// What one program asks of the gateway that a machine is connected through, and the answer: rows that both look at when it
// rings. They carry nothing secret, and are gone soon.

import { sql } from 'kysely';
import type { Db, Store, Write } from './store.ts';

export type Question =
  | Readonly<{ ask: 'preflight'; operator: string }>
  /** Whether the machine still answers on its connection. */
  | Readonly<{ ask: 'alive' }>
  | Readonly<{ ask: 'cancel'; op: string }>;
export type OpenQuestion = Readonly<{ id: number; vm: string; question: Question }>;

/** An older one nobody waits for. */
const QUESTION_MS_MAX = 30_000;
/** Rings may be missed. */
const LOOK_INTERVAL_MS = 500;

/** Asks and waits; `null` where no answer comes in time. */
export async function askGateway(
  store: Store,
  { vm, gateway }: Readonly<{ vm: string; gateway: string }>,
  question: Question,
  patienceMs: number,
): Promise<unknown> {
  const row = {
    vm,
    gateway,
    asked_json: JSON.stringify(question),
    answer_json: null,
    asked_at: sql<number>`clock_ms()`,
  };
  const { id } = await store.write((trx) =>
    trx.insertInto('questions').values(row).returning('id').executeTakeFirstOrThrow(),
  );
  await store.tell(vm);
  for (const until = performance.now() + patienceMs; performance.now() < until; ) {
    const { rings } = store.bell;
    const found = await store.db.selectFrom('questions').select('answer_json').where('id', '=', id).executeTakeFirst();
    if (!found) return null;
    if (found.answer_json !== null) {
      await store.write((trx) => trx.deleteFrom('questions').where('id', '=', id).execute());
      return JSON.parse(found.answer_json) as unknown;
    }
    await store.bell.next(rings, AbortSignal.timeout(LOOK_INTERVAL_MS));
  }
  await store.write((trx) => trx.deleteFrom('questions').where('id', '=', id).execute());
  return null;
}

export async function openQuestions(db: Db, gateway: string): Promise<OpenQuestion[]> {
  const rows = await db
    .selectFrom('questions')
    .select(['id', 'vm', 'asked_json'])
    .where('gateway', '=', gateway)
    .where('answer_json', 'is', null)
    .where('asked_at', '>', sql<number>`clock_ms() - ${sql.lit(QUESTION_MS_MAX)}`)
    .orderBy('id')
    .execute();
  return rows.map(({ id, vm, asked_json }) => ({ id, vm, question: JSON.parse(asked_json) as Question }));
}

export async function answerQuestion(trx: Write, id: number, answer: unknown): Promise<void> {
  await trx
    .updateTable('questions')
    .set({ answer_json: JSON.stringify(answer) })
    .where('id', '=', id)
    .execute();
}

export async function forgetQuestions(trx: Write): Promise<void> {
  const old = sql<number>`clock_ms() - ${sql.lit(2 * QUESTION_MS_MAX)}`;
  await trx.deleteFrom('questions').where('asked_at', '<', old).execute();
}
