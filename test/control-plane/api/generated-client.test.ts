// A client that a generator makes of the served document, at the time of the test: it compiles, and a whole reset, the pages of a
// list and a refusal are driven by it alone.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CustomHeaders, Defaults } from '@oazapfts/runtime';
import { generateSource } from 'oazapfts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { IntentResponse, OperationView, VmView } from '../../../control-plane/api/schemas.ts';
import type { ScriptedAgent } from '../scripted-agent.ts';
import { World } from '../world.ts';

const MODULES = join(import.meta.dirname, '../../../node_modules');

type Answered<T> = Promise<Readonly<{ status: number; data: T }>>;
type Page<T> = Readonly<{ items: readonly T[]; next: string | null }>;
/** What is used of it, as it is called. */
type Client = Readonly<{
  defaults: Defaults<CustomHeaders>;
  listVms(query: object): Answered<Page<VmView>>;
  changeVm(vm: string, body: object, headers?: object): Answered<VmView>;
  createOperation(body: object, headers?: object): Answered<OperationView>;
  getOperation(op: string, headers?: object): Answered<OperationView>;
  buildIntent(op: string, body: object): Answered<IntentResponse>;
  submitOperation(op: string, body: object): Answered<OperationView>;
}>;

const folder = mkdtempSync(join(tmpdir(), 'latchkey-client-'));
const source = join(folder, 'client.ts');
let world: World;
let agent: ScriptedAgent;
let client: Client;
beforeAll(async () => {
  world = await World.start();
  agent = await world.machine('web');
  await world.enrolled('db');
  const document = join(folder, 'openapi.json');
  writeFileSync(document, await (await fetch(`${world.origin}/v1/openapi.json`)).text());
  writeFileSync(source, await generateSource(document));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  symlinkSync(MODULES, join(folder, 'node_modules'));
  client = (await import(source)) as Client;
  client.defaults.baseUrl = world.origin;
  client.defaults.headers = { Authorization: `Bearer ${world.apiKey}` };
});
afterAll(async () => {
  await world.stop();
  rmSync(folder, { recursive: true });
});

test('it compiles, strictly', () => {
  const options = ['--noEmit', '--strict', '--target', 'esnext', '--module', 'esnext', '--moduleResolution', 'bundler'];
  const compiler = join(MODULES, '.bin', 'tsc');
  expect(() => execFileSync(compiler, [...options, source], { cwd: folder, encoding: 'utf8' })).not.toThrow();
});

test('a whole reset is drafted, proven and followed to its end', async () => {
  const body = { vm: 'web', account: { mode: 'generated' } };
  const headers = { idempotencyKey: 'client-1' };
  const { status, data: draft } = await client.createOperation(body, headers);
  expect(status).toBe(201);
  expect((await client.createOperation(body, headers)).data).toEqual(draft);
  await agent.answerPrepare();
  const secret = { mode: 'generated', recipient_jwk: await world.recipient() };
  const intent = await client.buildIntent(draft.op, { account: { secret } });
  const proof = await world.keyProof(intent.data.intent_hash);
  expect((await client.submitOperation(draft.op, proof)).data.approved).toBe(true);
  const { op } = await agent.takeCommand();
  await agent.carryOut(op);
  await world.until(op, 'DONE');
  const { data } = await client.getOperation(op);
  expect(data).toMatchObject({ op, state: 'DONE', ended: true, verified: { account: true } });
});

test('a list is read page by page, and a label set', async () => {
  const first = (await client.listVms({ limit: 1 })).data;
  const rest = (await client.listVms({ limit: 1, cursor: first.next })).data;
  expect([...first.items, ...rest.items].map(({ name }) => name).toSorted()).toEqual(['db', 'web']);
  expect((await client.changeVm('db', { labels: { env: 'prod' } })).data.labels).toEqual({ env: 'prod' });
  expect((await client.listVms({ label: 'env=prod' })).data.items.map(({ name }) => name)).toEqual(['db']);
});

test('a refusal is the problem that the document says', async () => {
  const refused = await client.getOperation(`op_${'0'.repeat(26)}`);
  expect(refused).toMatchObject({ status: 404, data: { code: 'NOT_FOUND' } });
});
