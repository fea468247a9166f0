// Errors as clients see them: application/problem+json with a code. Details name fields and ids; what a client sent is
// never quoted back, and a defect shows nothing of itself.

import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import type { Logger } from 'pino';
import { type Code, codes } from '../../protocol/codes.ts';
import { type Details, Failure } from '../../protocol/failure.ts';
import type { Problem } from './schemas.ts';

const statuses: Partial<Record<Code, number>> = {
  REQUEST_INVALID: 400,
  SCHEMA_INVALID: 400,
  LOGIN_PENDING: 400,
  LOGIN_SLOW_DOWN: 400,
  LOGIN_EXPIRED: 400,
  LOGIN_DENIED: 400,
  UNAUTHENTICATED: 401,
  FORBIDDEN: 403,
  SIGN_IN_REFUSED: 403,
  ORIGIN_REFUSED: 403,
  AUTHZ_INVALID: 403,
  FACTOR_REFUSED: 403,
  FACTOR_UNKNOWN: 403,
  FACTOR_NOT_ALLOWED: 403,
  FACTOR_LOCKED: 403,
  NOT_FOUND: 404,
  PRECONDITION_FAILED: 412,
  REROOT_REFUSED: 422,
  IDEMPOTENCY_KEY_REUSED: 422,
  RATE_LIMITED: 429,
  INTERNAL: 500,
  SIGNER_UNAVAILABLE: 503,
  MAIL_UNAVAILABLE: 503,
  DATABASE_UNUSABLE: 503,
};

export const statusOf = (code: Code): number => statuses[code] ?? 409;

export function problemOf({ code, details, hint }: Failure): Problem {
  return {
    type: `urn:latchkey:code:${code}`,
    title: codes[code].sentence,
    status: statusOf(code),
    code,
    detail: detailText(details),
    hint,
  };
}

/** `field=vm reason=missing`: short words, whatever they came from. */
export function detailText(details: Details): string {
  const parts = Object.entries(details).map(([name, value]) => `${name}=${word(String(value))}`);
  return parts.join(' ').slice(0, 200);
}

const word = (text: string): string => text.replaceAll(/[^A-Za-z0-9_.:/@-]/g, '_').slice(0, 80);

export async function sendProblem(
  log: Logger,
  error: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<void> {
  const failure = failureOf(error);
  const problem = problemOf(failure);
  const { method, routeOptions } = request;
  const place = { method, route: routeOptions.url ?? null, code: failure.code };
  if (failure.code === 'INTERNAL') log.error({ ...place, defect: error.stack ?? error.message }, 'defect');
  else log.info({ ...place, details: failure.details }, 'request refused');
  await reply.status(problem.status).type('application/problem+json').send(JSON.stringify(problem));
}

/** Everything that Fastify and its plugins throw, as a code. */
function failureOf(error: FastifyError): Failure {
  if (error instanceof Failure) return error;
  if (hasZodFastifySchemaValidationErrors(error)) {
    const [issue] = error.validation;
    const path = issue?.instancePath.replaceAll('/', '.').replace(/^\./, '') ?? '';
    return new Failure('REQUEST_INVALID', { field: fieldOf(path, issue?.params) });
  }
  if (error.statusCode === 429) return new Failure('RATE_LIMITED');
  if (error.statusCode === 413) return new Failure('REQUEST_INVALID', { reason: 'size' });
  if (error.statusCode === 415) return new Failure('REQUEST_INVALID', { reason: 'content_type' });
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return new Failure('REQUEST_INVALID', { reason: error.code ?? 'request' });
  }
  return new Failure('INTERNAL', {}, error);
}

/** An unknown field is named itself; zod names the object that it is in. */
function fieldOf(path: string, params: unknown): string {
  const keys = (params as { keys?: readonly string[] } | undefined)?.keys;
  return [path, keys?.[0]].filter((part) => part !== undefined && part !== '').join('.');
}
