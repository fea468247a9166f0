// Where traces go, if anywhere: a collector that speaks OTLP over HTTP, by the variable that OpenTelemetry names.

import { Failure } from '../../protocol/failure.ts';

export type TraceOptions = Readonly<{ endpoint: string }>;

const ENDPOINT_DEFAULT = 'http://localhost:4318';

/** Throws `CONFIG_INVALID`. */
export function readTraceOptions(wanted: boolean, env: NodeJS.ProcessEnv): TraceOptions | null {
  if (!wanted) return null;
  const text = env['OTEL_EXPORTER_OTLP_ENDPOINT'] || ENDPOINT_DEFAULT;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!url || !/^https?:$/.test(url.protocol) || url.username !== '' || url.search !== '' || url.hash !== '') {
    throw new Failure('CONFIG_INVALID', { field: 'traces', reason: 'OTEL_EXPORTER_OTLP_ENDPOINT' });
  }
  return { endpoint: text.replace(/\/$/, '') };
}
