// The API as a promise: the document in the repository is what the server serves, and nothing that was released is taken back.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { World } from '../world.ts';
import { breaksBetween } from './breaking.ts';

const KEPT = join(import.meta.dirname, '../../../control-plane/api/openapi.json');
const RELEASED = join(import.meta.dirname, '../../fixtures/openapi/v0.1.json');

const read = (file: string) => JSON.parse(readFileSync(file, 'utf8'));

let world: World;
beforeAll(async () => {
  world = await World.start();
});
afterAll(() => world.stop());

test('the document in the repository is the one that is served', async () => {
  const { body } = await world.ask('GET', '/v1/openapi.json');
  await expect(`${JSON.stringify(body, null, 1)}\n`).toMatchFileSnapshot(KEPT);
});

test('nothing that was released is taken back', () => {
  expect(breaksBetween(read(RELEASED), read(KEPT))).toEqual([]);
});

describe('what would take something back', () => {
  // biome-ignore lint/suspicious/noExplicitAny: a document is changed anywhere.
  type Doc = any;
  const post = ({ paths }: Doc) => paths['/v1/operations'].post;
  const body = (doc: Doc) => post(doc).requestBody.content['application/json'].schema;
  const operation = ({ components }: Doc) => components.schemas.Operation;
  const changed = (change: (doc: Doc) => void) => {
    const doc = structuredClone(read(RELEASED));
    change(doc);
    return breaksBetween(read(RELEASED), doc);
  };

  test.each<[string, (doc: Doc) => void, string]>([
    ['a path that goes', (doc) => delete doc.paths['/v1/trust'], 'GET /v1/trust is gone'],
    ['a method that goes', ({ paths }) => delete paths['/v1/operations'].get, 'GET /v1/operations is gone'],
    ['another name', (doc) => (post(doc).operationId = 'draft'), 'the name createOperation is gone'],
    ['an answer that goes', (doc) => delete post(doc).responses['201'], 'answer 201 is gone'],
    ['a member of an answer that goes', (doc) => delete operation(doc).properties.state, '.state is gone'],
    ['a member of an answer that may be missing', (doc) => operation(doc).required.splice(0, 1), `.op may be missing`],
    ['a member of another type', (doc) => (operation(doc).properties.ended.type = 'string'), '.ended is no boolean'],
    ['a state that goes', (doc) => operation(doc).properties.state.enum.splice(0, 1), '.state has no QUEUED any more'],
    ['a member of a body that is demanded', (doc) => body(doc).required.push('reboot'), 'body.reboot is demanded'],
    ['a member of a body that goes', (doc) => delete body(doc).properties.vnc, 'body.vnc is gone'],
    [
      'a value that a body may have no more',
      (doc) => body(doc).properties.account.properties.mode.enum.pop(),
      'body.account.mode has no typed any more',
    ],
    [
      'a parameter that goes',
      ({ paths }) => paths['/v1/operations'].get.parameters.splice(0, 1),
      'parameter vm is gone',
    ],
    [
      'a parameter that is demanded',
      ({ paths }) =>
        paths['/v1/operations'].get.parameters.push({ name: 'new', in: 'query', required: true, schema: {} }),
      'parameter new is demanded',
    ],
  ])('%s is seen', (_, change, complaint) => {
    expect(changed(change).join('\n')).toContain(complaint);
  });

  test('additions do not', () => {
    const added = changed((doc) => {
      doc.paths['/v1/new'] = { get: { operationId: 'new', responses: {} } };
      operation(doc).properties.more = { type: 'string' };
      operation(doc).properties.state.enum.push('MORE');
      body(doc).properties.more = { type: 'string' };
      post(doc).parameters.push({ name: 'more', in: 'query', schema: { type: 'string' } });
      post(doc).responses['418'] = { description: '' };
    });
    expect(added).toEqual([]);
  });
});
