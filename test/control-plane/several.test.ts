// The control plane as several programs over one PostgreSQL, as an installation on several hosts is: two gateways, two webs
// and a signer, each a process that can be killed.

import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { pathsIn } from '../../control-plane/config/paths.ts';
import { adminClient, signerClient } from '../../control-plane/signer/client.ts';
import {
  fromBase64url,
  type SigningKey,
  sealingKeyFromSeed,
  signingKeyFromSeed,
  toBase64url,
} from '../../protocol/keys.ts';
import { CertificateMaker, hasOpenssl } from '../agent/link/certificates.ts';
import { unavailable } from '../requirements.ts';
import { exitOf, firstLine, run, ServeProgram, start } from './program.ts';
import { ScriptedAgent } from './scripted-agent.ts';
import { freePort, POSTGRES_COMMAND, PostgresServer, postgresPrograms } from './store/postgres-server.ts';

const PROGRAMS_MS_MAX = 240_000;
const seed = () => Uint8Array.from(randomBytes(32));

/** All programs of one installation. */
class Site {
  readonly #files = mkdtempSync(join(tmpdir(), 'latchkey-several-'));
  readonly undo: (() => Promise<unknown> | unknown)[] = [];
  gatewayA!: ServeProgram;
  gatewayB!: ServeProgram;
  webA!: ServeProgram;
  webB!: ServeProgram;
  key!: SigningKey;
  databaseFlags: readonly string[] = [];
  data = '';
  postgres: PostgresServer | undefined;
  signerPort = 0;
  signer: ReturnType<typeof start> | undefined;
  #signerFlags: readonly string[] = [];
  certificates!: CertificateMaker;

  static async start(): Promise<Site> {
    const made = new Site();
    await made.#begin();
    return made;
  }

