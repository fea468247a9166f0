// Answers to requests that made something, kept in the transaction that made it: a request that is sent again with the same key
// makes nothing again. Keys are kept as hashes, and an answer that shows a secret is not kept.

import type { Db, Write } from './store.ts';

export type KeptAnswer = Readonly<{
  key_sha256: string;
  /** Of what was asked for. */
  request_sha256: string;
  made: string;
  /** `null`: it showed a secret. */
  answer_json: string | null;
  at: number;
}>;

export async function findAnswer(db: Db, keySha256: string): Promise<KeptAnswer | null> {
  const row = await db.selectFrom('kept_answers').selectAll().where('key_sha256', '=', keySha256).executeTakeFirst();
  return row ?? null;
}

export async function insertAnswer(trx: Write, answer: KeptAnswer): Promise<void> {
  await trx.insertInto('kept_answers').values(answer).execute();
}

export async function forgetAnswersBefore(trx: Write, at: number): Promise<void> {
  await trx.deleteFrom('kept_answers').where('at', '<', at).execute();
}
