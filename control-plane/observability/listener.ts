// A listener of its own for whoever watches over the control plane: metrics, health and readiness. It takes no key, so it says
// nothing that is secret or about one machine, and it must never be the listener that agents and operators reach.

import fastify, { type FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { VERSION } from '../version.ts';
import type { Readiness } from './readiness.ts';

const REQUEST_TIMEOUT_MS = 10_000;

export type Watched = Readonly<{
  scrape(): Promise<Readonly<{ contentType: string; text: string }>>;
  readiness(): Promise<Readiness>;
  log: Logger;
}>;
export type ListenPlace = Readonly<{ host: string; port: number }>;

/** Answers what ends it, and where it listens. */
export async function openListener(
  { host, port }: ListenPlace,
  watched: Watched,
): Promise<Readonly<{ url: string; close(): Promise<void> }>> {
  const app = buildListener(watched);
  try {
    const url = await app.listen({ host, port, listenTextResolver: () => '' }).then(() => addressOf(app, host));
    return { url, close: () => app.close() };
  } catch (cause) {
    await app.close();
    const reason = (cause as NodeJS.ErrnoException).code ?? 'error';
    if (reason === 'EADDRINUSE') throw new Failure('PORT_IN_USE', { address: `${host}:${port}` }, cause);
    throw new Failure('CONFIG_INVALID', { field: 'metrics-listen', reason }, cause);
  }
}

function buildListener({ scrape, readiness, log }: Watched): FastifyInstance {
  const app = fastify({ logger: false, requestTimeout: REQUEST_TIMEOUT_MS, forceCloseConnections: true });
  app.addHook('onRequest', async (_request, reply) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
  });
  app.setErrorHandler((error, _request, reply) => {
    const code = codeOf(error) ?? 'INTERNAL';
    log.warn({ code }, 'not scraped');
    return reply.status(503).send({ code });
  });
  app.setNotFoundHandler((_request, reply) => reply.status(404).send({ code: 'NOT_FOUND' }));
  app.get('/metrics', async (_request, reply) => {
    const { contentType, text } = await scrape();
    return reply.type(contentType).send(text);
  });
  app.get('/healthz', async () => ({ status: 'ok', version: VERSION }));
  app.get('/readyz', async (_request, reply) => {
    const { ready, checks } = await readiness();
    return reply.status(ready ? 200 : 503).send({ status: ready ? 'ready' : 'not_ready', checks });
  });
  return app;
}

function addressOf({ server }: FastifyInstance, host: string): string {
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
