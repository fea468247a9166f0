// nginx as Debian has it, with the configuration that is shipped, before a control plane with the settings that it names: agents go
// through with TLS from end to end, operators and their event streams too, and nobody can say that they are somebody else.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ControlPlaneSocket } from '../../../agent/link/socket.ts';
import { complete, draftOf, nextRoot, sign } from '../../../control-plane/cli/keys/root-draft.ts';
import { issueFor, makeAuthority } from '../../../control-plane/config/certificates.ts';
import { readKey } from '../../../control-plane/config/key-file.ts';
import { pathsIn } from '../../../control-plane/config/paths.ts';
import { TrustChain } from '../../../control-plane/config/trust-chain.ts';
import { unavailable } from '../../requirements.ts';
import { exitOf, firstLine, start } from '../program.ts';
import { ScriptedAgent } from '../scripted-agent.ts';
import { freePort } from '../store/postgres-server.ts';

const SHIPPED = readFileSync(join(import.meta.dirname, '../../../control-plane/install/nginx/nginx.conf'), 'utf8');
const START_MS_MAX = 120_000;
const around = {
  nowMs: () => Date.now(),
  randomBytes: (count: number) => crypto.getRandomValues(new Uint8Array(count)),
};
const folder = mkdtempSync(join(tmpdir(), 'latchkey-nginx-'));
const paths = pathsIn(join(folder, 'data'));
const children: ChildProcess[] = [];
const ports = { public: 0, site: 0, operators: 0, agents: 0 };
let siteCa = '';
let apiKey = '';

const hasNginx = (): boolean =>
  spawnSync('nginx', ['-v']).status === 0 && existsSync('/usr/lib/nginx/modules/ngx_stream_module.so');

/** Each of these is in the text once, or as often as is said. */
function replaced(text: string, changes: readonly (readonly [from: string, to: string, times?: number])[]): string {
  return changes.reduce((so, [from, to, times = 1]) => {
    expect([from, so.split(from).length - 1]).toEqual([from, times]);
    return so.replaceAll(from, to);
  }, text);
}

