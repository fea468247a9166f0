// The routes of operations. Each finds, asks the submission to act, and shows what is now true.

import type { FastifyInstance } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { Failure } from '../../protocol/failure.ts';
import type { Operation } from '../core/operation.ts';
import { findOperation, receiptsOf } from '../store/operations.ts';
import { listOperations } from '../store/selection.ts';
import type { Write } from '../store/store.ts';
import { findVm, type Vm } from '../store/vms.ts';
import { mailCode, passkeyOptions, submit, viewIntent } from './approval.ts';
import { makingOnce } from './idempotency.ts';
import { pageOf } from './pages.ts';
import type { ApiParts } from './parts.ts';
import { operatorOf, projectsOf, setTripwire } from './requests.ts';
import {
  ceremonyView,
  emptyRequest,
  intentRequest,
  intentResponse,
  intentView,
  mailedView,
  type OperationView,
  operationParams,
  operationRequest,
  operationView,
  type SubmitRequest,
  submitRequest,
} from './schemas.ts';
import { operationList, operationQuery } from './schemas-lists.ts';
import { labelsOf, msOf } from './selectors.ts';
import { buildIntent, cancel, collect, createDraft } from './submission.ts';
import { viewOperation } from './views.ts';

export function operationRoutes(root: FastifyInstance, parts: ApiParts): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  const inTurn = turns();
  const once = makingOnce(parts);
  setTripwire(root);

  app.post(
    '/v1/operations',
    { schema: { body: operationRequest, response: { 201: operationView } } },
    async (request, reply) => {
      const vm = await demandVm(parts, request.body.vm);
      const answer = await once<OperationView>(request, async (keep) => {
        const show = (operation: Operation) => viewOperation(operation, vm, [], parts.nowMs());
        const kept = (trx: Write, operation: Operation) => keep(trx, operation.op, show(operation));
        return show(await createDraft(parts, vm, operatorOf(request), request.body, kept));
      });
      return reply.status(201).send(answer);
    },
  );

  app.get(
    '/v1/operations',
    { schema: { querystring: operationQuery, response: { 200: operationList } } },
    async (request) => {
      const { query } = request;
      const { label, created_before, created_after, limit: _, cursor: __, project: ___, ...rest } = query;
      const times = { createdBefore: msOf(created_before), createdAfter: msOf(created_after) };
      const filter = { ...rest, ...times, projects: projectsOf(request), labels: labelsOf(label) };
      const page = await pageOf('operations', query, {
        place: z.number(),
        read: (after, limit) => listOperations(parts.store.db, { ...filter, after, limit }),
        placeOf: ({ seq }) => seq,
      });
      return { items: await Promise.all(page.items.map(({ operation }) => view(parts, operation))), next: page.next };
    },
  );

  app.get(
    '/v1/operations/:op',
    { schema: { params: operationParams, response: { 200: operationView } } },
    async ({ params }) => show(parts, params.op),
  );

  app.post(
    '/v1/operations/:op/intent',
    { schema: { params: operationParams, body: intentRequest, response: { 200: intentResponse } } },
    (request) =>
      inTurn(request.params.op, async () => {
        const operation = await demandOperation(parts, request.params.op);
        const vm = await demandVm(parts, operation.vm);
        return buildIntent(parts, vm, operation, operatorOf(request), request.body);
      }),
  );

  app.get(
    '/v1/operations/:op/intent',
    { schema: { params: operationParams, response: { 200: intentView } } },
    async (request) => {
      const operation = await demandOperation(parts, request.params.op);
      return viewIntent(parts, operation, await demandVm(parts, operation.vm), operatorOf(request));
    },
  );

  app.post(
    '/v1/operations/:op/factors/email',
    { schema: { params: operationParams, body: emptyRequest, response: { 200: mailedView } } },
    async (request) => {
      const operation = await demandOperation(parts, request.params.op);
      return mailCode(parts, operation, await demandVm(parts, operation.vm), operatorOf(request));
    },
  );

  app.post(
    '/v1/operations/:op/factors/passkey',
    { schema: { params: operationParams, body: emptyRequest, response: { 200: ceremonyView } } },
    async (request) => passkeyOptions(parts, await demandOperation(parts, request.params.op), operatorOf(request)),
  );

  app.post(
    '/v1/operations/:op/submit',
    {
      schema: { params: operationParams, body: submitRequest, response: { 200: operationView } },
      preValidation: demandProof,
    },
    (request) =>
      inTurn(request.params.op, async () => {
        const { op } = request.params;
        const operation = await demandOperation(parts, op);
        const vm = await demandVm(parts, operation.vm);
        await submit(parts, operation, vm, operatorOf(request), request.body as SubmitRequest);
        return show(parts, op);
      }),
  );

  app.post(
    '/v1/operations/:op/cancel',
    { schema: { params: operationParams, body: emptyRequest, response: { 200: operationView } } },
    (request) =>
      inTurn(request.params.op, async () => {
        const { op } = request.params;
        await cancel(parts, await demandOperation(parts, op), operatorOf(request));
        return show(parts, op);
      }),
  );

  app.post(
    '/v1/operations/:op/collected',
    { schema: { params: operationParams, body: emptyRequest, response: { 200: operationView } } },
    async ({ params }) => {
      await collect(parts, await demandOperation(parts, params.op));
      return show(parts, params.op);
    },
  );
}

/** No proof at all is not a malformed request: it is an operation that nobody approved. */
export async function demandProof({ body }: Readonly<{ body: unknown }>): Promise<void> {
  const isObject = typeof body === 'object' && body !== null;
  if (!isObject || !('method' in body)) throw new Failure('AUTHZ_INVALID', { reason: 'no_proof' });
}

/** By its id, which is what the guard leaves of a name. */
export async function demandVm({ store }: ApiParts, id: string): Promise<Vm> {
  const vm = await findVm(store.db, id);
  if (!vm) throw new Failure('NOT_FOUND', { what: 'vm' });
  return vm;
}

export async function demandOperation({ store }: ApiParts, op: string): Promise<Operation> {
  const operation = await findOperation(store.db, op);
  if (!operation) throw new Failure('NOT_FOUND', { op });
  return operation;
}

async function show(parts: ApiParts, op: string): Promise<OperationView> {
  return view(parts, await demandOperation(parts, op));
}

async function view(parts: ApiParts, operation: Operation): Promise<OperationView> {
  const vm = await demandVm(parts, operation.vm);
  return viewOperation(operation, vm, await receiptsOf(parts.store.db, operation.op), parts.nowMs());
}

/** One request an operation at a time: of two submissions at once the second finds what the first did. */
export function turns(): <T>(op: string, work: () => Promise<T>) => Promise<T> {
  const tails = new Map<string, Promise<unknown>>();
  return (op, work) => {
    const turn = (tails.get(op) ?? Promise.resolve()).then(work);
    const tail = turn
      .catch(() => undefined)
      .then(() => {
        if (tails.get(op) === tail) tails.delete(op);
      });
    tails.set(op, tail);
    return turn;
  };
}
