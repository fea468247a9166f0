// Traces, as a collector gets them from the running program: a request's span says its route and its operation, and nothing of
// what was sent; and nobody gets any, nor is anything of it loaded, where nobody asked.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { readTraceOptions } from '../../../control-plane/config/traces.ts';
import { importsOf } from '../../tidy/imports.ts';
import { isTypeScript, readTree } from '../../tidy/tree.ts';
import { ServeProgram } from '../program.ts';

type Attribute = { key: string; value: { stringValue?: string; intValue?: number } };
type Span = { name: string; attributes: Attribute[] };
type Export = {
  resourceSpans: { resource: { attributes: Attribute[] }; scopeSpans: { spans: Span[] }[] }[];
};

let collector: Server;
let endpoint: string;
let got: { path: string; text: string }[] = [];
beforeAll(async () => {
  collector = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    request.on('end', () => {
      got.push({ path: request.url ?? '', text });
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
  endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
});
afterAll(() => new Promise((resolve) => collector.close(resolve)));
beforeEach(() => {
  got = [];
});

const OP = `op_${'0'.repeat(26)}`;

async function served(flags: readonly string[]): Promise<{ secrets: string[] }> {
  const program = await new ServeProgram(flags, undefined, 'serve', { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }).start();
  try {
    const { body } = await program.ask('POST', '/v1/join-tokens', { name: 'name-that-was-sent' });
    await program.ask('GET', `/v1/operations/${OP}`);
    await program.ask('GET', '/v1/vms?text=text-that-was-sought');
    return { secrets: [program.apiKey, String(body['token']), 'name-that-was-sent', 'text-that-was-sought'] };
  } finally {
    await program.stop();
    await program.remove();
  }
}

test('a request’s span says route, request and operation, and nothing of what was sent', async () => {
  const { secrets } = await served(['--traces']);
  expect(new Set(got.map(({ path }) => path))).toEqual(new Set(['/v1/traces']));
  const exported = got.flatMap(({ text }) => (JSON.parse(text) as Export).resourceSpans);
  const service = exported.flatMap(({ resource }) => resource.attributes);
  expect(service).toContainEqual({ key: 'service.name', value: { stringValue: 'latchkey' } });
  const spans = exported.flatMap(({ scopeSpans }) => scopeSpans).flatMap((scope) => scope.spans);
  const said = spans.map(({ attributes }) =>
    Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue])),
  );
  expect(said).toContainEqual(
    expect.objectContaining({
      'http.route': '/v1/operations/:op',
      'latchkey.op': OP,
      'latchkey.request': expect.any(String),
      'http.response.status_code': 404,
    }),
  );
  expect(said).toContainEqual(expect.objectContaining({ 'url.path': '/v1/vms', 'http.route': '/v1/vms' }));
  for (const secret of secrets) for (const { text } of got) expect(text).not.toContain(secret);
});

test('nobody gets any where nobody asked for them', async () => {
  await served([]);
  expect(got).toEqual([]);
});

test('one file names what makes them, and loads it when it is asked to', () => {
  const product = readTree().filter((file) => isTypeScript(file) && file.path.startsWith('control-plane/'));
  const naming = product
    .flatMap(importsOf)
    .filter(({ target, typeOnly }) => /otel|opentelemetry/.test(target) && !typeOnly);
  expect(new Set(naming.map(({ from }) => from))).toEqual(new Set(['control-plane/observability/traces.ts']));
  const text = product.find(({ path }) => path === 'control-plane/observability/traces.ts')?.text ?? '';
  expect(text).not.toMatch(/^import (?!type).*(otel|opentelemetry)/m);
});

test('the collector is the one that OpenTelemetry’s own variable names', () => {
  expect(readTraceOptions(false, { OTEL_EXPORTER_OTLP_ENDPOINT: 'nonsense' })).toBeNull();
  expect(readTraceOptions(true, {})).toEqual({ endpoint: 'http://localhost:4318' });
  expect(readTraceOptions(true, { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://otel.example/' })).toEqual({
    endpoint: 'https://otel.example',
  });
  for (const text of ['otel.example', 'grpc://otel.example', 'https://me:secret@otel.example']) {
    expect(() => readTraceOptions(true, { OTEL_EXPORTER_OTLP_ENDPOINT: text })).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID' }),
    );
  }
});