  async #begin(): Promise<void> {
    const postgres = await PostgresServer.start();
    this.postgres = postgres;
    this.undo.push(() => postgres.stop());
    const { host, port, user, database } = await postgres.database();
    this.databaseFlags = ['--database-url', `postgresql://${user}@${host}:${port}/${database}`];
    // The first start makes the installation and brings the database up to date.
    const whole = await new ServeProgram(this.databaseFlags).start();
    this.data = whole.data;
    this.undo.push(() => rmSync(this.data, { recursive: true, force: true }));
    await whole.stop();
    this.certificates = await CertificateMaker.open();
    this.undo.push(() => this.certificates.close());
    await this.#startSigner();
    this.key = await signingKeyFromSeed(seed());
    await adminClient(pathsIn(this.data).adminSocket)('operator.add', { name: 'admin', key: this.key.jwk });
    this.gatewayA = await this.#part('gateway', await this.signerFlags());
    this.gatewayB = await this.#part('gateway', []);
    this.webA = await this.#part('web', ['--agent-url', this.gatewayA.agentUrl]);
    this.webB = await this.#part('web', ['--agent-url', this.gatewayB.agentUrl]);
  }

  async #startSigner(): Promise<void> {
    this.signerPort = await freePort();
    this.#signerFlags = this.files(await this.certificates.make(), {
      cert: 'tls-cert',
      key: 'tls-key',
      ca: 'client-ca',
    });
    await this.startSigner();
    this.undo.push(() => {
      this.signer?.kill('SIGTERM');
      return this.signer && exitOf(this.signer);
    });
  }

  async killSigner(): Promise<void> {
    this.signer?.kill('SIGKILL');
    if (this.signer) await exitOf(this.signer);
  }

  async startSigner(): Promise<void> {
    const place = ['--data', this.data, '--listen', `127.0.0.1:${this.signerPort}`];
    this.signer = start(['signer', ...place, ...this.#signerFlags]);
    expect(await firstLine(this.signer)).toBe('{"event":"listening"}');
  }

  /** What a gateway of another host is told. */
  async signerFlags(): Promise<readonly string[]> {
    const own = await this.certificates.make({ purpose: 'clientAuth' });
    const names = { cert: 'signer-cert', key: 'signer-key', ca: 'signer-ca' };
    return ['--signer', `127.0.0.1:${this.signerPort}`, ...this.files(own, names)];
  }

  files({ cert, key }: { cert: string; key: string }, names: Record<'cert' | 'key' | 'ca', string>): string[] {
    const texts = { cert, key, ca: this.certificates.caPem };
    return (['cert', 'key', 'ca'] as const).flatMap((kind) => {
      const path = join(this.#files, names[kind]);
      writeFileSync(path, texts[kind], { mode: 0o600 });
      return [`--${names[kind]}`, path];
    });
  }

  async #part(role: string, flags: readonly string[]): Promise<ServeProgram> {
    const program = new ServeProgram([...this.databaseFlags, ...flags], this.data, role);
    this.undo.push(() => program.stop());
    return program.start();
  }

  async stop(): Promise<void> {
    for (const step of this.undo.splice(0).reverse()) await step();
    rmSync(this.#files, { recursive: true, force: true });
  }
}

let site: Site;
beforeAll(async () => {
  if (postgresPrograms() !== null && (await hasOpenssl())) site = await Site.start();
}, PROGRAMS_MS_MAX);
afterAll(() => site?.stop(), PROGRAMS_MS_MAX);
beforeEach((context) => {
  if (!site) unavailable(context, 'PostgreSQL, openssl', `${POSTGRES_COMMAND} openssl`);
});

async function eventually<T>(probe: () => Promise<T | null>, what: string): Promise<T> {
  for (const until = performance.now() + 45_000; performance.now() < until; ) {
    const found = await probe().catch(() => null);
    if (found !== null) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited in vain for ${what}`);
}

/** A new machine with its identity, and its id; not connected. */
async function enrolled(through: ServeProgram): Promise<{ agent: ScriptedAgent; vm: string }> {
  const agent = await ScriptedAgent.make(through.agentUrl);
  const { token } = (await site.webA.ask('POST', '/v1/join-tokens')).body;
  expect(await agent.enrol(String(token))).toBeNull();
  const { body } = await site.webA.ask('GET', '/v1/vms?limit=500');
  const vm = (body['items'] as { id: string; agent: string }[]).find((known) => known.agent === agent.agent)?.id;
  return { agent, vm: String(vm) };
}

async function draft(web: ServeProgram, vm: string): Promise<string> {
  const { body } = await web.ask('POST', '/v1/operations', { vm, account: { mode: 'generated' } });
  return String(body['op']);
}

async function proofOf(web: ServeProgram, op: string) {
  const { jwk } = await sealingKeyFromSeed(seed());
  const secret = { mode: 'generated', recipient_jwk: jwk };
  const { body } = await web.ask('POST', `/v1/operations/${op}/intent`, { account: { secret } });
  const hash = Uint8Array.from(fromBase64url(String(body['intent_hash'])));
  const sig = toBase64url(new Uint8Array(await crypto.subtle.sign('Ed25519', site.key.privateKey, hash)));
  return { method: 'key', kid: site.key.kid, sig };
}

async function approve(web: ServeProgram, op: string): Promise<number> {
  return (await web.ask('POST', `/v1/operations/${op}/submit`, await proofOf(web, op))).status;
}

const view = async (web: ServeProgram, op: string) => (await web.ask('GET', `/v1/operations/${op}`)).body;
const until = (web: ServeProgram, op: string, state: string) =>
  eventually(async () => ((await view(web, op))['state'] === state ? true : null), `${op} to be ${state}`);
const isOnline = async (web: ServeProgram, vm: string) => (await web.ask('GET', `/v1/vms/${vm}`)).body['online'];

describe('a machine', { timeout: PROGRAMS_MS_MAX }, () => {
  test('at one gateway is reset through any web, and seen live there', async () => {
    const { agent, vm } = await enrolled(site.gatewayA);
    await agent.online();
    await eventually(async () => ((await isOnline(site.webB, vm)) ? true : null), 'the machine to be online');
    const op = await draft(site.webB, vm);
    const watched = fetch(`${site.webA.origin}/v1/operations/${op}/events`, {
      headers: { authorization: `Bearer ${site.webA.apiKey}` },
    }).then(({ body }) => readUntil(body as ReadableStream<Uint8Array>, '"state":"DONE"'));
    await agent.answerPrepare();
    await until(site.webB, op, 'PREPARED');
    expect(await approve(site.webB, op)).toBe(200);
    await agent.takeCommand();
    await agent.carryOut(op);
    await until(site.webA, op, 'DONE');
    const states = [...(await watched).matchAll(/"state":"([A-Z_]+)"/g)].map(([, state]) => state);
    expect(states.slice(0, 3)).toEqual(['QUEUED', 'PREPARED', 'SENT']);
    expect(states.at(-1)).toBe('DONE');
    await agent.offline();
    // As in the log of the one program: the line is the request's that caused it.
    const approved = site.webB
      .stderr()
      .split('\n')
      .filter((line) => line.includes('"msg":"approved"'));
    expect(approved.map((line) => JSON.parse(line) as object)).toEqual([
      expect.objectContaining({ part: 'web', op, request: expect.any(String) }),
    ]);
  });

  test('answers a web’s question through the gateway that has it', async () => {
    const { agent, vm } = await enrolled(site.gatewayB);
    expect((await site.webA.ask('POST', `/v1/vms/${vm}/preflight`, {})).body['code']).toBe('AGENT_OFFLINE');
    await agent.online();
    await eventually(async () => ((await isOnline(site.webA, vm)) ? true : null), 'the machine to be online');
    // This agent speaks a version without preflights: the refusal is its gateway's.
    const { body } = await site.webA.ask('POST', `/v1/vms/${vm}/preflight`, {});
    expect(body['code']).toBe('VERSION_UNSUPPORTED');
    await agent.offline();
  });

  test('moves to another gateway when its line drops, and is held where the first still answers', async () => {
    const { agent, vm } = await enrolled(site.gatewayA);
    await agent.online();
    await agent.offline();
    agent.url = site.gatewayB.agentUrl;
    await agent.online();
    const twin = agent.clone(site.gatewayA.agentUrl);
    await twin.connect();
    const held = async () =>
      (await site.webB.ask('GET', `/v1/vms/${vm}`)).body['quarantine'] as { code: string } | null;
    // At the latest when the second one is written down: the first may not be yet when it is asked for.
    expect((await eventually(held, 'the quarantine')).code).toBe('CLONE_SUSPECTED');
    await agent.wire.closed;
    await eventually(async () => ((await isOnline(site.webA, vm)) === false ? true : null), 'both to be out');
  });
});

describe('a gateway that is killed', { timeout: PROGRAMS_MS_MAX }, () => {
  test('gives its machines to another one: no operation is lost, and none is done twice', async () => {
    const machines = await Promise.all([enrolled(site.gatewayA), enrolled(site.gatewayA), enrolled(site.gatewayA)]);
    const [sent, approved, drafted] = machines as [Machine, Machine, Machine];
    const ops: string[] = [];
    for (const { agent, vm } of machines) {
      await agent.online();
      const op = await draft(site.webB, vm);
      ops.push(op);
      await agent.answerPrepare();
      await until(site.webB, op, 'PREPARED');
    }
    const [sentOp = '', approvedOp = '', draftedOp = ''] = ops;
    expect(await approve(site.webB, sentOp)).toBe(200);
    const first = await sent.agent.takeCommand();
    await sent.agent.report(sentOp, 'ACCEPTED');
    await until(site.webB, sentOp, 'ACCEPTED');
    await site.gatewayA.kill();
    for (const { agent } of machines) await agent.wire.closed;
    expect(await approve(site.webB, approvedOp)).toBe(200);
    for (const { agent } of machines) agent.url = site.gatewayB.agentUrl;

    await sent.agent.connect();
    for (const receipt of sent.agent.receipts(sentOp)) sent.agent.sendReceipt(receipt);
    sent.agent.wire.send({ t: 'synced', open: sentOp });
    for (const state of ['PASSWORD_SET', 'REBOOTING', 'BOOTED', 'DONE'] as const)
      await sent.agent.report(sentOp, state);
    await until(site.webA, sentOp, 'DONE');
    const receipts = (await view(site.webA, sentOp))['receipts'] as { n: number }[];
    expect(receipts.map(({ n }) => n)).toEqual([1, 2, 3, 4, 5]);

    await approved.agent.online();
    await approved.agent.answerPrepare();
    const second = await approved.agent.takeCommand();
    expect(second.op).toBe(approvedOp);
    await approved.agent.carryOut(approvedOp);
    await until(site.webA, approvedOp, 'DONE');

    // Nobody came back for it: its ready went with the gateway.
    await eventually(async () => ((await isOnline(site.webA, drafted.vm)) === false ? true : null), 'it to be offline');
    await until(site.webA, draftedOp, 'QUEUED');

    const commands = signedCommands();
    expect(commands.get(sentOp)).toBe(1);
    expect(commands.get(approvedOp)).toBe(1);
    expect(first.token).not.toBe(second.token);
    await site.gatewayA.start();
  });
});

describe('a web that is killed', { timeout: PROGRAMS_MS_MAX }, () => {
  test('in the middle of a submission has spent one proof on one submission, and another web knows', async () => {
    const { agent, vm } = await enrolled(site.gatewayA);
    const op = await draft(site.webB, vm);
    const proof = await proofOf(site.webB, op);
    const cut = site.webB.ask('POST', `/v1/operations/${op}/submit`, proof).catch(() => null);
    await site.webB.kill();
    await cut;
    const again = await site.webA.ask('POST', `/v1/operations/${op}/submit`, proof);
    expect([200, 409]).toContain(again.status);
    expect(await view(site.webA, op)).toMatchObject({ state: 'QUEUED', approved: true });
    await agent.online();
    await agent.answerPrepare();
    expect((await agent.takeCommand()).op).toBe(op);
    await agent.carryOut(op);
    await until(site.webA, op, 'DONE');
    expect(signedCommands().get(op)).toBe(1);
    await agent.offline();
    await site.webB.start();
  });
});

describe('a signer that is killed', { timeout: PROGRAMS_MS_MAX }, () => {
  test('is waited for: what was proven is signed when it is back, once, and nothing is proven meanwhile', async () => {
    const { agent, vm } = await enrolled(site.gatewayA);
    const op = await draft(site.webA, vm);
    expect(await approve(site.webA, op)).toBe(200);
    await site.killSigner();
    await agent.online();
    await agent.answerPrepare();
    await until(site.webA, op, 'PREPARED');
    const other = await enrolled(site.gatewayA);
    const unsigned = await draft(site.webB, other.vm);
    const secret = { mode: 'generated', recipient_jwk: (await sealingKeyFromSeed(seed())).jwk };
    const { status, body } = await site.webB.ask('POST', `/v1/operations/${unsigned}/intent`, { account: { secret } });
    expect([status, body['code']]).toEqual([503, 'SIGNER_UNAVAILABLE']);
    expect(agent.wire.waiting('command')).toBe(0);
    await site.startSigner();
    expect((await agent.takeCommand()).op).toBe(op);
    await agent.carryOut(op);
    await until(site.webB, op, 'DONE');
    expect(signedCommands().get(op)).toBe(1);
    await agent.offline();
  });
});

describe('a signer of another host', { timeout: PROGRAMS_MS_MAX }, () => {
  test('listens to nobody without a certificate of its authority, and is believed by nobody without one', async () => {
    const place = { host: '127.0.0.1', port: site.signerPort };
    const ask = (tls: { cert: string; key: string; ca: string }) =>
      signerClient({ ...place, tls })('alarms', { after: 0 }).then(
        () => 'answered',
        (error: { code?: string }) => error.code,
      );
    const { caPem: ca } = site.certificates;
    const own = await site.certificates.make({ purpose: 'clientAuth' });
    const strange = await site.certificates.make({ authority: 'other', purpose: 'clientAuth' });
    const self = await site.certificates.make({ authority: 'self' });
    expect(await ask({ ...own, ca })).toBe('answered');
    expect(await ask({ ...strange, ca })).toBe('SIGNER_UNAVAILABLE');
    expect(await ask({ ...self, ca })).toBe('SIGNER_UNAVAILABLE');
    expect(await ask({ cert: '', key: '', ca })).toBe('SIGNER_UNAVAILABLE');
    expect(await ask({ ...own, ca: self.cert })).toBe('SIGNER_UNAVAILABLE');
  });
});

describe('a part of it does not start', { timeout: PROGRAMS_MS_MAX }, () => {
  test.each([
    ['gateway', [], 'database-url'],
    ['web', ['--database-url', 'postgresql://me@127.0.0.1/x'], 'agent-url'],
    ['gateway', ['--signer', '127.0.0.1:1'], 'signer-cert'],
    ['signer', ['--listen', '127.0.0.1:0'], 'tls-cert'],
  ] as const)('%s %j names %s', async (role, flags, field) => {
    const { code, stderr } = await run([role, '--data', site.data, ...flags]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^\S*.*CONFIG_INVALID/);
    expect(stderr).toContain(field);
  });

  test('over a database that is not up to date', async () => {
    const { host, port, user } = (site.postgres as PostgresServer).placeOf('postgres');
    const flags = ['--database-url', `postgresql://${user}@${host}:${port}/postgres`];
    const { code, stderr } = await run(['gateway', '--data', site.data, ...flags]);
    expect(code).toBe(1);
    expect(stderr).toContain('DATABASE_OLDER');
  });
});

type Machine = Readonly<{ agent: ScriptedAgent; vm: string }>;

async function readUntil(stream: ReadableStream<Uint8Array>, word: string): Promise<string> {
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes(word)) break;
  }
  return text;
}

/** How many commands the signer signed for each operation, as its own database says. */
function signedCommands(): ReadonlyMap<string, number> {
  const db = new DatabaseSync(pathsIn(site.data).signerDatabase, { readOnly: true });
  try {
    const rows = db.prepare("SELECT op, count(*) AS count FROM minted WHERE kind = 'reset' GROUP BY op").all();
    return new Map(rows.map(({ op, count }) => [String(op), Number(count)]));
  } finally {
    db.close();
  }
}
