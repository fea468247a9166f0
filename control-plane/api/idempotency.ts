// Idempotency keys: a client that does not know whether its request arrived sends it again with the same key, and what it asked
// for is there once. The answer is kept with what was made, in one transaction, so that no crash comes between them.

import type { FastifyRequest } from 'fastify';
import { Failure } from '../../protocol/failure.ts';
import { sha256Text } from '../../protocol/keys.ts';
import { findAnswer, insertAnswer, type KeptAnswer } from '../store/kept-answers.ts';
import type { Write } from '../store/store.ts';
import type { ApiParts } from './parts.ts';
import { operatorOf } from './requests.ts';

const KEY = /^[\x21-\x7e]{1,255}$/;

/** To be called in the transaction that makes it. Without an answer: it shows a secret, which is kept nowhere. */
export type Keep<T> = (trx: Write, made: string, answer: T | null) => Promise<void>;
type Once = <T extends object>(request: FastifyRequest, make: (keep: Keep<T>) => Promise<T>) => Promise<T>;

/** What is refused makes nothing, and keeps nothing: it may be asked for again with the same key. */
export function makingOnce({ store, nowMs }: ApiParts): Once {
  const running = new Set<string>();
  return async (request, make) => {
    const asked = await readKey(request);
    if (!asked) return make(async () => undefined);
    const { key_sha256, request_sha256 } = asked;
    if (running.has(key_sha256)) throw new Failure('IDEMPOTENCY_RUNNING');
    running.add(key_sha256);
    try {
      const before = await findAnswer(store.db, key_sha256);
      if (before) return answerAgain(before, request_sha256);
      return await make(async (trx, made, answer) => {
        // Another web may have been asked the same.
        if (await findAnswer(trx, key_sha256)) throw new Failure('IDEMPOTENCY_RUNNING');
        const answer_json = answer === null ? null : JSON.stringify(answer);
        await insertAnswer(trx, { key_sha256, request_sha256, made, answer_json, at: nowMs() });
      });
    } finally {
      running.delete(key_sha256);
    }
  };
}

function answerAgain<T>({ request_sha256, made, answer_json }: KeptAnswer, asked: string): T {
  if (request_sha256 !== asked) throw new Failure('IDEMPOTENCY_KEY_REUSED');
  if (answer_json === null) throw new Failure('SHOWN_ONCE', { made });
  return JSON.parse(answer_json) as T;
}

type Asked = Pick<KeptAnswer, 'key_sha256' | 'request_sha256'>;

/** One operator's keys are none of another's. */
async function readKey(request: FastifyRequest): Promise<Asked | null> {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key !== 'string' || !KEY.test(key)) throw new Failure('REQUEST_INVALID', { field: 'idempotency-key' });
  const { method, routeOptions, params, body } = request;
  const [key_sha256, request_sha256] = await Promise.all([
    sha256Text(JSON.stringify([operatorOf(request), key])),
    sha256Text(JSON.stringify([method, routeOptions.url, params, body ?? null])),
  ]);
  return { key_sha256, request_sha256 };
}
