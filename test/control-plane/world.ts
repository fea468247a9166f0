// A whole control plane inside the test's process, over a temporary folder and a clock that the test moves: gateway, API and
// signer as `serve` composes them, on real sockets.

import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { z } from 'zod';
import type { ApiParts } from '../../control-plane/api/parts.ts';
import {
  type IntentResponse,
  type OperationView,
  operationView,
  type VmView,
} from '../../control-plane/api/schemas.ts';
import type { JoinTokenCreated } from '../../control-plane/api/schemas-installation.ts';
import { buildServer } from '../../control-plane/api/server.ts';
import { SessionAuthority } from '../../control-plane/config/authority.ts';
import { openInstallation } from '../../control-plane/config/installation.ts';
import { pathsIn } from '../../control-plane/config/paths.ts';
import { Agents } from '../../control-plane/gateway/agents.ts';
import { AGENT_PATH, DOOR_LIMITS, type DoorLimits, openDoor } from '../../control-plane/gateway/endpoint.ts';
import { Gateway } from '../../control-plane/gateway/gateway.ts';
import { openLog } from '../../control-plane/log.ts';
import { lazily, type PeopleParts } from '../../control-plane/people/people.ts';
import { adminClient, type SignerClient, signerClient } from '../../control-plane/signer/client.ts';
import { SignerLedger } from '../../control-plane/signer/ledger.ts';
import type { Letter, Mailer } from '../../control-plane/signer/mailer.ts';
import { serveSigner } from '../../control-plane/signer/server.ts';
import { insertOperator } from '../../control-plane/store/operators.ts';
import { cookieSecret } from '../../control-plane/store/people.ts';
import { RETENTION_DEFAULT } from '../../control-plane/store/retention.ts';
import { Store } from '../../control-plane/store/store.ts';
import { Failure } from '../../protocol/failure.ts';
import {
  fromBase64url,
  type SigningKey,
  sealingKeyFromSeed,
  sha256Text,
  signingKeyFromSeed,
  toBase64url,
} from '../../protocol/keys.ts';
import type { X25519Jwk } from '../../protocol/schema.ts';
import { demandListed } from './refusals-listed.ts';
import { ScriptedAgent } from './scripted-agent.ts';
import { commandAuthority } from './signer/desk.ts';

const kernel = (count: number) => Uint8Array.from(randomBytes(count));

export type Answer = Readonly<{ status: number; body: Record<string, unknown>; headers: Headers }>;

type Limits = DoorLimits & Pick<ApiParts, 'requestsPerMinuteMax'> & Pick<PeopleParts, 'oidc' | 'signInsPerMinuteMax'>;

