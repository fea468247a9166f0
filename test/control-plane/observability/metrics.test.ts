// What a whole control plane says of itself: `serve` as users start it, a scripted agent, and the difference between two scrapes.

import { randomBytes } from 'node:crypto';
import { renameSync } from 'node:fs';
import { connect } from 'node:net';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { TOTP, Secret as TotpSecret } from 'otpauth';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { VmView } from '../../../control-plane/api/schemas.ts';
import { pathsIn } from '../../../control-plane/config/paths.ts';
import { adminClient } from '../../../control-plane/signer/client.ts';
import { SCHEMA_VERSION } from '../../../control-plane/store/migrations.ts';
import {
  fromBase64url,
  type SigningKey,
  sealingKeyFromSeed,
  signingKeyFromSeed,
  toBase64url,
} from '../../../protocol/keys.ts';
import { run, ServeProgram } from '../program.ts';
import { ScriptedAgent } from '../scripted-agent.ts';

const START_MS_MAX = 120_000;
const program = new ServeProgram(['--metrics-listen', '127.0.0.1:0']);
let metricsUrl = '';
let totp: TOTP;
let key: SigningKey;

beforeAll(async () => {
  await program.start();
  metricsUrl = /"url":"(http:[^"]+)","msg":"metrics/.exec(program.stderr())?.[1] ?? '';
  const admin = adminClient(pathsIn(program.data).adminSocket);
  const { totp_uri } = await admin('operator.add', { name: 'admin' });
  key = await signingKeyFromSeed(randomBytes(32));
  await admin('operator.add', { name: 'admin', key: key.jwk });
  totp = new TOTP({ secret: TotpSecret.fromBase32(new URL(totp_uri ?? '').searchParams.get('secret') ?? '') });
}, START_MS_MAX);
afterAll(() => program.remove(), START_MS_MAX);

const ask = async (path: string) => {
  const response = await fetch(`${metricsUrl}${path}`);
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
};

/** Each series with its value. */
async function scrape(): Promise<ReadonlyMap<string, number>> {
  const lines = (await ask('/metrics')).text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]));
}

/** What rose, fell, came or went while that happened; durations and the process's own figures aside. */
async function changed(work: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = await scrape();
  await work();
  const after = await scrape();
  const ours = [...new Set([...before.keys(), ...after.keys()])].filter(
    (name) => name.startsWith('latchkey_') && !/_(sum|bucket)\b|signer_answer|queue_depth/.test(name),
  );
  const differences = ours.map((name) => [name, (after.get(name) ?? 0) - (before.get(name) ?? 0)] as const);
  return Object.fromEntries(differences.filter(([, by]) => by !== 0));
}

async function machine(): Promise<ScriptedAgent> {
  const agent = await ScriptedAgent.make(program.agentUrl);
  const { token } = (await program.ask('POST', '/v1/join-tokens')).body;
  expect(await agent.enrol(String(token))).toBeNull();
  await agent.online();
  await until(async () => (await vmOf(agent))?.online ?? false);
  return agent;
}

async function vmOf({ agent }: ScriptedAgent) {
  const { body } = await program.ask('GET', '/v1/vms');
  return (body['items'] as VmView[]).find((vm) => vm.agent === agent);
}

async function until(probe: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + 15_000; performance.now() < end; await sleep(20)) if (await probe()) return;
  throw new Error('waited in vain');
}
const untilState = (op: string, state: string) =>
  until(async () => (await program.ask('GET', `/v1/operations/${op}`)).body['state'] === state);

async function draft(agent: ScriptedAgent): Promise<string> {
  const vm = (await vmOf(agent))?.id;
  const made = await program.ask('POST', '/v1/operations', { vm, account: { mode: 'generated' } });
  return String(made.body['op']);
}

async function intent(op: string): Promise<Uint8Array<ArrayBuffer>> {
  const { jwk } = await sealingKeyFromSeed(randomBytes(32));
  const secret = { mode: 'generated', recipient_jwk: jwk };
  const { body } = await program.ask('POST', `/v1/operations/${op}/intent`, { account: { secret } });
  return Uint8Array.from(fromBase64url(String(body['intent_hash'])));
}

async function approve(op: string): Promise<void> {
  const sig = await crypto.subtle.sign('Ed25519', key.privateKey, await intent(op));
  const proof = { method: 'key', kid: key.kid, sig: toBase64url(new Uint8Array(sig)) };
  expect((await program.ask('POST', `/v1/operations/${op}/submit`, proof)).status).toBe(200);
}

