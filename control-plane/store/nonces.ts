// Nonces that agents drew. A machine that was restored from a live snapshot may repeat itself; here that is seen.

import type { Write } from './store.ts';

/** Whether the nonce is new; it is remembered either way. */
export async function rememberNonce(trx: Write, nonce: string, at: number): Promise<boolean> {
  const result = await trx
    .insertInto('nonces')
    .values({ nonce, at })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  return (result.numInsertedOrUpdatedRows ?? 0n) > 0n;
}

export async function forgetNoncesBefore(trx: Write, at: number): Promise<void> {
  await trx.deleteFrom('nonces').where('at', '<', at).execute();
}
