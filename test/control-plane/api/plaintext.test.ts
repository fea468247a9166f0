// No request takes a plaintext password. One is sent wherever the description of the API has room for a text, and in members
// that it knows nothing of; then it is looked for in every answer, in the log, and in every file of the data folder.

import { randomBytes } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { OperationView } from '../../../control-plane/api/schemas.ts';
import { World } from '../world.ts';

type Schema = Readonly<{
  $ref?: string;
  type?: string;
  const?: unknown;
  enum?: readonly unknown[];
  minimum?: number;
  properties?: Readonly<Record<string, Schema>>;
  required?: readonly string[];
  items?: Schema;
  anyOf?: readonly Schema[];
  oneOf?: readonly Schema[];
}>;
type Parameter = Readonly<{ name: string; in: string }>;
type Operation = Readonly<{
  parameters?: readonly Parameter[];
  requestBody?: Readonly<{ content: Readonly<Record<string, Readonly<{ schema: Schema }>>> }>;
}>;
type Document = Readonly<{
  paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  components: Readonly<{ schemas: Readonly<Record<string, Schema>> }>;
}>;

/** A sign that no id has, so that none of the API's own texts can hold it. */
const CANARY = `canary!${randomBytes(9).toString('hex')}`;
const contains = (text: string) => text.includes(CANARY) || text.includes(encodeURIComponent(CANARY));

let world: World;
let document: Document;
let draft: OperationView;
const answers: string[] = [];
beforeAll(async () => {
  world = await World.start();
  document = (await world.ask('GET', '/v1/openapi.json')).body as unknown as Document;
  draft = await world.draft(await world.machine('web-1'));
});
afterAll(() => world.stop());

/** Values of the schema with the canary for each text: of each alternative one, with every member and with the demanded alone. */
function values(schema: Schema | undefined, depth = 0): unknown[] {
  if (schema === undefined || depth > 8) return [CANARY];
  if (schema.$ref) return values(document.components.schemas[schema.$ref.split('/').at(-1) ?? ''], depth + 1);
  const alternatives = schema.anyOf ?? schema.oneOf;
  if (alternatives) return alternatives.flatMap((one) => values(one, depth + 1));
  if (schema.const !== undefined) return [schema.const];
  if (schema.enum) return [schema.enum[0]];
  if (schema.type === 'object') return objects(schema, depth);
  if (schema.type === 'array') return values(schema.items, depth + 1).map((item) => [item]);
  if (schema.type === 'integer' || schema.type === 'number') return [Math.max(1, schema.minimum ?? 1)];
  if (schema.type === 'boolean') return [true];
  return schema.type === 'null' ? [null] : [CANARY];
}

function objects({ properties = {}, required = [] }: Schema, depth: number): unknown[] {
  const all = Object.entries(properties).map(([name, schema]) => [name, values(schema, depth + 1)] as const);
  const pick = (entries: typeof all, at: number) =>
    Object.fromEntries(entries.map(([name, found]) => [name, found[at % found.length]]));
  const most = Math.max(1, ...all.map(([, found]) => found.length));
  const demanded = all.filter(([name]) => required.includes(name));
  return [...Array.from({ length: most }, (_, at) => pick(all, at)), pick(demanded, 0)];
}

async function send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const answer = await fetch(world.origin + path, {
    method,
    headers: {
      authorization: `Bearer ${world.apiKey}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  answers.push(JSON.stringify([...answer.headers]), await answer.text());
  return answer.status;
}

/** Streams would stay open. */
const isStream = (path: string) => path.endsWith('/events');

test('it is sent in every place of every request', async () => {
  const statuses: number[] = [];
  const sent = encodeURIComponent(CANARY);
  for (const [path, item] of Object.entries(document.paths)) {
    for (const [name, { parameters = [], requestBody }] of Object.entries(item)) {
      const method = name.toUpperCase();
      const real = path.replace('{op}', draft.op).replace('{vm}', 'web-1').replace('{id}', sent);
      if (path.includes('{')) statuses.push(await send(method, path.replaceAll(/\{\w+\}/g, sent)));
      if (!isStream(path)) {
        const query = parameters.filter((parameter) => parameter.in === 'query').map((parameter) => parameter.name);
        for (const word of [...query, 'password']) await send(method, `${real}?${word}=${sent}`);
        const named = parameters.filter((parameter) => parameter.in === 'header').map((parameter) => parameter.name);
        for (const word of [...named, 'x-request-id', 'x-password']) {
          await send(method, real, undefined, { [word]: CANARY });
        }
      }
      const schema = requestBody?.content['application/json']?.schema;
      if (!schema) continue;
      for (const body of values(schema)) {
        statuses.push(await send(method, real, body), await send(method, real, { ...(body as object), vm: 'web-1' }));
        statuses.push(await send(method, real, { ...(body as object), password: CANARY }));
      }
      statuses.push(await send(method, real, CANARY), await send(method, real, { account: { password: CANARY } }));
    }
  }
  // The walk reached handlers, and not only the checks in front of them.
  expect(new Set(statuses)).toEqual(new Set([...statuses, 400, 404]));
  expect(statuses.length).toBeGreaterThan(50);
});

test('and it is found in no answer, no line of the log, and no file', () => {
  expect(answers.filter(contains)).toEqual([]);
  expect(world.logged.filter(contains)).toEqual([]);
  const files = readdirSync(world.data, { recursive: true, encoding: 'utf8' })
    .map((name) => join(world.data, name))
    .filter((path) => lstatSync(path).isFile());
  expect(files.length).toBeGreaterThan(5);
  expect(files.filter((path) => contains(readFileSync(path, 'latin1')))).toEqual([]);
});
