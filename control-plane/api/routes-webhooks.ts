// The routes of webhooks: who is told what happens, and what became of each message. The secret is shown once, to whoever
// registers one.

import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { Failure } from '../../protocol/failure.ts';
import { newId } from '../../protocol/schema.ts';
import { appendEvent, lastEventId } from '../store/events.ts';
import type { Db, Write } from '../store/store.ts';
import {
  countDeliveries,
  type Delivery,
  findDelivery,
  findWebhook,
  insertDeliveries,
  insertWebhook,
  listDeliveries,
  listWebhooks,
  redeliver,
  removeWebhook,
  type Webhook,
} from '../store/webhooks.ts';
import { bodyOf } from '../webhooks/courier.ts';
import { urlFault } from '../webhooks/reach.ts';
import { newSecret } from '../webhooks/signature.ts';
import { makingOnce } from './idempotency.ts';
import { pageOf } from './pages.ts';
import type { ApiParts } from './parts.ts';
import { operatorOf, projectOf, projectsOf } from './requests.ts';
import { emptyRequest } from './schemas.ts';
import {
  type DeliveryView,
  deliveryList,
  deliveryParams,
  deliveryQuery,
  deliveryView,
  type WebhookCreated,
  type WebhookView,
  webhookCreated,
  webhookList,
  webhookParams,
  webhookQuery,
  webhookRequest,
  webhookView,
} from './schemas-webhooks.ts';

/** Of a project: each has attempts of its own. */
export const WEBHOOKS_MAX = 20;
const TEST_TYPE = 'webhook.test';

export function webhookRoutes(root: FastifyInstance, parts: ApiParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  const { store, randomBytes, nowMs } = parts;
  const once = makingOnce(parts);

  app.post(
    '/v1/webhooks',
    { schema: { body: webhookRequest, response: { 201: webhookCreated } } },
    async (request, reply) => {
      const { url, events = ['*'] } = request.body;
      const fault = urlFault(url, parts.webhooks.allowed);
      if (fault !== null) throw new Failure('REQUEST_INVALID', { field: 'url', reason: fault });
      const [id, secret, operator, at] = [
        newId('whk', randomBytes),
        newSecret(randomBytes),
        operatorOf(request),
        nowMs(),
      ];
      const project = projectOf(request);
      const made = { id, project, url, events, secret, created_by: operator, created_at: at };
      const insert = async (trx: Write) => {
        if ((await listWebhooks(trx, [project])).length >= WEBHOOKS_MAX) {
          throw new Failure('STATE_CONFLICT', { reason: 'webhooks', max: WEBHOOKS_MAX });
        }
        // It is told what happens from now on, this included.
        await insertWebhook(trx, { ...made, cursor: await lastEventId(trx) });
        await note(trx, project, { type: 'webhook.created', at, webhook: id, operator });
      };
      const answer = await once<WebhookCreated>(request, async (keep) => {
        await store.write(async (trx) => {
          await insert(trx);
          await keep(trx, id, null);
        });
        return { ...view(made, 0, 0), secret };
      });
      return reply.status(201).send(answer);
    },
  );

  app.get(
    '/v1/webhooks',
    { schema: { querystring: webhookQuery, response: { 200: webhookList } } },
    async (request) => ({ items: await views(store.db, await listWebhooks(store.db, projectsOf(request))) }),
  );

  app.get(
    '/v1/webhooks/:webhook',
    { schema: { params: webhookParams, response: { 200: webhookView } } },
    async ({ params }) => one(store.db, await demand(store.db, params.webhook)),
  );

  app.delete(
    '/v1/webhooks/:webhook',
    { schema: { params: webhookParams, response: { 200: webhookView } } },
    (request) =>
      store.write(async (trx) => {
        const webhook = await demand(trx, request.params.webhook);
        const shown = await one(trx, webhook);
        await removeWebhook(trx, webhook.id);
        const operator = operatorOf(request);
        await note(trx, webhook.project, { type: 'webhook.removed', at: nowMs(), webhook: webhook.id, operator });
        return shown;
      }),
  );

  app.post(
    '/v1/webhooks/:webhook/test',
    { schema: { params: webhookParams, body: emptyRequest, response: { 202: deliveryView } } },
    async (request, reply) => {
      const id = newId('msg', randomBytes);
      const body = bodyOf(TEST_TYPE, nowMs(), {
        event: null,
        vm: null,
        op: null,
        detail: { operator: operatorOf(request) },
      });
      const made = await store.write(async (trx) => {
        const webhook = await demand(trx, request.params.webhook);
        await insertDeliveries(trx, [{ id, webhook: webhook.id, type: TEST_TYPE, body }]);
        return demandDelivery(trx, webhook.id, id);
      });
      return reply.status(202).send(viewDelivery(made));
    },
  );

  app.get(
    '/v1/webhooks/:webhook/deliveries',
    { schema: { params: webhookParams, querystring: deliveryQuery, response: { 200: deliveryList } } },
    async ({ params, query }) => {
      const { id } = await demand(store.db, params.webhook);
      const page = await pageOf('deliveries', query, {
        place: z.number(),
        read: (after, limit) => listDeliveries(store.db, id, { state: query.state, after, limit }),
        placeOf: ({ seq }) => seq,
      });
      return { items: page.items.map(viewDelivery), next: page.next };
    },
  );

  app.post(
    '/v1/webhooks/:webhook/deliveries/:delivery/redeliver',
    { schema: { params: deliveryParams, body: emptyRequest, response: { 202: deliveryView } } },
    async ({ params }, reply) => {
      const again = await store.write(async (trx) => {
        const { id } = await demand(trx, params.webhook);
        const { state } = await demandDelivery(trx, id, params.delivery);
        if (state === 'pending') throw new Failure('STATE_CONFLICT', { delivery: params.delivery, state });
        await redeliver(trx, params.delivery);
        return demandDelivery(trx, id, params.delivery);
      });
      return reply.status(202).send(viewDelivery(again));
    },
  );
}

