// The routes of preflights, join tokens, operators and the trust file.

import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { Failure } from '../../protocol/failure.ts';
import { instanceSha256 } from '../../protocol/instance.ts';
import { sha256Text, toBase64url } from '../../protocol/keys.ts';
import { newId } from '../../protocol/schema.ts';
import { appendEvent } from '../store/events.ts';
import { findJoinToken, insertJoinToken, listJoinTokens, markRevoked, stateOf } from '../store/join-tokens.ts';
import { insertOperator, operatorExists } from '../store/operators.ts';
import { findPreflight } from '../store/preflights.ts';
import type { Write } from '../store/store.ts';
import { isEnrolled } from '../store/vms.ts';
import { makingOnce } from './idempotency.ts';
import { pageOf } from './pages.ts';
import type { ApiParts } from './parts.ts';
import { callerOf, operatorOf, projectOf, projectsOf } from './requests.ts';
import { demandVm } from './routes-operations.ts';
import { emptyRequest, vmParams } from './schemas.ts';
import {
  type JoinTokenCreated,
  joinTokenCreated,
  joinTokenList,
  joinTokenParams,
  joinTokenQuery,
  joinTokenRequest,
  joinTokenView,
  operatorCreated,
  operatorRequest,
  trustView,
  whoamiView,
} from './schemas-installation.ts';
import { preflightView } from './schemas-preflight.ts';
import { viewJoinToken, viewPreflight } from './views.ts';

const JOIN_TOKEN_TTL_S = 3_600;

export function preflightRoutes(root: FastifyInstance, parts: ApiParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  const { store, agents } = parts;
  const path = '/v1/vms/:vm/preflight';

  app.get(path, { schema: { params: vmParams, response: { 200: preflightView } } }, async ({ params }) => {
    const vm = await demandVm(parts, params.vm);
    const found = await findPreflight(store.db, vm.id);
    if (!found || !isEnrolled(vm)) throw new Failure('NOT_FOUND', { vm: vm.name, what: 'preflight' });
    return viewPreflight(vm, found);
  });

  app.post(
    path,
    { schema: { params: vmParams, body: emptyRequest, response: { 200: preflightView } } },
    async (request) => {
      const vm = await demandVm(parts, request.params.vm);
      if (!isEnrolled(vm)) throw new Failure('AGENT_OFFLINE', { vm: vm.name });
      return viewPreflight(vm, await agents.preflight(vm, operatorOf(request)));
    },
  );
}

export function joinTokenRoutes(root: FastifyInstance, parts: ApiParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  const { store, randomBytes, nowMs } = parts;
  const once = makingOnce(parts);

  app.post(
    '/v1/join-tokens',
    { schema: { body: joinTokenRequest, response: { 201: joinTokenCreated } } },
    async (request, reply) => {
      const [id, token, at] = [newId('tok', randomBytes), `lkj_${toBase64url(randomBytes(32))}`, nowMs()];
      const { ttl_s = JOIN_TOKEN_TTL_S, name = null, uses = 1, instance } = request.body ?? {};
      // One that makes one machine is meant to be used at once.
      if (uses === 1 && ttl_s > JOIN_TOKEN_TTL_S) throw new Failure('REQUEST_INVALID', { field: 'ttl_s' });
      const instance_sha256 = instance === undefined ? null : await instanceSha256(instance);
      if (instance !== undefined && (instance_sha256 === null || uses > 1)) {
        throw new Failure('REQUEST_INVALID', { field: 'instance' });
      }
      const expires_at = at + ttl_s * 1000;
      const [created_by, project] = [operatorOf(request), projectOf(request)];
      const sha256 = await sha256Text(token);
      const insert = async (trx: Write) => {
        const unused = { revoked_at: null, used_at: null, vm: null, uses: 0 };
        const bounds = { project, uses_max: uses, instance_sha256, expires_at };
        await insertJoinToken(trx, { id, sha256, name, created_by, created_at: at, ...bounds, ...unused });
        await appendEvent(trx, {
          at,
          vm: null,
          op: null,
          type: 'join_token.created',
          data: { token: id, operator: created_by },
          project,
        });
      };
      const answer = await once<JoinTokenCreated>(request, async (keep) => {
        await store.write(async (trx) => {
          await insert(trx);
          await keep(trx, id, null);
        });
        return { id, token, name, expires_at: new Date(expires_at).toISOString() };
      });
      return reply.status(201).send(answer);
    },
  );

  app.get(
    '/v1/join-tokens',
    { schema: { querystring: joinTokenQuery, response: { 200: joinTokenList } } },
    async (request) => {
      const { query } = request;
      const [now, projects] = [nowMs(), projectsOf(request)];
      const page = await pageOf('join_tokens', query, {
        place: z.tuple([z.number(), z.string()]),
        read: (after, limit) => listJoinTokens(store.db, { projects, after, limit }),
        placeOf: ({ created_at, id }) => [created_at, id] as [number, string],
      });
      return { items: page.items.map((token) => viewJoinToken(token, now)), next: page.next };
    },
  );

  app.delete(
    '/v1/join-tokens/:id',
    { schema: { params: joinTokenParams, response: { 200: joinTokenView } } },
    async (request) => {
      const { id } = request.params;
      const at = nowMs();
      return store.write(async (trx) => {
        const token = await findJoinToken(trx, id);
        if (!token) throw new Failure('NOT_FOUND', { token: id });
        const state = stateOf(token, at);
        if (state === 'used') throw new Failure('STATE_CONFLICT', { token: id, state });
        if (state === 'revoked') return viewJoinToken(token, at);
        await markRevoked(trx, id, at);
        await appendEvent(trx, {
          at,
          vm: null,
          op: null,
          type: 'join_token.revoked',
          data: { token: id, operator: operatorOf(request) },
          project: token.project,
        });
        return viewJoinToken({ ...token, revoked_at: at }, at);
      });
    },
  );
}

export function installationRoutes(root: FastifyInstance, parts: ApiParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  const { store, installation, randomBytes, nowMs } = parts;
  const once = makingOnce(parts);

  app.post(
    '/v1/operators',
    { schema: { body: operatorRequest, response: { 201: operatorCreated } } },
    async (request, reply) => {
      const { name, role = 'admin' } = request.body;
      const member = { operator: name, project: projectOf(request), role };
      const api_key = `lk_${toBase64url(randomBytes(32))}`;
      const keySha256 = await sha256Text(api_key);
      const insert = async (trx: Write) => {
        if (await operatorExists(trx, name)) throw new Failure('ALREADY_EXISTS', { operator: name });
        await insertOperator(trx, member, keySha256, nowMs());
        const data = { operator: name, role, by: operatorOf(request) };
        const { project } = member;
        await appendEvent(trx, { at: nowMs(), vm: null, op: null, type: 'operator.created', data, project });
      };
      const answer = await once<z.infer<typeof operatorCreated>>(request, async (keep) => {
        await store.write(async (trx) => {
          await insert(trx);
          await keep(trx, name, null);
        });
        return { name, api_key };
      });
      return reply.status(201).send(answer);
    },
  );

  app.get('/v1/trust', { schema: { response: { 200: trustView } } }, async () => ({
    v: 1 as const,
    url: [parts.agentUrl()],
    ca_pem: parts.caPem,
    root: (await installation.chain.newest()).signed,
  }));

  app.get('/v1/whoami', { schema: { response: { 200: whoamiView } } }, async (request) => ({
    operator: operatorOf(request),
    project: installation.project,
    iss: installation.iss,
    projects: [...callerOf(request).memberships].map(([project, role]) => ({ project, role })),
  }));
}
