// The routes of bulk submissions: one proof for many machines, so many at a time, a stop, and one result for each.

import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { Failure } from '../../protocol/failure.ts';
import type { Bulk } from '../core/bulk.ts';
import { findBulk, listBulks, operationsOfBulk, workingIn } from '../store/bulks.ts';
import type { Write } from '../store/store.ts';
import { mailedViewOf } from './approval.ts';
import { buildBulkIntent, draftBulk, provableBulk, stopBulk, submitBulk, viewBulkIntent } from './bulk.ts';
import { makingOnce } from './idempotency.ts';
import { pageOf } from './pages.ts';
import type { ApiParts } from './parts.ts';
import { operatorOf, projectOf, projectsOf, setTripwire } from './requests.ts';
import { demandProof, turns } from './routes-operations.ts';
import { ceremonyView, emptyRequest, mailedView, type SubmitRequest, submitRequest } from './schemas.ts';
import {
  type BulkView,
  bulkIntent,
  bulkIntentRequest,
  bulkList,
  bulkParams,
  bulkQuery,
  bulkRequest,
  bulkView,
} from './schemas-bulk.ts';
import { summariseBulk, viewBulk } from './views-bulk.ts';

export function bulkRoutes(root: FastifyInstance, parts: ApiParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  const { store, signer, nowMs } = parts;
  const inTurn = turns();
  const once = makingOnce(parts);
  const params = bulkParams;
  setTripwire(root);

  app.post('/v1/bulk', { schema: { body: bulkRequest, response: { 201: bulkView } } }, async (request, reply) => {
    const asked = { operator: operatorOf(request), project: projectOf(request) };
    const answer = await once<BulkView>(request, async (keep) => {
      const show = (bulk: Bulk) => viewBulk(bulk, [], nowMs());
      const kept = (trx: Write, bulk: Bulk) => keep(trx, bulk.op, show(bulk));
      return show(await draftBulk(parts, asked, request.body, kept));
    });
    return reply.status(201).send(answer);
  });

  app.get('/v1/bulk', { schema: { querystring: bulkQuery, response: { 200: bulkList } } }, async (request) => {
    const projects = projectsOf(request);
    const { items, next } = await pageOf('bulk', request.query, {
      place: z.number(),
      read: (after, limit) => listBulks(store.db, { projects, after, limit }),
      placeOf: ({ seq }) => seq,
    });
    const bulks = items.map(({ bulk }) => bulk);
    const ops = bulks.map(({ op }) => op);
    const working = await workingIn(store.db, ops);
    return { items: bulks.map((bulk) => summariseBulk(bulk, working.get(bulk.op) ?? 0, nowMs())), next };
  });

  app.get('/v1/bulk/:bulk', { schema: { params, response: { 200: bulkView } } }, (request) =>
    show(parts, request.params.bulk),
  );

  app.post(
    '/v1/bulk/:bulk/intent',
    { schema: { params, body: bulkIntentRequest, response: { 200: bulkIntent } } },
    (request) =>
      inTurn(request.params.bulk, async () => {
        const bulk = await demandBulk(parts, request.params.bulk);
        return buildBulkIntent(parts, bulk, operatorOf(request), request.body);
      }),
  );

  app.get('/v1/bulk/:bulk/intent', { schema: { params, response: { 200: bulkIntent } } }, async (request) =>
    viewBulkIntent(parts, await demandBulk(parts, request.params.bulk), operatorOf(request)),
  );

  app.post(
    '/v1/bulk/:bulk/factors/email',
    { schema: { params, body: emptyRequest, response: { 200: mailedView } } },
    async (request) => {
      const bulk = await demandBulk(parts, request.params.bulk);
      return mailedViewOf(await signer('factor.email', await provableBulk(parts, bulk, operatorOf(request))));
    },
  );

  app.post(
    '/v1/bulk/:bulk/factors/passkey',
    { schema: { params, body: emptyRequest, response: { 200: ceremonyView } } },
    async (request) => {
      const bulk = await demandBulk(parts, request.params.bulk);
      return signer('factor.passkey', await provableBulk(parts, bulk, operatorOf(request)));
    },
  );

  app.post(
    '/v1/bulk/:bulk/submit',
    { schema: { params, body: submitRequest, response: { 200: bulkView } }, preValidation: demandProof },
    (request) =>
      inTurn(request.params.bulk, async () => {
        const { bulk } = request.params;
        const found = await demandBulk(parts, bulk);
        await submitBulk(parts, found, operatorOf(request), request.body as SubmitRequest);
        return show(parts, bulk);
      }),
  );

  app.post('/v1/bulk/:bulk/stop', { schema: { params, body: emptyRequest, response: { 200: bulkView } } }, (request) =>
    inTurn(request.params.bulk, async () => {
      const { bulk } = request.params;
      await stopBulk(parts, await demandBulk(parts, bulk), operatorOf(request));
      return show(parts, bulk);
    }),
  );
}

async function demandBulk({ store }: ApiParts, op: string): Promise<Bulk> {
  const bulk = await findBulk(store.db, op);
  if (!bulk) throw new Failure('NOT_FOUND', { what: 'bulk' });
  return bulk;
}

async function show(parts: ApiParts, op: string): Promise<BulkView> {
  const bulk = await demandBulk(parts, op);
  return viewBulk(bulk, await operationsOfBulk(parts.store.db, op), parts.nowMs());
}
