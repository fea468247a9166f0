// The description of the API, as a client reads it: complete, valid, and true of what the server answers.

import { Validator } from '@seriousme/openapi-schema-validator';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requests } from '../../../control-plane/api/contract.ts';
import { allCodes } from '../../../protocol/codes.ts';
import { World } from '../world.ts';

type Response = { description: string; content?: Record<string, { schema: { allOf?: unknown } }> };
type Operation = {
  operationId: string;
  summary: string;
  tags: string[];
  security: unknown[];
  responses: Record<string, Response>;
};
type Document = {
  openapi: string;
  tags: { name: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, unknown> };
};

let world: World;
let document: Document;
let operations: [string, Operation][];
beforeAll(async () => {
  world = await World.start();
  const { body } = await world.ask('GET', '/v1/openapi.json', undefined, { authorization: '' });
  document = body as Document;
  operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]): [string, Operation] => [
      `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`,
      operation,
    ]),
  );
});
afterAll(() => world.stop());

const codesOf = (operation: Operation) => JSON.stringify(operation.responses).match(/"[A-Z][A-Z0-9_]{3,}"/g) ?? [];

describe('the OpenAPI document', () => {
  test('is one by the meta schema of 3.1', async () => {
    expect(document.openapi).toMatch(/^3\.1\./);
    const validator = new Validator();
    expect(await validator.validate(structuredClone(document))).toEqual({ valid: true });
    const broken = { ...document, paths: { '/x': { get: { responses: 'none' } } } };
    expect((await new Validator().validate(broken)).valid).toBe(false);
  });

  test('refers to nothing that is not in it, and holds nothing that is not referred to', () => {
    const referred = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name);
    expect(new Set(referred)).toEqual(new Set(Object.keys(document.components.schemas)));
  });

  test('has every route, and no other', () => {
    expect(operations.map(([name]) => name).toSorted()).toEqual(requests.toSorted());
  });

  test('names each operation once, with a summary, a known tag, an answer and its codes', () => {
    const tags = document.tags.map(({ name }) => name);
    const ids = operations.map(([, { operationId }]) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const [name, operation] of operations) {
      expect(operation.operationId, name).toMatch(/^[a-z][A-Za-z]+$/);
      expect(operation.summary, name).toMatch(/^[A-Z].{8,}\.$/);
      expect(
        operation.tags.filter((tag) => tags.includes(tag)),
        name,
      ).toHaveLength(1);
      const statuses = Object.keys(operation.responses);
      expect(
        statuses.filter((status) => /^(2..|303)$/.test(status)),
        name,
      ).not.toEqual([]);
      expect(statuses, name).toEqual(expect.arrayContaining(['400', '429', '500']));
      for (const [status, { description, content = {} }] of Object.entries(operation.responses)) {
        if (status === '304' || status === '303') continue;
        expect(description, `${name} ${status}`).not.toBe('');
        const types = Object.keys(content);
        expect(types, `${name} ${status}`).toHaveLength(1);
        if (!status.startsWith('2')) expect(types).toEqual(['application/problem+json']);
      }
    }
  });

  test('says of each operation whether it needs a key, and is right', async () => {
    for (const [name, { security, responses }] of operations) {
      const [method = '', path = ''] = name.split(' ');
      const filled = path.replace(':op', `op_${'0'.repeat(26)}`).replace(/:\w+/, 'x');
      const { status } = await fetch(`${world.origin}${filled}`, { method });
      expect(status === 401, name).toBe(security.length > 0);
      expect('401' in responses, name).toBe(security.length > 0);
    }
  });

  test('names codes that there are', () => {
    const named = new Set(operations.flatMap(([, operation]) => codesOf(operation)));
    const known = new Set(allCodes.map((code) => `"${code}"`));
    expect(named.difference(known)).toEqual(new Set());
    expect(named.size).toBeGreaterThan(15);
  });

  test('leaves answers open for more members, and bodies closed', () => {
    for (const [name, schema] of Object.entries(document.components.schemas)) {
      const isClosed = JSON.stringify(schema).includes('"additionalProperties":false');
      expect(isClosed, name).toBe(name.endsWith('Input'));
    }
    expect(Object.keys(document.components.schemas)).toEqual(expect.arrayContaining(['Vm', 'Operation', 'Problem']));
    expect(JSON.stringify(document.paths['/v1/operations']?.['post'])).toContain('"additionalProperties":false');
  });
});

test('a route that nobody described does not start', async () => {
  const { default: fastify } = await import('fastify');
  const { describeRoutes } = await import('../../../control-plane/api/openapi.ts');
  const app = fastify();
  await describeRoutes(app);
  expect(() => app.get('/v1/unheard-of', async () => ({}))).toThrow('no contract for GET /v1/unheard-of');
});

describe('the page', () => {
  test('needs no key, no script and no exception from the policy, and names every operation', async () => {
    const response = await fetch(`${world.origin}/v1/docs`);
    const page = await response.text();
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(response.headers.get('content-security-policy')).toBe("default-src 'none';frame-ancestors 'none'");
    expect(page).not.toMatch(/<script|<style|<img|<link| style=| on[a-z]+=/i);
    for (const [, { operationId }] of operations) expect(page).toContain(`id="${operationId}"`);
    for (const [, target = ''] of page.matchAll(/href="#([^"]+)"/g)) expect(page).toContain(`id="${target}"`);
  });
});
