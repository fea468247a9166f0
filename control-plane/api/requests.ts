// What holds for every request before a route sees it: how a body is read, who asks, and the tripwire. A body is read once,
// strictly, and never quoted.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type JsonValue, nestingDepth } from '../../protocol/canonical.ts';
import { Failure } from '../../protocol/failure.ts';
import { JSON_DEPTH_MAX } from '../../protocol/limits.ts';
import { refuseReroot } from '../../protocol/reroot.ts';
import type { Right } from '../core/rights.ts';
import type { Session } from '../people/sign-in.ts';
import type { Memberships } from '../store/projects.ts';

export type Caller = Readonly<{
  operator: string;
  /** Where they are a member, as far as what they show is good for it. */
  memberships: Memberships;
  /** What may be done with what they show, where their role allows it. */
  scopes: readonly Right[];
  /** Where they signed in; `null` with an API key. */
  session: Session | null;
  /** The one project that it is good for, and how long; `null`: for all, for ever. */
  project: string | null;
  expiresAt: number | null;
  /** Those that the request is about, of those where they may ask it. */
  projects: readonly string[];
  /** Whether all of that is still so. */
  still(): Promise<boolean>;
}>;

const callers = new WeakMap<FastifyRequest, Caller>();

/** The guard's to say, and nobody else's. */
export function setCaller(request: FastifyRequest, caller: Caller): void {
  callers.set(request, caller);
}

/** Set for every route but the open ones. */
export function callerOf(request: FastifyRequest): Caller {
  const caller = callers.get(request);
  if (caller === undefined) throw new Failure('UNAUTHENTICATED');
  return caller;
}

export const operatorOf = (request: FastifyRequest): string => callerOf(request).operator;

/** What a list or a stream may show. Never empty. */
export const projectsOf = (request: FastifyRequest): readonly string[] => callerOf(request).projects;

/** Of the one thing that the request is about. */
export function projectOf(request: FastifyRequest): string {
  const [project, other] = projectsOf(request);
  if (project === undefined || other !== undefined) throw new TypeError('not about one project');
  return project;
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
