// Gateway and API over one data folder, with the signer at its socket: the half of the control plane that networks reach. It
// can ask the signer and nothing more; where the processes are users of their own, it cannot even read what the signer has.

import { hostname } from 'node:os';
import type { Logger } from 'pino';
import type { Code } from '../protocol/codes.ts';
import { codeOf, Failure } from '../protocol/failure.ts';
import { sha256Text, toBase64url } from '../protocol/keys.ts';
import { relayAlarms } from './api/alarms.ts';
import { recoverApprovals } from './api/approval.ts';
import { recoverBulks } from './api/bulk.ts';
import type { ApiParts } from './api/parts.ts';
import { buildDoorman, buildServer } from './api/server.ts';
import { SessionAuthority } from './config/authority.ts';
import { readIfThere } from './config/files.ts';
import { openInstallation, readInstallation, type Surroundings } from './config/installation.ts';
import type { ServeOptions, Tls } from './config/options.ts';
import { type Paths, pathsIn } from './config/paths.ts';
import { namesOf, selfSigned } from './config/self-signed.ts';
import { Agents } from './gateway/agents.ts';
import { AGENT_PATH, DOOR_LIMITS, openDoor } from './gateway/endpoint.ts';
import { Gateway } from './gateway/gateway.ts';
import type { GatewayParts } from './gateway/parts.ts';
import { startPostman } from './letters/postman.ts';
import { Front } from './listener/front.ts';
import { Observer } from './observability/observer.ts';
import { openTraces } from './observability/traces.ts';
import { nobody } from './people/sign-in.ts';
import { signerClient } from './signer/client.ts';
import type { Mailer } from './signer/mailer.ts';
import { operationsUnderWatch } from './store/operations.ts';
import { anyOperator, insertOperator } from './store/operators.ts';
import { cookieSecret } from './store/people.ts';
import { Store } from './store/store.ts';
import { ATTEMPT_MS_MAX, startCourier } from './webhooks/courier.ts';

const REQUESTS_PER_MINUTE_MAX = 6_000;
/** From one address. */
const SIGN_INS_PER_MINUTE_MAX = 10;
/** As RFC 8628 has it. */
const LOGIN_POLL_S = 5;
/** Whose key the file `api-key` is. */
const FIRST_MEMBER = { operator: 'admin', project: 'default', role: 'admin' } as const;

/** What ends it again, in the order in which it was begun. */
export type Undo = (() => Promise<void> | void)[];
export type WebParts = Readonly<{
  around: Surroundings;
  log: Logger;
  undo: Undo;
  startSigner: () => Promise<void>;
  /** For owners of machines; `null` where there is no mail. */
  mailer: Mailer | null;
}>;
/** `serve` is both, over an installation that it makes; alone each shares a database that is up to date with others. */
export type Role = 'both' | 'gateway' | 'web';

/** The address at which it listens. Throws the code of the first thing that is wrong; `undo` ends what was begun. */
export async function openWeb(
  options: ServeOptions,
  { around, log, undo, startSigner, mailer }: WebParts,
  role: Role = 'both',
): Promise<string> {
  const paths = pathsIn(options.data);
  const { randomBytes, nowMs } = around;
  const names = namesOf(options);
  const renewed = () => selfSigned(paths, names, around);
  const tls = options.tlsSelfSigned ? await renewed() : options.tls;
  const alone = role !== 'both';
  const installation = alone ? await readInstallation(paths, nowMs()) : await openInstallation(paths, around);
  const store = await Store.open(options.database ?? { file: paths.database }, { upToDate: alone });
  undo.push(() => store.close());
  if (!alone) await admitFirstOperator(paths, store, nowMs());
  await startSigner();
  const ask = signerClient(options.signer ?? paths.signerSocket);
  const observer = options.metrics ? await Observer.open({ store, signer: ask }) : null;
  const signer = observer?.signer ?? ask;

  const ground = {
    ...{ store, signer, installation, randomBytes, nowMs, log },
    onHandshakeRefused: (code: Code) => observer?.countRefusedHandshake(code),
  };
  const traces = options.traces && role !== 'gateway' ? await openTraces(options.traces) : null;
  if (traces) undo.push(() => traces.stop());
  const gateway = role === 'web' ? null : await makeGateway(paths, ground, options);
  const addresses = { agent: '', url: '' };
  const parts: ApiParts = {
    ...ground,
    agents: new Agents(store, gateway),
    agentUrl: () => addresses.agent,
    caPem: tls?.caPem ?? '',
    people: role === 'gateway' ? nobody : await peopleOf(store, options, () => addresses.url, around),
    loginPollS: LOGIN_POLL_S,
    publicUrl: () => addresses.url,
    requestsPerMinuteMax: REQUESTS_PER_MINUTE_MAX,
    webhooks: options.webhooks,
    traces,
    mailer,
  };
  if (role !== 'gateway') {
    await recoverApprovals(parts, await operationsUnderWatch(store.db));
    await recoverBulks(parts);
  }
  const fronts = await openFronts(parts, tls, options, role);
  const all = [...new Set([fronts.main, fronts.agents])];
  for (const front of all) undo.push(() => front.close());
  if (options.tlsSelfSigned) undo.push(renewDaily(all, renewed, log));
  if (gateway) {
    const { app, guard } = fronts.agents;
    const closeDoor = openDoor(app.server, gateway, DOOR_LIMITS, (request) => guard.addressOf(request));
    undo.push(() => gateway.stop());
    undo.push(closeDoor);
    await gateway.start();
  }
  if (role !== 'gateway') undo.push(relayAlarms(parts), bringWebhooks(parts));
  if (mailer && role !== 'gateway') undo.push(startPostman({ store, mailer, origin: () => addresses.url, log }));
  if (observer && options.metrics) undo.push(await observer.show(options.metrics, log));
  const ports = { main: await fronts.main.listen(), agents: 0 };
  ports.agents = fronts.agents === fronts.main ? ports.main : await fronts.agents.listen();
  // The first thing to be done at the end: whoever comes from now on is the next program's.
  undo.push(() => {
    for (const front of all) front.deafen();
  });
  const { url, agentUrl } = addressesOf({ ...options, tls }, ports);
  Object.assign(addresses, { agent: agentUrl, url });
  announce(log, options, url);
  return url;
}

