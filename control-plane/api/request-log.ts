// Each request by its own id: given by a proxy or drawn, told in the answer, and in every line that the request causes.

import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { toBase64url } from '../../protocol/keys.ts';
import { operationId } from '../../protocol/schema.ts';
import type { RandomBytes } from '../config/random-kernel.ts';
import { inRequest, REQUEST_ID, type RequestScope } from '../request-scope.ts';
import type { ApiParts } from './parts.ts';

const ID_BYTES = 12;

export function requestIds(randomBytes: RandomBytes): (raw: IncomingMessage) => string {
  return ({ headers }) => {
    const given = headers['x-request-id'];
    return typeof given === 'string' && REQUEST_ID.test(given) ? given : toBase64url(randomBytes(ID_BYTES));
  };
}

export function logRequests(app: FastifyInstance, { log }: Pick<ApiParts, 'log'>): void {
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    inRequest(scopeOf(request), done);
  });
  // A body arrives in events of the connection, which belong to nobody.
  app.addHook('preValidation', (request, _reply, done) => inRequest(scopeOf(request), done));
  app.addHook('onResponse', async (request, { statusCode, elapsedTime }) => {
    const { method, routeOptions } = request;
    const line = { ...scopeOf(request), method, route: routeOptions.url ?? null, status: statusCode };
    // Whoever only looks, looks often.
    log[method === 'GET' ? 'debug' : 'info']({ ...line, ms: Math.round(elapsedTime) }, 'answered');
  });
}

function scopeOf({ id: request, params }: FastifyRequest): RequestScope {
  const op = operationId.safeParse((params as { op?: unknown } | undefined)?.op);
  return op.success ? { request, op: op.data } : { request };
}
