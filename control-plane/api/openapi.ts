// The OpenAPI document: made from the very schemas that requests are read with and answers are written with, and from what
// contract.ts says of each request. Served to anyone, because it says nothing of this installation.

import swagger from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from 'fastify-type-provider-zod';
import type { OpenAPIV3_1 as OpenApi } from 'openapi-types';
import { z } from 'zod';
import { type Code, codes } from '../../protocol/codes.ts';
import { VERSION } from '../version.ts';
import { codesOf, entryOf } from './contract.ts';
import { type Entry, tags } from './contract-entry.ts';
import { readablePage } from './docs-page.ts';
import { statusOf } from './problems.ts';
import { intentResponse, intentSummary, operationView, problem, receiptView, stateTime, vmView } from './schemas.ts';
import { bulkIntent, bulkList, bulkResult, bulkView } from './schemas-bulk.ts';
import { joinTokenList, joinTokenView } from './schemas-installation.ts';
import { operationList, vmList } from './schemas-lists.ts';
import { preflightView } from './schemas-preflight.ts';
import { deliveryView, webhookView } from './schemas-webhooks.ts';

export type Document = OpenApi.Document;

/** What has a name in the document, and is referred to by it. */
const named = {
  Delivery: deliveryView,
  Bulk: bulkView,
  BulkIntent: bulkIntent,
  BulkList: bulkList,
  BulkResult: bulkResult,
  Intent: intentResponse,
  IntentSummary: intentSummary,
  JoinToken: joinTokenView,
  JoinTokenList: joinTokenList,
  Operation: operationView,
  OperationList: operationList,
  Preflight: preflightView,
  Problem: problem,
  Receipt: receiptView,
  StateTime: stateTime,
  Vm: vmView,
  VmList: vmList,
  Webhook: webhookView,
};
const schemaRegistry = z.registry<{ id: string }>();
for (const [id, schema] of Object.entries(named)) schemaRegistry.add(schema, { id });

/** Before any route: it hears of each as it is added. */
export async function describeRoutes(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Latchkey',
        version: VERSION,
        description: INTRODUCTION,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/' }],
      tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
      components: {
        securitySchemes: {
          apiKey: { type: 'http', scheme: 'bearer', bearerFormat: 'lk_…' },
          session: { type: 'apiKey', in: 'cookie', name: 'latchkey.session_token' },
        },
      },
    },
    transform: createJsonSchemaTransform({ schemaRegistry }),
    transformObject: createJsonSchemaTransformObject({ schemaRegistry }),
  });
  // A route that nobody described fails here, at the start.
  app.addHook('onRoute', ({ method, url }) => {
    if (method !== 'HEAD') entryOf(String(method), url);
  });
}

const INTRODUCTION =
  `Resets of the administrator's password and the VNC password of virtual machines. A request authenticates with an API key, or from a
browser with the cookie of a session; a reset is approved by an operator's proof beside it. No request has a place for a plaintext password: secrets are sealed to the machine, or
to the operator, before they come here. Every answer says how many requests are left in this minute (\`RateLimit-Limit\`,
\`RateLimit-Remaining\`, \`RateLimit-Reset\`; \`Retry-After\` with 429). Errors are problem details (RFC 9457) whose \`code\` says what is wrong.`.replaceAll(
    '\n',
    ' ',
  );

export function documentRoutes(app: FastifyInstance): void {
  // What routes there are is settled by the first request.
  let made: Readonly<{ json: string; page: string }> | undefined;
  const make = () => {
    if (made) return made;
    const document = documentOf(app);
    made = { json: JSON.stringify(document), page: readablePage(document) };
    return made;
  };
  app.get('/v1/openapi.json', async (_request, reply) => reply.type('application/json').send(make().json));
  app.get('/v1/docs', async (_request, reply) => reply.type('text/html; charset=utf-8').send(make().page));
}

function documentOf(app: FastifyInstance): Document {
  const document = structuredClone(app.swagger()) as Document;
  const paths = Object.entries(document.paths ?? {});
  for (const [path, item] of paths) {
    for (const method of ['get', 'post', 'patch', 'delete'] as const) {
      const operation = item?.[method];
      if (operation) complete(operation, entryOf(method.toUpperCase(), path.replaceAll(/\{(\w+)\}/g, ':$1')), method);
    }
  }
  plain(document);
  return { ...document, components: { ...document.components, schemas: schemasOf(document) } };
}

type Operation = OpenApi.OperationObject;
type Responses = Record<string, OpenApi.ResponseObject>;