function bringWebhooks({ store, webhooks, randomBytes, nowMs, log }: ApiParts): () => Promise<void> {
  const to = { ...webhooks, timeoutMs: ATTEMPT_MS_MAX };
  return startCourier({ store, to, randomBytes, nowMs, log });
}

/** Where operators and agents are let in: the same, unless agents have a listener of their own. */
async function openFronts(
  parts: ApiParts,
  tls: Tls | null,
  { host, port, listeners }: ServeOptions,
  role: Role,
): Promise<Readonly<{ main: Front; agents: Front }>> {
  const { agentListen, agentProxies, trustedProxies, connections } = listeners;
  const forAgents = { limits: connections.agents, trust: { places: agentProxies, by: 'line' } } as const;
  const forOperators = { limits: connections.operators, trust: { places: trustedProxies, by: 'header' } } as const;
  const place = { host, port };
  if (role === 'gateway') {
    const front = new Front(buildDoorman(parts, tls), { place, field: 'listen', ...forAgents }, parts.log);
    return { main: front, agents: front };
  }
  const app = await buildServer(parts, tls, trustedProxies);
  if (role === 'both' && agentListen) {
    const agents = { place: agentListen, field: 'agent-listen', ...forAgents } as const;
    return {
      main: new Front(app, { place, field: 'listen', ...forOperators }, parts.log),
      agents: new Front(buildDoorman(parts, tls), agents, parts.log),
    };
  }
  // A proxy's line stands before a connection, and one connection may carry requests of many operators.
  if (agentProxies.length > 0) throw new Failure('CONFIG_INVALID', { field: 'agent-proxy', reason: 'agent_listen' });
  const limits = role === 'web' ? connections.operators : connections.agents;
  const front = new Front(app, { place, field: 'listen', ...forOperators, limits }, parts.log);
  return { main: front, agents: front };
}

/** Its secret is the database's, so that somebody who signed in at one web is known at the others. */
async function peopleOf(store: Store, { oidc }: ServeOptions, origin: () => string, { randomBytes }: Surroundings) {
  const { lazily } = await import('./people/people.ts');
  const secret = await cookieSecret(store, () => toBase64url(randomBytes(32)));
  return lazily(() => ({ db: store.db, secret, origin: origin(), oidc, signInsPerMinuteMax: SIGN_INS_PER_MINUTE_MAX }));
}

type Ground = Omit<GatewayParts, 'id' | 'authority' | 'retention'>;

async function makeGateway(paths: Paths, ground: Ground, { retention }: ServeOptions): Promise<Gateway> {
  const authority = await SessionAuthority.open(paths);
  return new Gateway({ ...ground, id: toBase64url(ground.randomBytes(12)), authority, retention });
}

/** The key file of the first start belongs to the first operator. Later changes to the file change nothing. */
async function admitFirstOperator(paths: Paths, store: Store, at: number): Promise<void> {
  if (await anyOperator(store.db)) return;
  const key = readIfThere(paths.apiKey)?.trim() ?? '';
  if (!/^lk_[A-Za-z0-9_-]{43}$/.test(key)) throw new Failure('CONFIG_INVALID', { file: 'api-key' });
  const sha256 = await sha256Text(key);
  await store.write((trx) => insertOperator(trx, FIRST_MEMBER, sha256, at));
}

/** `localhost` rather than the loopback's number: a passkey cannot live on an IP address. */
function addressesOf(
  { host, publicUrl, agentUrl, tls, listeners }: ServeOptions,
  ports: Readonly<{ main: number; agents: number }>,
) {
  const url =
    publicUrl ?? `${tls ? 'https' : 'http'}://${host === '127.0.0.1' ? 'localhost' : nameOf(host)}:${ports.main}`;
  const { agentListen } = listeners;
  const own = `${tls ? 'wss' : 'ws'}://${nameOf(agentListen?.host ?? host)}:${ports.agents}`;
  const forAgents = agentListen ? own : (publicUrl?.replace(/^http/, 'ws') ?? own);
  return { url, agentUrl: agentUrl ?? `${forAgents}${AGENT_PATH}` };
}

/** By which others reach what listens there. */
function nameOf(host: string): string {
  if (host === '0.0.0.0' || host === '::') return hostname();
  return host.includes(':') ? `[${host}]` : host;
}

const DAY_MS = 86_400_000;

function renewDaily(fronts: readonly Front[], renewed: () => Promise<Tls>, log: Logger): () => void {
  const timer = setInterval(() => {
    renewed().then(
      (tls) => {
        for (const front of fronts) front.renew(tls);
      },
      (error: unknown) => log.error({ code: codeOf(error) ?? 'INTERNAL' }, 'the certificate was not renewed'),
    );
  }, DAY_MS);
  timer.unref();
  return () => clearInterval(timer);
}

function announce(log: Logger, { data, host }: ServeOptions, url: string): void {
  log.info({ url, data, host }, 'listening');
}
