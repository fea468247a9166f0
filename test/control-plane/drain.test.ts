// An upgrade as operators do it: the old program is told to end while an operation is midway, the new one starts on the same folder,
// and the operation ends once and truly. Whoever was connected is seen off, and not cut off.

import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { pathsIn } from '../../control-plane/config/paths.ts';
import { restartSpreadMs } from '../../control-plane/gateway/gateway.ts';
import { adminClient } from '../../control-plane/signer/client.ts';
import {
  fromBase64url,
  type SigningKey,
  sealingKeyFromSeed,
  signingKeyFromSeed,
  toBase64url,
} from '../../protocol/keys.ts';
import { RECONNECT_MS_MAX, RECONNECT_MS_MIN } from '../../protocol/limits.ts';
import { run, ServeProgram } from './program.ts';
import { ScriptedAgent } from './scripted-agent.ts';

const PROGRAM_TIMEOUT_MS = 120_000;
const seed = () => crypto.getRandomValues(new Uint8Array(32));

let program: ServeProgram;
beforeEach(() => {
  program = new ServeProgram(['--agent-listen', '127.0.0.1:0']);
});
afterEach(() => program.remove(), PROGRAM_TIMEOUT_MS);

const agentUrl = async () => String(((await program.ask('GET', '/v1/trust')).body['url'] as string[])[0]);

async function machine(): Promise<ScriptedAgent> {
  const agent = await ScriptedAgent.make(await agentUrl());
  const { token } = (await program.ask('POST', '/v1/join-tokens')).body;
  expect(await agent.enrol(String(token))).toBeNull();
  return agent.online();
}

async function registeredKey(): Promise<SigningKey> {
  const key = await signingKeyFromSeed(seed());
  await adminClient(pathsIn(program.data).adminSocket)('operator.add', { name: 'admin', key: key.jwk });
  return key;
}

async function draft(): Promise<string> {
  const [vm] = (await program.ask('GET', '/v1/vms')).body['items'] as { id: string }[];
  const made = await program.ask('POST', '/v1/operations', { vm: vm?.id, account: { mode: 'generated' } });
  return String(made.body['op']);
}

async function approve(op: string, key: SigningKey): Promise<void> {
  const { jwk } = await sealingKeyFromSeed(seed());
  const secret = { mode: 'generated', recipient_jwk: jwk };
  const { body } = await program.ask('POST', `/v1/operations/${op}/intent`, { account: { secret } });
  const hash = Uint8Array.from(fromBase64url(String(body['intent_hash'])));
  const sig = toBase64url(new Uint8Array(await crypto.subtle.sign('Ed25519', key.privateKey, hash)));
  const { status } = await program.ask('POST', `/v1/operations/${op}/submit`, { method: 'key', kid: key.kid, sig });
  expect(status).toBe(200);
}

const view = async (op: string) => (await program.ask('GET', `/v1/operations/${op}`)).body;

async function until(op: string, state: string): Promise<void> {
  for (const end = performance.now() + 15_000; performance.now() < end; ) {
    if ((await view(op))['state'] === state) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`waited in vain for ${op} to be ${state}`);
}

/** An operator who watches; `text` is what was said until the stream ended, and rejects where it was cut off. */
async function watch(op: string): Promise<{ text: Promise<string> }> {
  const response = await fetch(`${program.origin}/v1/operations/${op}/events`, {
    headers: { authorization: `Bearer ${program.apiKey}` },
  });
  return { text: response.text() };
}

/** A request whose body is not all there yet; what comes back once it is. */
async function half(): Promise<() => Promise<string>> {
  const { port, apiKey } = program;
  const socket = connect(port, '127.0.0.1');
  let heard = '';
  socket.on('data', (data) => {
    heard += data.toString();
  });
  await once(socket, 'connect');
  const head = `POST /v1/join-tokens HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${apiKey}\r\nContent-Type: application/json\r\n`;
  socket.write(`${head}Content-Length: 2\r\n\r\n{`);
  await new Promise((resolve) => setTimeout(resolve, 200));
  return async () => {
    const ended = once(socket, 'close');
    socket.write('}');
    await ended;
    return heard;
  };
}

