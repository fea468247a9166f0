// Whether a request may be made at all: who asks, and whether their role in the project that it is about has the right that
// core/rights.ts wants. Every route passes here. What belongs to a project of which the caller is no member is not there for
// them: it is answered like a thing that does not exist.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Failure } from '../../protocol/failure.ts';
import { sha256Text } from '../../protocol/keys.ts';
import { operationId } from '../../protocol/schema.ts';
import { type About, may, type Need, needOf, type Right, rights } from '../core/rights.ts';
import { livingApiKey } from '../store/api-keys.ts';
import { findBulk } from '../store/bulks.ts';
import { findJoinToken } from '../store/join-tokens.ts';
import { findOperation } from '../store/operations.ts';
import { findInvitation } from '../store/people.ts';
import { type Memberships, membershipsOf } from '../store/projects.ts';
import type { Db } from '../store/store.ts';
import { vmsMeant } from '../store/vms.ts';
import { findWebhook } from '../store/webhooks.ts';
import { entryOf } from './contract.ts';
import type { ApiParts } from './parts.ts';
import { type Caller, callerOf, setCaller } from './requests.ts';

const BEARER = /^Bearer (lk_[A-Za-z0-9_-]{43})$/;

/** Before any route: each that is added has to have its right. */
export function guard(app: FastifyInstance, parts: ApiParts): void {
  const { store, installation, publicUrl } = parts;
  const { db } = store;
  const identify = identifier(parts);
  app.addHook('onRoute', ({ method, url }) => {
    if (method !== 'HEAD') needOf(entryOf(String(method), url).id);
  });
  app.addHook('onRequest', async (request) => {
    const need = needIn(request);
    if (need === 'open') return demandNoStranger(request, publicUrl());
    const shown = await identify(request);
    if (shown === null) throw new Failure('UNAUTHENTICATED');
    if (shown.session) demandOwnPage(request, publicUrl());
    else if (need === 'person') throw new Failure('FORBIDDEN', { reason: 'no_session' });
    setCaller(request, { ...shown, projects: [], still: async () => (await identify(request)) !== null });
  });
  // Before the body is read for what it means: whoever may not ask is not told what is wrong with their question.
  app.addHook('preValidation', async (request) => {
    const need = needIn(request);
    if (typeof need === 'string') return;
    const caller = callerOf(request);
    const project = await projectMeant({ db, own: installation.project }, request, need.about, caller.memberships);
    const projects = permitted(caller, need.right, project);
    const still = async () => {
      const now = await identify(request);
      return (
        now !== null && now.operator === caller.operator && projects.every((name) => reaches(now, need.right, name))
      );
    };
    setCaller(request, { ...caller, projects, still });
  });
}

/** A request for which there is no route is for the one who says so. */
function needIn({ method, routeOptions: { url } }: FastifyRequest): Need {
  return url === undefined ? 'open' : needOf(entryOf(method === 'HEAD' ? 'GET' : method, url).id);
}

/** That project, or without one all of them, as far as the role reaches. */
function permitted(shown: Shown, right: Right, project: string | null): string[] {
  const asked = project === null ? [...shown.memberships.keys()] : [project];
  const allowed = asked.filter((name) => reaches(shown, right, name));
  if (allowed.length === 0) throw new Failure('FORBIDDEN', { right });
  return allowed;
}

function reaches({ memberships, scopes }: Shown, right: Right, project: string): boolean {
  const role = memberships.get(project);
  return role !== undefined && may(role, right) && scopes.includes(right);
}

type Shown = Omit<Caller, 'projects' | 'still'>;

/** Who whatever a request shows belongs to, and how far it goes; `null` where it is good for nothing. */
function identifier({ store: { db }, people, nowMs }: ApiParts): (request: FastifyRequest) => Promise<Shown | null> {
  const byKey = async (authorization: string) => {
    const key = BEARER.exec(authorization)?.[1];
    const known = key === undefined ? null : await livingApiKey(db, await sha256Text(key), nowMs());
    return known === null ? null : { ...known, session: null };
  };
  const bySession = async (cookie: string) => {
    const session = await people.sessionOf(cookie);
    return session && { operator: session.operator, scopes: rights, project: null, expiresAt: null, session };
  };
  // A key that is shown is what counts, whatever cookies there are beside it.
  return async ({ headers: { authorization, cookie = '' } }) => {
    const known = authorization ? await byKey(authorization) : await bySession(cookie);
    if (known === null) return null;
    const { operator, scopes, project, expiresAt, session } = known;
    const all = await membershipsOf(db, operator);
    const memberships = new Map([...all].filter(([name]) => project === null || project === name));
    return { operator, memberships, scopes, project, expiresAt, session };
  };
}

