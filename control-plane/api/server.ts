// The HTTP server: limits, headers, errors and routes put together. Everything but the health check and the description of the API needs an API key, and
// no response may be stored by anyone on the way.

import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import fastify, { type FastifyInstance, type FastifyServerOptions } from 'fastify';
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import { Failure } from '../../protocol/failure.ts';
import { FRAME_BYTES_MAX, HANDSHAKE_TIMEOUT_MS } from '../../protocol/limits.ts';
import type { Tls } from '../config/options.ts';
import { VERSION } from '../version.ts';
import { devicePageRoutes } from './device-page.ts';
import { tagAnswers } from './etags.ts';
import { guard } from './guard.ts';
import { describeRoutes, documentRoutes } from './openapi.ts';
import type { ApiParts } from './parts.ts';
import { sendProblem } from './problems.ts';
import { logRequests, requestIds } from './request-log.ts';
import { readJson } from './requests.ts';
import { bulkRoutes } from './routes-bulk.ts';
import { deviceDecisionRoutes, deviceLoginRoutes } from './routes-device.ts';
import { eventRoutes } from './routes-events.ts';
import { installationRoutes, joinTokenRoutes, preflightRoutes } from './routes-installation.ts';
import { invitationRoutes } from './routes-invitations.ts';
import { operationRoutes } from './routes-operations.ts';
import { passkeyRoutes } from './routes-passkeys.ts';
import { apiKeyRoutes, projectRoutes } from './routes-people.ts';
import { preflightsRoutes } from './routes-preflights.ts';
import { provisioningRoutes } from './routes-provisioning.ts';
import { releaseRoutes } from './routes-release.ts';
import { sessionRoutes, signInRoutes } from './routes-sign-in.ts';
import { vmRoutes } from './routes-vms.ts';
import { webhookRoutes } from './routes-webhooks.ts';
import { healthView } from './schemas.ts';

/** In bytes: of a request's head and of its body. Agents send an upgrade and nothing else. */
const SIZES = {
  operators: { head: 16_384, body: FRAME_BYTES_MAX },
  agents: { head: 4_096, body: 1_024 },
} as const;
/** A whole request must have arrived by then; event streams are answers and may last. */
const REQUEST_TIMEOUT_MS = 30_000;

/** `proxies`: those whose word about a client's address is taken. */
export async function buildServer(
  parts: ApiParts,
  tls: Tls | null,
  proxies: readonly string[] = [],
): Promise<FastifyInstance> {
  const app = bareServer(parts, serverOptions(tls, 'operators', proxies));
  await parts.traces?.watch(app);
  readJson(app);
  logRequests(app, parts);
  await app.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
    frameguard: { action: 'deny' },
  });
  await app.register(rateLimit, { max: parts.requestsPerMinuteMax, timeWindow: 60_000, enableDraftSpec: true });
  app.addHook('onRequest', async (_request, reply) => {
    reply.header('cache-control', 'no-store');
  });
  tagAnswers(app);
  await describeRoutes(app);
  guard(app, parts);
  const stop = new AbortController();
  app.addHook('preClose', async () => stop.abort());
  answerHealth(app);
  documentRoutes(app);
  vmRoutes(app, parts);
  releaseRoutes(app, parts);
  preflightRoutes(app, parts);
  joinTokenRoutes(app, parts);
  installationRoutes(app, parts);
  passkeyRoutes(app, parts);
  projectRoutes(app, parts);
  invitationRoutes(app, parts);
  signInRoutes(app, parts);
  sessionRoutes(app, parts);
  deviceLoginRoutes(app, parts);
  deviceDecisionRoutes(app, parts);
  devicePageRoutes(app, parts);
  apiKeyRoutes(app, parts);
  webhookRoutes(app, parts);
  eventRoutes(app, parts, stop.signal);
  await app.register(async (machines) => provisioningRoutes(machines, parts));
  await app.register(async (operations) => operationRoutes(operations, parts));
  await app.register(async (bulks) => bulkRoutes(bulks, parts));
  preflightsRoutes(app, parts, stop.signal);
  return app;
}

/** What answers where only agents connect: whether it is well, and nothing else. */
export function buildDoorman(parts: Pick<ApiParts, 'log' | 'randomBytes'>, tls: Tls | null): FastifyInstance {
  const app = bareServer(parts, serverOptions(tls, 'agents', []));
  answerHealth(app);
  return app;
}

function answerHealth(app: FastifyInstance): void {
  app.withTypeProvider<ZodTypeProvider>().get('/healthz', { schema: { response: { 200: healthView } } }, async () => ({
    status: 'ok' as const,
    version: VERSION,
  }));
}

function bareServer(
  { log, randomBytes }: Pick<ApiParts, 'log' | 'randomBytes'>,
  options: FastifyServerOptions,
): FastifyInstance {
  // An address that does not decode never reaches a route, nor the error handler.
  const frameworkErrors: FastifyServerOptions['frameworkErrors'] = (error, request, reply) =>
    void sendProblem(log, error, request, reply as never);
  const genReqId = requestIds(randomBytes);
  const app = fastify({ ...options, frameworkErrors, genReqId }) as FastifyInstance;
  app.server.headersTimeout = HANDSHAKE_TIMEOUT_MS;
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.setErrorHandler((error, request, reply) => sendProblem(log, error as never, request, reply));
  app.setNotFoundHandler(() => {
    throw new Failure('NOT_FOUND');
  });
  return app;
}

function serverOptions(
  tls: Tls | null,
  listener: keyof typeof SIZES,
  proxies: readonly string[],
): FastifyServerOptions {
  const { head, body } = SIZES[listener];
  const common = {
    logger: false,
    bodyLimit: body,
    requestTimeout: REQUEST_TIMEOUT_MS,
    // What is under way is answered; who ends the listener ends what is left.
    forceCloseConnections: 'idle',
    ...(proxies.length === 0 ? {} : { trustProxy: [...proxies] }),
    routerOptions: { maxParamLength: 100 },
  };
  const http = { connectionsCheckingInterval: 1_000, maxHeaderSize: head };
  if (!tls) return { ...common, http } as FastifyServerOptions;
  const { cert, key } = tls;
  const https = { ...http, cert, key, minVersion: 'TLSv1.3', handshakeTimeout: HANDSHAKE_TIMEOUT_MS };
  return { ...common, https } as FastifyServerOptions;
}