export class World {
  /** Milliseconds since 1970; tests add to it. */
  now = Date.now();
  readonly data = mkdtempSync(join(tmpdir(), 'latchkey-world-'));
  readonly apiKey = `lk_${toBase64url(kernel(32))}`;
  /** Everything that was logged. */
  readonly logged: string[] = [];
  /** Every letter that was sent. */
  readonly letters: Letter[] = [];
  /** Takes no letter while this says so. */
  mailIsDown = false;
  readonly #mailer: Mailer = {
    send: async (letter) => {
      if (this.mailIsDown) throw new Failure('MAIL_UNAVAILABLE', { reason: 'down' });
      this.letters.push(letter);
    },
  };
  readonly #undo: (() => Promise<unknown> | unknown)[] = [];
  origin = '';
  /** What happens, once, while the signer is asked for that. */
  readonly meanwhile = new Map<string, () => Promise<unknown>>();
  /** What the signer is asked for, once, with its answer lost on the way. */
  readonly lost = new Set<string>();
  #recipient: X25519Jwk | undefined;
  #store: Store | undefined;
  #gateway: Gateway | undefined;
  #key: SigningKey | undefined;
  #signerUp: (() => Promise<void>) | undefined;
  #signerDown: (() => Promise<void>) | undefined;

  static async start(limits: Partial<Limits> = {}): Promise<World> {
    const world = new World();
    await world.#assemble(limits);
    return world;
  }

  get store(): Store {
    return given(this.#store);
  }

  get gateway(): Gateway {
    return given(this.#gateway);
  }

  /** The operator's registered automation key. */
  get key(): SigningKey {
    return given(this.#key);
  }

  /** By name: a passkey cannot live on an address. */
  get publicUrl(): string {
    return this.origin.replace('127.0.0.1', 'localhost');
  }

  get agentUrl(): string {
    return `${this.origin.replace('http', 'ws')}${AGENT_PATH}`;
  }

  get admin() {
    return adminClient(pathsIn(this.data).adminSocket);
  }

  async stop(): Promise<void> {
    for (const step of this.#undo.splice(0).reverse()) await step();
    rmSync(this.data, { recursive: true, force: true });
  }

  async stopSigner(): Promise<void> {
    await this.#signerDown?.();
  }

  async startSigner(): Promise<void> {
    await this.#signerUp?.();
  }

  async #assemble(limits: Partial<Limits>): Promise<void> {
    const paths = pathsIn(this.data);
    const nowMs = () => this.now;
    const { log } = this;
    const installation = await openInstallation(paths, { randomBytes: kernel, nowMs });
    const authority = await SessionAuthority.open(paths);
    const store = await Store.open({ file: paths.database });
    this.#store = store;
    this.#undo.push(() => store.close());
    const apiKeySha256 = await sha256Text(this.apiKey);
    const admin = { operator: 'admin', project: 'default', role: 'admin' } as const;
    await store.write((trx) => insertOperator(trx, admin, apiKeySha256, this.now));
    this.#signerUp = () => this.#openSigner(log);
    await this.#openSigner(log);
    this.#undo.push(() => this.#signerDown?.());
    const ask = signerClient(paths.signerSocket);
    const signer: SignerClient = async (method, params) => {
      const meanwhile = this.meanwhile.get(method);
      this.meanwhile.delete(method);
      await meanwhile?.();
      const answer = await ask(method, params);
      if (this.lost.delete(method)) throw new Failure('SIGNER_UNAVAILABLE', { reason: 'timeout' });
      return answer;
    };
    const common = { store, signer, installation, randomBytes: kernel, nowMs, log };
    const gateway = new Gateway({ ...common, id: toBase64url(kernel(12)), retention: RETENTION_DEFAULT, authority });
    this.#gateway = gateway;
    const secret = await cookieSecret(store, () => toBase64url(kernel(32)));
    const requestsPerMinuteMax = limits.requestsPerMinuteMax ?? 100_000;
    const api: ApiParts = {
      ...common,
      agents: new Agents(store, gateway),
      agentUrl: () => this.agentUrl,
      caPem: '',
      people: lazily(() => ({
        ...{ db: store.db, secret, origin: this.publicUrl, oidc: limits.oidc ?? null },
        signInsPerMinuteMax: limits.signInsPerMinuteMax ?? 1_000,
      })),
      mailer: this.#mailer,
      loginPollS: 1,
      publicUrl: () => this.publicUrl,
      requestsPerMinuteMax,
      webhooks: { allowed: [['127.0.0.0', 8]], ca: null },
    };
    const app = await buildServer(api, null);
    this.#undo.push(() => app.close());
    const closeDoor = openDoor(app.server, gateway, { ...DOOR_LIMITS, ...limits });
    this.#undo.push(() => gateway.stop(), closeDoor);
    await gateway.start();
    await app.listen({ host: '127.0.0.1', port: 0 });
    this.origin = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
    this.#key = await signingKeyFromSeed(kernel(32));
    await this.admin('operator.add', { name: 'admin', key: this.key.jwk });
  }

  async #openSigner(log: Logger): Promise<void> {
    const paths = pathsIn(this.data);
    mkdirSync(paths.signerFolder, { recursive: true });
    const ledger = SignerLedger.open(paths.signerDatabase);
    const authority = await commandAuthority(this.data);
    const parts = {
      ledger,
      authority,
      randomBytes: kernel,
      nowS: () => Math.floor(this.now / 1000),
      mailer: this.#mailer,
      origin: () => this.publicUrl,
      log,
    };
    const server = await serveSigner(parts, { signer: paths.signerSocket, admin: paths.adminSocket }, log);
    this.#signerDown = async () => {
      this.#signerDown = undefined;
      await server.close();
      ledger.close();
    };
  }

  get log(): Logger {
    return openLog('world', 'debug', { write: (line: string) => this.logged.push(line) });
  }

  async ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const response = await fetch(`${this.origin}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.apiKey}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const answer = text === '' ? {} : JSON.parse(text);
    if (response.status >= 400) demandListed(method, path, answer.code);
    return { status: response.status, body: answer, headers: response.headers };
  }

  /** Another operator, with a key. */
  async operator(name: string): Promise<{ headers: Record<string, string>; key: SigningKey }> {
    const { body } = await this.ask('POST', '/v1/operators', { name });
    const key = await signingKeyFromSeed(kernel(32));
    await this.admin('operator.add', { name, key: key.jwk });
    return { headers: { authorization: `Bearer ${String(body['api_key'])}` }, key };
  }

  async joinToken(body: object = {}): Promise<JoinTokenCreated> {
    return (await this.ask('POST', '/v1/join-tokens', body)).body as JoinTokenCreated;
  }

  /** A new machine with its identity, not connected. */
  async enrolled(name?: string): Promise<ScriptedAgent> {
    return this.enrolledWith((await this.joinToken(name === undefined ? {} : { name })).token);
  }

  async enrolledWith(token: string): Promise<ScriptedAgent> {
    const agent = await ScriptedAgent.make(this.agentUrl);
    const refused = await agent.enrol(token);
    if (refused !== null) throw new Error(`enrolment refused: ${refused}`);
    return agent;
  }

  /** A new machine, connected and idle. */
  async machine(name?: string): Promise<ScriptedAgent> {
    return (await this.enrolled(name)).online();
  }

  async vmOf({ agent }: ScriptedAgent): Promise<VmView> {
    const { body } = await this.ask('GET', '/v1/vms?limit=500');
    const found = (body['items'] as VmView[]).find((vm) => vm.agent === agent);
    return given(found);
  }

  async draft(agent: ScriptedAgent, body: object = { account: { mode: 'generated' } }): Promise<OperationView> {
    const { id } = await this.vmOf(agent);
    const { status, body: view } = await this.ask('POST', '/v1/operations', { vm: id, ...body });
    if (status !== 201) throw new Error(`no draft: ${JSON.stringify(view)}`);
    return read(operationView, view);
  }

  async operation(op: string): Promise<OperationView> {
    return read(operationView, (await this.ask('GET', `/v1/operations/${op}`)).body);
  }

  /** Waits until the operation is in that state; a state that never comes is the test's failure. */
  async until(op: string, state: OperationView['state']): Promise<OperationView> {
    return this.eventually(async () => {
      const operation = await this.operation(op);
      return operation.state === state ? operation : null;
    }, `${op} to be ${state}`);
  }

  async eventually<T>(probe: () => Promise<T | null>, what: string): Promise<T> {
    for (const until = performance.now() + 10_000; performance.now() < until; ) {
      const found = await probe();
      if (found !== null) return found;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`waited in vain for ${what}`);
  }

  async recipient(): Promise<X25519Jwk> {
    this.#recipient ??= (await sealingKeyFromSeed(kernel(32))).jwk;
    return this.#recipient;
  }

  /** An intent for generated secrets in the draft's slots. */
  async intent({ op, account, vnc }: OperationView, more: object = {}): Promise<IntentResponse> {
    const secret = { mode: 'generated', recipient_jwk: await this.recipient() };
    const body = { ...(account ? { account: { secret } } : {}), ...(vnc ? { vnc: { secret } } : {}), ...more };
    const answer = await this.ask('POST', `/v1/operations/${op}/intent`, body);
    if (answer.status !== 200) throw new Error(`no intent: ${JSON.stringify(answer.body)}`);
    return answer.body as IntentResponse;
  }

  /** The proof of the registered key for that intent. */
  async keyProof(intentHash: string, key: SigningKey = this.key) {
    const sig = await crypto.subtle.sign('Ed25519', key.privateKey, Uint8Array.from(fromBase64url(intentHash)));
    return { method: 'key', kid: key.kid, sig: toBase64url(new Uint8Array(sig)) };
  }

  async approve(draft: OperationView, more: object = {}): Promise<Answer> {
    const { intent_hash } = await this.intent(draft, more);
    return this.ask('POST', `/v1/operations/${draft.op}/submit`, await this.keyProof(intent_hash));
  }

  /** An approved operation whose command the agent has taken. */
  async sent(agent: ScriptedAgent, body?: object): Promise<{ op: string; token: string }> {
    const draft = await this.draft(agent, body);
    await agent.answerPrepare();
    await this.until(draft.op, 'PREPARED');
    await this.approve(draft);
    return agent.takeCommand();
  }

  async events(path = '/v1/events'): Promise<{ type: string; data: Record<string, unknown>; op: string | null }[]> {
    const rows = await this.store.db.selectFrom('events').selectAll().orderBy('id').execute();
    return rows
      .filter(({ op, vm }) => path === '/v1/events' || op === path || vm === path)
      .map(({ type, data_json, op }) => ({ type, data: JSON.parse(data_json), op }));
  }
}

function read<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  return schema.parse(value);
}

function given<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('not there');
  return value;
}
