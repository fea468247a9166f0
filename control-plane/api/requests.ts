// What holds for every request before a route sees it: how a body is read, who asks, and the tripwire. A body is read once,
// strictly, and never quoted.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type JsonValue, nestingDepth } from '../../protocol/canonical.ts';
import { Failure } from '../../protocol/failure.ts';
import { sha256Text } from '../../protocol/keys.ts';
import { JSON_DEPTH_MAX } from '../../protocol/limits.ts';
import { refuseReroot } from '../../protocol/reroot.ts';
import { operatorOfKey } from '../store/operators.ts';
import type { Db } from '../store/store.ts';

const BEARER = /^Bearer (lk_[A-Za-z0-9_-]{43})$/;

const operators = new WeakMap<FastifyRequest, string>();

/** Who asks; set for every route but the open ones. */
export function operatorOf(request: FastifyRequest): string {
  const operator = operators.get(request);
  if (operator === undefined) throw new Failure('UNAUTHENTICATED');
  return operator;
}

/** Everything below needs an API key. */
export function requireKey(app: FastifyInstance, db: Db): void {
  app.addHook('onRequest', async (request) => {
    const key = BEARER.exec(request.headers.authorization ?? '')?.[1];
    const operator = key === undefined ? null : await operatorOfKey(db, await sha256Text(key));
    if (operator === null) throw new Failure('UNAUTHENTICATED');
    operators.set(request, operator);
  });
}

/** JSON, not too deep, or nothing. */
export function readJson(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'string' },
    async (_request: FastifyRequest, body: string) => {
      if (body === '') return undefined;
      if (nestingDepth(body) > JSON_DEPTH_MAX) throw new Failure('REQUEST_INVALID', { reason: 'depth' });
      try {
        return JSON.parse(body) as unknown;
      } catch {
        throw new Failure('REQUEST_INVALID', { reason: 'json' });
      }
    },
  );
}

/** Before any schema, so that a reset by reroot is refused by its own name. */
export function setTripwire(app: FastifyInstance): void {
  app.addHook('preValidation', async (request) => {
    refuseReroot((request.body ?? null) as JsonValue);
  });
}