/** The settings that the file says go with it, at other ports, and with a small limit that can be seen. */
function settings(): Record<string, string> {
  const told = Object.fromEntries(
    [...SHIPPED.matchAll(/^# {3}(LATCHKEY_\w+)=(.*)$/gm)].map(([, name = '', value = '']) => [name, value]),
  );
  expect(told).toMatchObject({ LATCHKEY_LISTEN: '127.0.0.1:8420', LATCHKEY_AGENT_LISTEN: '127.0.0.1:8421' });
  return {
    ...told,
    LATCHKEY_LISTEN: `127.0.0.1:${ports.operators}`,
    LATCHKEY_AGENT_LISTEN: `127.0.0.1:${ports.agents}`,
    LATCHKEY_AGENT_CONNECTIONS_PER_ADDRESS_MAX: '2',
  };
}

async function startNginx(): Promise<void> {
  const authority = await makeAuthority('a public authority', 1, around);
  const site = await issueFor(['control.example'], 1, authority, around);
  siteCa = authority.cert;
  writeFileSync(join(folder, 'site.pem'), site.cert);
  writeFileSync(join(folder, 'site.key'), site.key, { mode: 0o600 });
  const temps = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const file = join(folder, 'nginx.conf');
  const text = replaced(SHIPPED, [
    ['user www-data;', ''],
    ['/run/nginx.pid', join(folder, 'nginx.pid')],
    ['listen [::]:443;', ''],
    ['listen 443;', `listen 127.0.0.1:${ports.public};`],
    ['127.0.0.1:8443', `127.0.0.1:${ports.site}`, 2],
    ['default          127.0.0.1:8421', `default 127.0.0.1:${ports.agents}`],
    ['https://127.0.0.1:8420', `https://127.0.0.1:${ports.operators}`],
    ['/etc/ssl/certs/control.example.pem', join(folder, 'site.pem')],
    ['/etc/ssl/private/control.example.key', join(folder, 'site.key')],
    ['/var/lib/latchkey/tls/ca.pem', paths.tlsAuthority],
    ['access_log off;', temps.map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')],
  ]);
  writeFileSync(file, text);
  const log = join(folder, 'error.log');
  children.push(
    spawn('nginx', ['-c', file, '-e', log, '-g', `daemon off; error_log ${log} notice;`], { stdio: 'ignore' }),
  );
  await untilOpen(ports.public, () => readFileSync(log, 'utf8'));
}

async function untilOpen(port: number, why: () => string): Promise<void> {
  for (const end = performance.now() + 15_000; performance.now() < end; ) {
    const socket = connect(port, '127.0.0.1');
    const open = await new Promise((resolve) =>
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false)),
    );
    socket.destroy();
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nothing listens on ${port}: ${why()}`);
}

let ready = false;
beforeAll(async () => {
  if (!hasNginx()) return;
  for (const name of ['public', 'site', 'operators', 'agents'] as const) ports[name] = await freePort();
  const program = start(['serve', '--data', paths.data, '--json'], settings());
  children.push(program);
  await firstLine(program);
  apiKey = readFileSync(paths.apiKey, 'utf8').trim();
  await startNginx();
  await bindChannels();
  ready = true;
}, START_MS_MAX);
afterAll(async () => {
  for (const child of children.reverse()) {
    child.kill('SIGTERM');
    await exitOf(child);
  }
  rmSync(folder, { recursive: true, force: true });
}, START_MS_MAX);
beforeEach((context) => {
  if (!ready) unavailable(context, 'nginx with its stream module', 'apt-get install nginx-light libnginx-mod-stream');
});

/** From here on the root demands that agents and gateway see the same TLS session. */
async function bindChannels(): Promise<void> {
  const chain = await TrustChain.open(paths);
  const { root } = await chain.newest();
  const next = await nextRoot(root, { expires: root.expires, channelBinding: 'required' });
  await chain.publish(await complete(root, await sign(draftOf(next), next, await readKey(paths.rootKey))));
}

type Said = Readonly<{ status: number; headers: IncomingHttpHeaders; body: string }>;

/** `from`: the address of this machine that the request comes from; `direct`: past the proxy; `body`: JSON to post. */
type Asking = Readonly<{ from?: string; direct?: boolean; body?: string; claims?: string }>;

function open(path: string, { from = '127.0.0.1', direct = false, body, claims }: Asking = {}) {
  const asked = request({
    host: '127.0.0.1',
    port: direct ? ports.operators : ports.public,
    servername: direct ? 'localhost' : 'control.example',
    ca: direct ? readFileSync(paths.tlsAuthority) : siteCa,
    localAddress: from,
    agent: false,
    path,
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      ...{ authorization: `Bearer ${apiKey}`, host: 'control.example' },
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(claims === undefined ? {} : { 'x-forwarded-for': claims }),
    },
  });
  asked.end(body);
  return once(asked, 'response') as Promise<[IncomingMessage]>;
}

async function ask(path: string, asking: Asking = {}): Promise<Said> {
  const [response] = await open(path, asking);
  let body = '';
  for await (const chunk of response) body += String(chunk);
  return { status: response.statusCode ?? 0, headers: response.headers, body };
}

/** How many more requests that client may make in this minute. */
const left = async (asking: Asking): Promise<number> =>
  Number((await ask('/v1/whoami', asking)).headers['x-ratelimit-remaining']);

async function machine(from: string): Promise<ScriptedAgent> {
  const { body } = await ask('/v1/join-tokens', { body: '{}' });
  const agent = await ScriptedAgent.make(`wss://127.0.0.1:${ports.public}/agent/v1`);
  agent.from = from;
  expect(await agent.enrol(String(JSON.parse(body).token))).toBeNull();
  return agent;
}

describe('operators', () => {
  test('reach the API with a certificate that their browsers know', async () => {
    expect(await ask('/v1/whoami')).toMatchObject({ status: 200, body: expect.stringContaining('"operator":"admin"') });
    expect((await ask('/v1/trust')).body).toContain('wss://agents.example/agent/v1');
  });

  test('see each event when it happens', async () => {
    const [stream] = await open('/v1/events');
    expect(stream.headers['content-type']).toBe('text/event-stream');
    const said = (async () => {
      let text = '';
      for await (const chunk of stream) {
        text += String(chunk);
        if (text.includes('event: join_token.created')) return text;
      }
      return text;
    })();
    await ask('/v1/join-tokens', { body: '{}' });
    expect(await said).toMatch(/id: \d+\nevent: join_token.created\n/);
    stream.destroy();
  });

  test('are told apart by their addresses, whatever they claim to be', async () => {
    const before = await left({ from: '127.0.0.2' });
    expect(await left({ from: '127.0.0.2', claims: '198.51.100.1' })).toBe(before - 1);
    expect(await left({ from: '127.0.0.3' })).toBe(before);
    // Past the proxy: an address that no proxy has is nobody whose word is taken.
    const stranger = { from: '127.0.0.4', direct: true };
    const first = await left({ ...stranger, claims: '198.51.100.2' });
    expect(await left({ ...stranger, claims: '198.51.100.3' })).toBe(first - 1);
    const proxy = { direct: true };
    expect(await left({ ...proxy, claims: '198.51.100.4' })).toBe(await left({ ...proxy, claims: '198.51.100.5' }));
  });
});

describe('agents', () => {
  test('pin the control plane’s own authority, and are bound to its TLS session', async () => {
    const caPem = readFileSync(paths.tlsAuthority, 'utf8');
    const url = new URL(`wss://localhost:${ports.public}/agent/v1`);
    const socket = await ControlPlaneSocket.open({ url, caPem });
    expect(await socket.next(5_000)).toMatchObject({ t: 'challenge' });
    socket.terminate();
    await expect(ControlPlaneSocket.open({ url, caPem: siteCa })).rejects.toMatchObject({ code: 'TLS_REFUSED' });
    const agent = await machine('127.0.0.5');
    await agent.online();
    expect(agent.welcomed?.cb).toBe(agent.wire.channelBinding);
    const { items } = JSON.parse((await ask('/v1/vms')).body) as { items: { id: string; agent: string }[] };
    const vm = items.find((known) => known.agent === agent.agent)?.id;
    const draft = JSON.stringify({ vm, account: { mode: 'generated' } });
    expect((await ask('/v1/operations', { body: draft })).status).toBe(201);
    expect(await agent.answerPrepare()).toMatch(/^op_/);
    await agent.offline();
  });

  test('are counted by their own addresses, and not by the proxy’s', async () => {
    // Two may be of one address here.
    const [first, second] = [await machine('127.0.0.6'), await machine('127.0.0.6')];
    await first.online();
    await second.online();
    const third = await ScriptedAgent.make(first.url);
    third.from = '127.0.0.6';
    await expect(third.connect()).rejects.toThrow();
    const elsewhere = await machine('127.0.0.7');
    await elsewhere.online();
    for (const each of [first, second, elsewhere]) await each.offline();
  });
});
