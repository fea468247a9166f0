// Traces of requests over OTLP/HTTP, where the host asks for them; OpenTelemetry is loaded then and not before. A span says which
// route, which request and which operation, and nothing of what was sent: no query, no header, no body, no error's text.

import type { Span } from '@opentelemetry/api';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { operationId } from '../../protocol/schema.ts';
import type { TraceOptions } from '../config/traces.ts';
import { VERSION } from '../version.ts';

const PATH = '/v1/traces';

export type Traces = Readonly<{
  /** Before any route is added. */
  watch(app: FastifyInstance): Promise<void>;
  /** Sends what was not sent yet. */
  stop(): Promise<void>;
}>;

/** To be called while the program's own files can be read for sure. */
export const loadTraces = () =>
  Promise.all([
    import('@fastify/otel'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/sdk-trace-node'),
    import('@opentelemetry/resources'),
  ]);

export async function openTraces({ endpoint }: TraceOptions): Promise<Traces> {
  const [{ FastifyOtelInstrumentation }, { OTLPTraceExporter }, sdk, { resourceFromAttributes }] = await loadTraces();
  const exporter = new OTLPTraceExporter({ url: `${endpoint}${PATH}` });
  const provider = new sdk.NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'latchkey', 'service.version': VERSION }),
    spanProcessors: [new sdk.BatchSpanProcessor(exporter)],
  });
  // Spans within a request find each other by it. No propagator: whoever asks does not choose the trace.
  provider.register({ propagator: null });
  const instrumentation = new FastifyOtelInstrumentation({
    registerOnInitialization: false,
    recordExceptions: false,
    instrumentHooks: false,
    requestHook: describe,
  });
  instrumentation.setTracerProvider(provider);
  return {
    watch: async (app) => {
      await app.register(instrumentation.plugin());
    },
    stop: () => provider.shutdown().catch(() => undefined),
  };
}

function describe(span: Span, { id, url, params }: FastifyRequest): void {
  span.setAttribute('url.path', url.split('?', 1)[0] ?? '');
  span.setAttribute('latchkey.request', id);
  const op = operationId.safeParse((params as { op?: unknown } | undefined)?.op);
  if (op.success) span.setAttribute('latchkey.op', op.data);
}
