// How PostgreSQL is reached: the same for the pool of connections and for the one that listens.

import pg from 'pg';
import type { PostgresPlace } from './engine.ts';

/** Where rings are heard; migrations.ts names it, too. */
export const CHANNEL = 'latchkey';
const CONNECT_TIMEOUT_MS = 5_000;
/** A transaction that stands still, as that of a process that was stopped, holds up the others for so long at most. */
const STANDSTILL_MS_MAX = 10_000;
const STATEMENT_MS_MAX = 30_000;
const INT8 = 20;

export function connectionOf({ password, tls, ...where }: PostgresPlace): pg.ClientConfig {
  return {
    ...where,
    ...(password === null ? {} : { password }),
    ssl: tls === null ? false : { rejectUnauthorized: true, ...(tls.ca === null ? {} : { ca: tls.ca }) },
    application_name: 'latchkey',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    lock_timeout: STANDSTILL_MS_MAX,
    idle_in_transaction_session_timeout: STANDSTILL_MS_MAX,
    statement_timeout: STATEMENT_MS_MAX,
    // The server's own limit does not help where the server is gone.
    query_timeout: STATEMENT_MS_MAX + CONNECT_TIMEOUT_MS,
    types: { getTypeParser },
  };
}

/** Times and counts are numbers in both engines; one that JavaScript cannot hold is a defect. */
function getTypeParser(oid: number, format?: 'text' | 'binary'): (text: string) => unknown {
  if (oid === INT8 && format !== 'binary') {
    return (text) => {
      const number = Number(text);
      if (!Number.isSafeInteger(number)) throw new Error(`not a safe integer: ${text}`);
      return number;
    };
  }
  return pg.types.getTypeParser(oid, format as 'text') as (text: string) => unknown;
}