const TYPES = {
  'application/x-ndjson': 'string',
  'text/event-stream': 'string',
  'text/html': 'string',
  'text/css': 'string',
  'text/javascript': 'string',
  'application/json': 'object',
} as const;

function complete(operation: Operation, entry: Entry, method: string): void {
  const { id, tag, summary, open, type, moves } = entry;
  const answers = Object.entries((operation.responses ?? {}) as Responses).filter(([status]) => status !== 'default');
  for (const [status, answer] of answers) {
    answer.description = status === '201' ? 'Made.' : status === '202' ? 'Taken, and not complete.' : 'Done.';
    for (const { schema } of Object.values(answer.content ?? {})) if (schema) openObjects(schema);
  }
  const given: Responses = Object.fromEntries(answers);
  if (moves) {
    delete given['200'];
    given['303'] = { description: 'Goes on elsewhere.' };
  }
  if (type) given['200'] = { description: 'Done.', content: { [type]: { schema: { type: TYPES[type] } } } };
  if (method === 'get' && !type) given['304'] = { description: 'Still as in the answer that `If-None-Match` names.' };
  const headers = [
    ...(method === 'get' && !type ? [header('If-None-Match', 'The `ETag` of an answer that the client has.')] : []),
    ...(entry.codes.includes('PRECONDITION_FAILED')
      ? [header('If-Match', 'The `ETag` of what is to be changed.')]
      : []),
  ];
  if (entry.codes.includes('IDEMPOTENCY_RUNNING')) headers.push(header('Idempotency-Key', IDEMPOTENCY));
  if (headers.length > 0) operation.parameters = [...(operation.parameters ?? []), ...headers];
  Object.assign(operation, {
    operationId: id,
    tags: [tag],
    summary,
    security: open ? [] : [{ apiKey: [] }, { session: [] }],
    responses: { ...given, ...refusals(codesOf(entry)) },
  });
}

const IDEMPOTENCY =
  'Up to 255 signs, drawn for this one thing. Sent again within a day it makes nothing again: the first answer is given.';

function header(name: string, description: string): OpenApi.ParameterObject {
  return { in: 'header', name, description, required: false, schema: { type: 'string' } };
}

/** One response a status, which names its codes. */
function refusals(refused: readonly Code[]): Responses {
  const byStatus = Map.groupBy(refused, statusOf);
  return Object.fromEntries(
    [...byStatus].map(([status, here]) => [
      String(status),
      {
        description: here.map((code) => `${code}: ${codes[code].sentence}`).join(' '),
        content: {
          'application/problem+json': {
            schema: {
              allOf: [
                { $ref: '#/components/schemas/Problem' },
                { type: 'object', properties: { code: { type: 'string', enum: here.toSorted() } } },
              ],
            },
          },
        },
      },
    ]),
  );
}

/** Those that something refers to. A schema of an answer may have more members one day; one of a request may not. */
function schemasOf({ paths, components }: Document): Record<string, OpenApi.SchemaObject> {
  const all = (components?.schemas ?? {}) as Record<string, OpenApi.SchemaObject>;
  const used = new Set<string>();
  const visit = (value: unknown): void => {
    const names = JSON.stringify(value ?? null).matchAll(/"#\/components\/schemas\/(\w+)"/g);
    for (const [, name = ''] of names) {
      if (used.has(name)) continue;
      used.add(name);
      visit(all[name]);
    }
  };
  visit(paths);
  const kept = [...used].toSorted().flatMap((name) => (all[name] ? [[name, all[name]] as const] : []));
  for (const [name, schema] of kept) if (!name.endsWith('Input')) openObjects(schema);
  return Object.fromEntries(kept);
}

/** What zod says to be exact and a reader has no use for: a pattern beside the format that it spells out, the bounds of a double. */
function plain(schema: object): void {
  const known = schema as OpenApi.NonArraySchemaObject;
  if (known.format === 'date-time') delete known.pattern;
  if (known.maximum === Number.MAX_SAFE_INTEGER) delete known.maximum;
  if (known.minimum === Number.MIN_SAFE_INTEGER) delete known.minimum;
  for (const value of Object.values(schema)) if (typeof value === 'object' && value !== null) plain(value);
}

function openObjects(schema: object): void {
  for (const [key, value] of Object.entries(schema)) {
    if (key === 'additionalProperties' && value === false) Reflect.deleteProperty(schema, key);
    else if (typeof value === 'object' && value !== null) openObjects(value);
  }
}