function wrongCode(): string {
  const right = [-2, -1, 0, 1, 2].map((step) => totp.generate({ timestamp: Date.now() + step * 30_000 }));
  return ['000000', '111111', '222222', '333333', '444444', '555555'].find((code) => !right.includes(code)) ?? '';
}

describe('metrics', () => {
  test('are text that Prometheus reads, on their own listener alone', async () => {
    const { status, type, text } = await ask('/metrics');
    expect([status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
    expect(text).toMatch(/^# HELP latchkey_operations_ended_total /m);
    expect((await program.ask('GET', '/metrics')).status).toBe(404);
  });

  test('what alerts watch is there, as zero, before it happens first', async () => {
    const now = await scrape();
    for (const state of ['DONE', 'PARTIAL', 'FAILED', 'REFUSED', 'INTERRUPTED', 'CANCELLED', 'EXPIRED']) {
      expect(now.get(`latchkey_operations_ended_total{state="${state}"}`), state).toBe(0);
    }
    for (const method of ['totp', 'email', 'recovery', 'passkey', 'key']) {
      expect(now.get(`latchkey_factor_failures_total{method="${method}"}`), method).toBe(0);
    }
    expect(now.get('latchkey_operations_approved_total')).toBe(0);
  });

  test('count a machine, its reset by each step, and its reconnect, once each', async () => {
    const rose = await changed(async () => {
      const agent = await machine();
      const op = await draft(agent);
      await agent.answerPrepare();
      await untilState(op, 'PREPARED');
      await approve(op);
      await agent.takeCommand();
      await agent.carryOut(op);
      await untilState(op, 'DONE');
      await until(async () => (await scrape()).get('latchkey_agents{state="online",version="0.1.0"}') === 1);
    });
    const step = (state: string, clock: string) =>
      `latchkey_operation_state_duration_seconds_count{state="${state}",measured_by="${clock}"}`;
    expect(rose).toEqual({
      'latchkey_agents{state="online",version="0.1.0"}': 1,
      latchkey_agents_enrolled_total: 1,
      latchkey_agent_connections_total: 2,
      latchkey_agent_disconnections_total: 1,
      latchkey_operations_created_total: 1,
      latchkey_operations_approved_total: 1,
      'latchkey_operations_ended_total{state="DONE"}': 1,
      [step('QUEUED', 'control_plane')]: 1,
      [step('PREPARED', 'control_plane')]: 1,
      [step('SENT', 'control_plane')]: 1,
      [step('ACCEPTED', 'machine')]: 1,
      [step('PASSWORD_SET', 'machine')]: 1,
      [step('REBOOTING', 'control_plane')]: 1,
      [step('BOOTED', 'machine')]: 1,
    });
  });

  test('count a refusal by its code, and a wrong factor by its kind', async () => {
    const agent = await machine();
    const op = await draft(agent);
    await agent.answerPrepare();
    await untilState(op, 'PREPARED');
    expect(
      await changed(async () => {
        await intent(op);
        const proof = { method: 'totp', code: wrongCode() };
        expect((await program.ask('POST', `/v1/operations/${op}/submit`, proof)).status).toBe(403);
      }),
    ).toEqual({
      'latchkey_factor_failures_total{method="totp"}': 1,
      'latchkey_signer_refusals_total{method="intent.prove",code="FACTOR_REFUSED"}': 1,
    });
    const rose = await changed(async () => {
      await approve(op);
      await agent.takeCommand();
      await agent.report(op, 'REFUSED', { code: 'ACCOUNT_LOCKED' });
      await untilState(op, 'REFUSED');
    });
    expect(rose).toMatchObject({
      'latchkey_operations_ended_total{state="REFUSED"}': 1,
      'latchkey_operation_end_codes_total{state="REFUSED",code="ACCOUNT_LOCKED"}': 1,
      'latchkey_operations_open{state="PREPARED"}': -1,
    });
    await agent.offline();
  });

  test('count a link that drops, and a peer that is nobody', async () => {
    const agent = await machine();
    const rose = await changed(async () => {
      agent.wire.ws.terminate();
      await until(async () => ((await scrape()).get('latchkey_agents{state="offline",version="0.1.0"}') ?? 0) === 2);
      await agent.clone().connect({ helloKey: (await ScriptedAgent.make(program.agentUrl)).ik });
    });
    expect(rose).toEqual({
      'latchkey_agents{state="online",version="0.1.0"}': -1,
      'latchkey_agents{state="offline",version="0.1.0"}': 1,
      latchkey_agent_disconnections_total: 1,
      'latchkey_handshakes_refused_total{code="KID_UNKNOWN"}': 1,
    });
  });

  test('what a guest says of its version cannot make labels', async () => {
    const agent = await ScriptedAgent.make(program.agentUrl);
    const { token } = (await program.ask('POST', '/v1/join-tokens')).body;
    await agent.enrol(String(token));
    await agent.connect({ hello: { agent_version: 'vm_"} 1\nforged_total 7' } });
    agent.wire.send({ t: 'synced', open: null });
    await until(async () => (await scrape()).get('latchkey_agents{state="online",version="other"}') === 1);
    expect((await ask('/metrics')).text).not.toContain('forged');
    await agent.offline();
  });

  test('name no machine, operation, operator or secret', async () => {
    const { text } = await ask('/metrics');
    const { body } = await program.ask('GET', '/v1/vms');
    const vms = body['items'] as { id: string; agent: string; name: string }[];
    const operations = (await program.ask('GET', '/v1/operations')).body['items'] as { op: string }[];
    expect([vms.length, operations.length]).toEqual([4, 2]);
    const ids = [...vms.flatMap(({ id, agent }) => [id, agent]), ...operations.map(({ op }) => op)];
    for (const secret of [...ids, 'admin', program.apiKey, totp.secret.base32]) expect(text).not.toContain(secret);
    // Words of ours, versions and bounds of buckets: nothing else is a label.
    const labels = [...text.matchAll(/^latchkey_\w+\{(.*)\}/gm)].flatMap(([, all = '']) => all.split(','));
    const odd = labels.filter((label) => !/^(version="\d+\.\d+\.\d+"|le="[\d.+Inf]+"|\w+="[A-Za-z_.]+")$/.test(label));
    expect(odd).toEqual([]);
  });
});

describe('health', () => {
  test('is the process’s; readiness is that of all it needs', async () => {
    expect(JSON.parse((await ask('/healthz')).text)).toMatchObject({ status: 'ok' });
    const { status, text } = await ask('/readyz');
    expect(status).toBe(200);
    expect(JSON.parse(text)).toEqual({ status: 'ready', checks: { database: 'ok', schema: 'ok', signer: 'ok' } });
  });

  test('a signer that is away is not ready, and one that is back is', async () => {
    const { signerSocket } = pathsIn(program.data);
    renameSync(signerSocket, `${signerSocket}.away`);
    await until(async () => (await ask('/readyz')).status === 503);
    expect(JSON.parse((await ask('/readyz')).text)).toEqual({
      status: 'not_ready',
      checks: { database: 'ok', schema: 'ok', signer: 'SIGNER_UNAVAILABLE' },
    });
    expect((await ask('/healthz')).status).toBe(200);
    renameSync(`${signerSocket}.away`, signerSocket);
    await until(async () => (await ask('/readyz')).status === 200);
  });

  test('a schema that another version brought on is not ready', async () => {
    const db = new DatabaseSync(pathsIn(program.data).database);
    db.exec(`PRAGMA user_version = ${SCHEMA_VERSION + 1}`);
    await until(async () => /DATABASE_NEWER/.test((await ask('/readyz')).text));
    db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
    db.close();
    await until(async () => /"schema":"ok"/.test((await ask('/readyz')).text));
  });
});

describe('the listener', () => {
  test('gives nothing for what is not there, and does not stay open for who says nothing', async () => {
    expect((await ask('/v1/vms')).status).toBe(404);
    const { hostname, port } = new URL(metricsUrl);
    const socket = connect(Number(port), hostname);
    await new Promise((resolve) => socket.once('connect', resolve));
    expect(await program.stop()).toBe(0);
    socket.destroy();
  });

  test('on an address that is taken, or is none, is a start that cannot be', { timeout: START_MS_MAX }, async () => {
    const { data } = program;
    const serve = (place: string) =>
      run(['serve', '--data', data, '--listen', '127.0.0.1:0', '--metrics-listen', place]);
    expect((await serve('nowhere')).stderr).toMatch(/^latchkey: CONFIG_INVALID .*metrics-listen/);
    const other = await new ServeProgram(['--metrics-listen', '127.0.0.1:0']).start();
    const { stderr, code } = await serve(`127.0.0.1:${other.port}`);
    await other.remove();
    expect(code).toBe(1);
    expect(stderr).toMatch(/^latchkey: PORT_IN_USE /m);
  });
});