const LOOKING = ['GET', 'HEAD'];

/** A browser adds a session's cookie to whatever page asks; what changes something has to be asked by a page of ours. */
function demandOwnPage({ method, headers: { origin } }: FastifyRequest, ours: string): void {
  if (!LOOKING.includes(method) && origin !== new URL(ours).origin) throw new Failure('ORIGIN_REFUSED');
}

/** Nor does another's page sign anybody in. A program that is no browser names no origin. */
function demandNoStranger(request: FastifyRequest, ours: string): void {
  if (request.headers.origin !== undefined) demandOwnPage(request, ours);
}

type Place = Readonly<{ db: Db; own: string }>;
type Named = Record<string, unknown> | null | undefined;

/** The one that the request is about; `null` for all of the caller's. Throws `NOT_FOUND` for one that is not the caller's. */
async function projectMeant(
  { db, own }: Place,
  request: FastifyRequest,
  about: About,
  memberships: Memberships,
): Promise<string | null> {
  const [params, body, query] = [request.params as Named, request.body as Named, request.query as Named];
  const known = (project: string | undefined, what: string): string => {
    if (project === undefined || !memberships.has(project)) throw new Failure('NOT_FOUND', { what });
    return project;
  };
  switch (about) {
    case 'vm':
      return byVm(db, memberships, params);
    case 'vm_in_body':
      return byVm(db, memberships, body);
    case 'all': {
      const { vm, project } = query ?? {};
      if (vm !== undefined) return byVm(db, memberships, query);
      return project === undefined ? null : known(String(project), 'project');
    }
    case 'operation': {
      const op = operationId.safeParse(params?.['op']);
      if (!op.success) throw new Failure('REQUEST_INVALID', { field: 'op' });
      return known((await findOperation(db, op.data))?.project, 'operation');
    }
    case 'bulk': {
      const bulk = operationId.safeParse(params?.['bulk']);
      if (!bulk.success) throw new Failure('REQUEST_INVALID', { field: 'bulk' });
      return known((await findBulk(db, bulk.data))?.project, 'bulk');
    }
    case 'join_token':
      return known((await findJoinToken(db, String(params?.['id'])))?.project, 'token');
    case 'installation':
      return known(own, 'project');
    case 'webhook':
      return known((await findWebhook(db, String(params?.['webhook'])))?.project, 'webhook');
    case 'invitation':
      return known((await findInvitation(db, 'id', String(params?.['id'])))?.project, 'invitation');
    case 'project': {
      const named = params?.['project'] ?? body?.['project'];
      return known(named === undefined ? ownOrOnly(own, memberships) : String(named), 'project');
    }
  }
}

/** Where nobody names a project: the installation's own, or the only one that the caller has. */
function ownOrOnly(own: string, memberships: Memberships): string {
  const [only, other] = memberships.keys();
  return memberships.has(own) || only === undefined || other !== undefined ? own : only;
}

/** From here on the request names it by its id: one name may be that of several machines, in several projects. */
async function byVm(db: Db, memberships: Memberships, place: Named): Promise<string> {
  const named = place?.['vm'];
  if (place == null || typeof named !== 'string') throw new Failure('REQUEST_INVALID', { field: 'vm' });
  const [vm, other] = memberships.size === 0 ? [] : await vmsMeant(db, [...memberships.keys()], named);
  // What was sent is not named: it may be anything, a password in the wrong place too, and details are logged.
  if (!vm) throw new Failure('NOT_FOUND', { what: 'vm' });
  if (other) throw new Failure('REQUEST_INVALID', { field: 'vm', reason: 'in_several_projects' });
  place['vm'] = vm.id;
  return vm.project;
}
