// The routes of projects, of their members, and of API keys.

import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { Failure } from '../../protocol/failure.ts';
import { may } from '../core/rights.ts';
import { findApiKey, listApiKeys, revokeApiKey } from '../store/api-keys.ts';
import { appendEvent } from '../store/events.ts';
import { operatorExists } from '../store/operators.ts';
import { insertProject, type Member, membersOf, projectExists, putMember, removeMember } from '../store/projects.ts';
import type { Write } from '../store/store.ts';
import { drawApiKey, keepApiKey, keyEvent, type NewKey, viewKey } from './api-keys.ts';
import type { ApiParts } from './parts.ts';
import { callerOf, operatorOf, projectOf } from './requests.ts';
import { emptyView, projectParams } from './schemas.ts';
import {
  type ApiKeyRequest,
  apiKeyCreated,
  apiKeyList,
  apiKeyParams,
  apiKeyRequest,
  apiKeyView,
  memberList,
  memberParams,
  memberRequest,
  memberView,
  projectList,
  projectRequest,
  projectView,
} from './schemas-people.ts';

const KEYS_LISTED_MAX = 500;
const KEY_TTL_S = 90 * 86_400;

export function projectRoutes(root: FastifyInstance, { store, nowMs }: ApiParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();

  app.get('/v1/projects', { schema: { response: { 200: projectList } } }, async (request) => ({
    items: [...callerOf(request).memberships].map(([project, role]) => ({ project, role })),
  }));

  app.post(
    '/v1/projects',
    { schema: { body: projectRequest, response: { 201: projectView } } },
    async (request, reply) => {
      const [operator, at, project] = [operatorOf(request), nowMs(), request.body.name];
      await store.write(async (trx) => {
        if (await projectExists(trx, project)) throw new Failure('ALREADY_EXISTS', { project });
        await insertProject(trx, project, at);
        await putMember(trx, { operator, project, role: 'admin' }, at);
        await appendEvent(trx, { at, vm: null, op: null, type: 'project.created', data: { operator }, project });
      });
      return reply.status(201).send({ project, role: 'admin' });
    },
  );

  const path = '/v1/projects/:project/members';
  app.get(path, { schema: { params: projectParams, response: { 200: memberList } } }, async (request) => ({
    items: (await membersOf(store.db, projectOf(request))).map(({ operator, role }) => ({ operator, role })),
  }));

  app.post(
    path,
    { schema: { params: projectParams, body: memberRequest, response: { 200: memberView } } },
    async (request) => {
      const { operator, role } = request.body;
      const [project, by, at] = [projectOf(request), operatorOf(request), nowMs()];
      await store.write(async (trx) => {
        if (!(await operatorExists(trx, operator))) throw new Failure('NOT_FOUND', { what: 'operator' });
        await putMember(trx, { operator, project, role }, at);
        await demandAdmin(trx, project);
        const data = { operator, role, by };
        await appendEvent(trx, { at, vm: null, op: null, type: 'project.member', data, project });
      });
      return { operator, role };
    },
  );

  app.delete(
    `${path}/:operator`,
    { schema: { params: memberParams, response: { 200: emptyView } } },
    async (request) => {
      const { operator } = request.params;
      const [project, by, at] = [projectOf(request), operatorOf(request), nowMs()];
      await store.write(async (trx) => {
        const known = (await membersOf(trx, project)).some((member: Member) => member.operator === operator);
        if (!known) throw new Failure('NOT_FOUND', { what: 'member' });
        await removeMember(trx, { operator, project });
        await demandAdmin(trx, project);
        const data = { operator, role: null, by };
        await appendEvent(trx, { at, vm: null, op: null, type: 'project.member', data, project });
      });
      return {};
    },
  );
}

/** Nobody could ever change anything again. */
async function demandAdmin(trx: Write, project: string): Promise<void> {
  if ((await membersOf(trx, project)).some(({ role }) => role === 'admin')) return;
  throw new Failure('STATE_CONFLICT', { reason: 'last_admin' });
}

export function apiKeyRoutes(root: FastifyInstance, { store, installation, randomBytes, nowMs }: ApiParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  /** Whoever administers the installation looks after everybody's keys; all others after their own. */
  const looksAfterAll = (request: FastifyRequest): boolean => {
    const { memberships, scopes } = callerOf(request);
    const role = memberships.get(installation.project);
    return role !== undefined && may(role, 'administer') && scopes.includes('administer');
  };

  app.post(
    '/v1/api-keys',
    { schema: { body: apiKeyRequest, response: { 201: apiKeyCreated } } },
    async (request, reply) => {
      const drawn = await drawApiKey(randomBytes);
      const key = withinOwn(request, request.body, nowMs());
      return reply.status(201).send(await store.write((trx) => keepApiKey(trx, drawn, key)));
    },
  );

  app.get('/v1/api-keys', { schema: { response: { 200: apiKeyList } } }, async (request) => {
    const keys = await listApiKeys(store.db, looksAfterAll(request) ? null : operatorOf(request), KEYS_LISTED_MAX);
    return { items: keys.map((key) => viewKey(key, nowMs())) };
  });

  app.delete(
    '/v1/api-keys/:id',
    { schema: { params: apiKeyParams, response: { 200: apiKeyView } } },
    async (request) => {
      const [{ id }, by, at] = [request.params, operatorOf(request), nowMs()];
      return store.write(async (trx) => {
        const key = await findApiKey(trx, id);
        if (!key || (key.operator !== by && !looksAfterAll(request)))
          throw new Failure('NOT_FOUND', { what: 'api_key' });
        if (key.revokedAt !== null) return viewKey(key, at);
        await revokeApiKey(trx, id, at);
        await appendEvent(trx, keyEvent('api_key.revoked', key, id, by, at));
        return viewKey({ ...key, revokedAt: at }, at);
      });
    },
  );
}

/** What a key is made for is within what it is made with. Throws `FORBIDDEN`, or `NOT_FOUND` for a foreign project. */
function withinOwn(request: FastifyRequest, asked: ApiKeyRequest, now: number): NewKey {
  const { operator, memberships, scopes, expiresAt, project: bound } = callerOf(request);
  const { name = null, scopes: wanted = ['read'], ttl_s = KEY_TTL_S, project = bound } = asked;
  if (project !== null && !memberships.has(project)) throw new Failure('NOT_FOUND', { what: 'project' });
  const beyond = wanted.find((scope) => !scopes.includes(scope));
  if (beyond !== undefined) throw new Failure('FORBIDDEN', { right: beyond });
  const until = now + ttl_s * 1000;
  if (expiresAt !== null && until > expiresAt && asked.ttl_s !== undefined)
    throw new Failure('FORBIDDEN', { field: 'ttl_s' });
  return { operator, name, scopes: wanted, project, createdAt: now, expiresAt: Math.min(until, expiresAt ?? until) };
}
