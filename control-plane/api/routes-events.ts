// The event streams: of one operation, of one machine, of one project, and of everything.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { Failure } from '../../protocol/failure.ts';
import type { EventScope } from '../store/events.ts';
import type { ApiParts } from './parts.ts';
import { callerOf, projectOf, projectsOf } from './requests.ts';
import { demandOperation, demandVm } from './routes-operations.ts';
import { eventQuery, operationParams, projectParams, vmParams } from './schemas.ts';
import { STREAMS_MAX, type StreamStart, streamEvents, streamStart } from './stream.ts';

export function eventRoutes(root: FastifyInstance, parts: ApiParts, stop: AbortSignal): void {
  const app = root.withTypeProvider<ZodTypeProvider>();
  let open = 0;
  const stream = async (request: FastifyRequest, reply: FastifyReply, scope: EventScope, start: StreamStart) => {
    if (open >= STREAMS_MAX) throw new Failure('RATE_LIMITED', { reason: 'streams' });
    open += 1;
    await streamEvents(parts, reply, scope, start, { stop, still: callerOf(request).still }).finally(() => {
      open -= 1;
    });
  };

  app.get('/v1/events', { schema: { querystring: eventQuery } }, (request, reply) =>
    stream(request, reply, { projects: projectsOf(request) }, streamStart(request, request.query.last_event_id, false)),
  );

  app.get(
    '/v1/operations/:op/events',
    { schema: { params: operationParams, querystring: eventQuery } },
    async (request, reply) => {
      const { op } = await demandOperation(parts, request.params.op);
      return stream(request, reply, { op }, streamStart(request, request.query.last_event_id, true));
    },
  );

  app.get(
    '/v1/projects/:project/events',
    { schema: { params: projectParams, querystring: eventQuery } },
    (request, reply) =>
      stream(
        request,
        reply,
        { projects: [projectOf(request)] },
        streamStart(request, request.query.last_event_id, false),
      ),
  );

  app.get('/v1/vms/:vm/events', { schema: { params: vmParams, querystring: eventQuery } }, async (request, reply) => {
    const { id } = await demandVm(parts, request.params.vm);
    return stream(request, reply, { vm: id }, streamStart(request, request.query.last_event_id, false));
  });
}