/** What is said to one listener is nothing to the other. */
async function demandStrangers(): Promise<void> {
  const { origin } = new URL((await agentUrl()).replace('ws:', 'http:'));
  const headers = { authorization: `Bearer ${program.apiKey}` };
  const long = { headers: { 'x-long': 'x'.repeat(5_000) } };
  expect((await fetch(`${origin}/healthz`)).status).toBe(200);
  expect((await fetch(`${origin}/v1/vms`, { headers })).status).toBe(404);
  expect((await fetch(`${origin}/healthz`, long)).status).toBe(431);
  expect((await fetch(`${program.origin}/healthz`, long)).status).toBe(200);
  const stray = await ScriptedAgent.make(program.agentUrl);
  await expect(stray.enrol('whatever')).rejects.toThrow('404');
}

describe('a control plane that is told to end', { timeout: PROGRAM_TIMEOUT_MS }, () => {
  test('hands an operation that is midway over to the next one, which ends it once', async () => {
    await program.start();
    const key = await registeredKey();
    const agent = await machine();
    const op = await draft();
    await agent.answerPrepare();
    await until(op, 'PREPARED');
    await approve(op, key);
    await agent.takeCommand();
    await agent.report(op, 'ACCEPTED');
    const closed = once(agent.wire.ws, 'close');
    expect(await program.stop()).toBe(0);
    const [code, reason] = (await closed) as [number, Buffer];
    expect([code, Number(reason.toString())]).toEqual([1012, 2 * RECONNECT_MS_MIN]);

    const meanwhile = await agent.write(op, 'PASSWORD_SET');
    await program.start();
    agent.url = await agentUrl();
    await agent.connect();
    for (const receipt of agent.receipts(op)) agent.sendReceipt(receipt);
    agent.wire.send({ t: 'synced', open: op });
    await until(op, 'PASSWORD_SET');
    expect(agent.receipts(op).at(-1)).toBe(meanwhile);
    for (const state of ['REBOOTING', 'BOOTED', 'DONE'] as const) await agent.report(op, state);
    await until(op, 'DONE');
    expect(agent.wire.waiting('command')).toBe(0);
    const { receipts } = (await view(op)) as { receipts: { n: number; state: string }[] };
    expect(receipts.map(({ state }) => state)).toEqual(['ACCEPTED', 'PASSWORD_SET', 'REBOOTING', 'BOOTED', 'DONE']);
  });

  test('had a listener for operators and one for agents, ends streams at a boundary, answers the request that is under way, and takes none after it', async () => {
    await program.start();
    await machine();
    await demandStrangers();
    const op = await draft();
    const watched = await watch(op);
    const rest = await half();
    const { port } = program;
    const ended = program.stop();
    await new Promise((resolve) => setTimeout(resolve, 500));
    const late = connect(port, '127.0.0.1');
    const [refusal] = (await once(late, 'error')) as [NodeJS.ErrnoException];
    expect(refusal.code).toBe('ECONNREFUSED');
    expect(await rest()).toMatch(/^HTTP\/1\.1 201 [\s\S]*"token"/);
    expect(await watched.text).toMatch(/"state":"QUEUED"[\s\S]*\n\n$/);
    expect(await ended).toBe(0);
  });
});

test('a small fleet comes back within two seconds, a large one within a minute', () => {
  expect([0, 1, 500].map(restartSpreadMs)).toEqual(Array(3).fill(2 * RECONNECT_MS_MIN));
  expect(restartSpreadMs(5_000)).toBe(20_000);
  expect(restartSpreadMs(1_000_000)).toBe(RECONNECT_MS_MAX);
});

test('the agents’ proxy speaks for agents alone: they need a listener of their own for it', async () => {
  const flags = ['--data', program.data, '--listen', '127.0.0.1:0', '--agent-proxy', '127.0.0.1'];
  const { code, stdout, stderr } = await run(['serve', ...flags]);
  expect([code, stdout, stderr.trimEnd().split('\n').length]).toEqual([1, '', 1]);
  expect(stderr).toContain('latchkey: CONFIG_INVALID ');
  expect(stderr).toContain('(field: agent-proxy, reason: agent_listen)');
});