type Note = Readonly<{ type: 'webhook.created' | 'webhook.removed'; at: number; webhook: string; operator: string }>;

function note(trx: Write, project: string, { type, at, ...data }: Note): Promise<void> {
  return appendEvent(trx, { at, vm: null, op: null, type, data, project });
}

async function demand(db: Db, id: string): Promise<Webhook> {
  const found = await findWebhook(db, id);
  if (!found) throw new Failure('NOT_FOUND', { what: 'webhook' });
  return found;
}

async function demandDelivery(db: Db, webhook: string, id: string): Promise<Delivery> {
  const found = await findDelivery(db, webhook, id);
  if (!found) throw new Failure('NOT_FOUND', { what: 'delivery' });
  return found;
}

async function one(db: Db, webhook: Webhook): Promise<WebhookView> {
  const [found] = await views(db, [webhook]);
  return found as WebhookView;
}

async function views(db: Db, webhooks: readonly Webhook[]): Promise<WebhookView[]> {
  const ids = webhooks.map(({ id }) => id);
  const [pending, dead] = [await countDeliveries(db, ids, 'pending'), await countDeliveries(db, ids, 'dead')];
  return webhooks.map((webhook) => view(webhook, pending.get(webhook.id) ?? 0, dead.get(webhook.id) ?? 0));
}

/** Never with its secret. */
function view(webhook: Omit<Webhook, 'secret' | 'cursor'>, pending: number, dead: number): WebhookView {
  const { id, project, url, events, created_by, created_at } = webhook;
  return { id, project, url, events: [...events], created_by, created_at: iso(created_at), pending, dead };
}

function viewDelivery({ id, webhook, type, state, attempts, status, error, ...times }: Delivery): DeliveryView {
  const next_attempt_at = state === 'pending' ? iso(times.next_at) : null;
  const [created_at, updated_at] = [iso(times.created_at), iso(times.updated_at)];
  return { id, webhook, type, state, attempts, status, error, next_attempt_at, created_at, updated_at };
}

const iso = (ms: number) => new Date(ms).toISOString();
