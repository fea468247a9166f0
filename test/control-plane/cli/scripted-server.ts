// A control plane with one machine that plays a script: the real paths, real `ready` tokens, intents and sealed
// passwords over HTTP on the loopback address, and no rules. A test says what the machine answers.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type {
  IntentRequest,
  IntentResponse,
  OperationRequest,
  OperationView,
  SubmitRequest,
} from '../../../control-plane/api/schemas.ts';
import { type Code, codes } from '../../../protocol/codes.ts';
import { intentBytes, type ResetIntent } from '../../../protocol/intent.ts';
import { sha256Text, toBase64url } from '../../../protocol/keys.ts';
import { isEnd, type State } from '../../../protocol/lifecycle.ts';
import { openSecret, type Slot, sealSecret } from '../../../protocol/seal.ts';
import { Secret } from '../../../protocol/secret.ts';
import { signToken } from '../../../protocol/token.ts';
import { AGENT, OP, seal } from '../../protocol/samples.ts';
import {
  AFTER,
  type Beat,
  defaultScript,
  intentOf,
  operationOf,
  readyOf,
  type Script,
  summaryOf,
  VM,
  vmOf,
} from './scripted-machine.ts';

export const API_KEY = `lk_${'A'.repeat(43)}`;
export const GENERATED: Readonly<Record<Slot, string>> = { account: 'made-Up-Password-1', vnc: 'madeUp22' };

export type ScriptedServer = Awaited<ReturnType<typeof startScriptedServer>>;

export async function startScriptedServer(changes: Partial<Script> = {}) {
  const script: Script = { ...defaultScript(), ...changes };
  const seen = {
    requests: [] as string[],
    bodies: [] as unknown[],
    lastEventIds: [] as (string | null)[],
    typed: {} as Partial<Record<Slot, string>>,
    submits: [] as SubmitRequest[],
    collected: 0,
    cancelled: 0,
  };
  let operation: OperationView | undefined;
  let requested: OperationRequest | undefined;
  let intent: ResetIntent | undefined;
  let eventCount = 0;
  const streams = new Set<ServerResponse>();

  const change = (fields: Partial<OperationView>) => {
    if (!operation) return;
    operation = { ...operation, ...fields, updated_at: new Date().toISOString() };
    eventCount += 1;
    for (const stream of streams) stream.write(eventText(eventCount));
  };

  const play = async (beats: readonly Beat[]) => {
    for (const beat of beats) {
      await new Promise((resolve) => setTimeout(resolve, 15));
      if (beat.cut) for (const stream of streams) stream.destroy();
      else change(await fieldsOf(beat));
    }
  };

  const fieldsOf = async ({ state, code, warnings, verified, overdue }: Beat): Promise<Partial<OperationView>> => {
    if (!operation) return {};
    const at = new Date().toISOString();
    const n = operation.receipts.length + 1;
    const signed = state !== undefined && !['QUEUED', 'PREPARED', 'SENT', 'EXPIRED'].includes(state);
    return {
      ...(state
        ? {
            state,
            ended: isEnd(state),
            code: code ?? null,
            times: [...operation.times, timeUntil(operation.state, state, signed ? n : null)],
          }
        : {}),
      ...(code ? { sentence: codes[code].sentence, hint: codes[code].hint } : {}),
      ...(signed ? { receipts: [...operation.receipts, { n, state, code: code ?? null, at, detail: {} }] } : {}),
      ...(state && isEnd(state) ? { ended_at: at, ready: null } : {}),
      ...(state === 'SECRET_READY' ? { sealed: await sealGenerated() } : {}),
      ...(state === 'BOOTED' ? { boot_after: AFTER } : {}),
      ...(warnings ? { warnings } : {}),
      ...(verified === undefined ? {} : { verified }),
      ...(overdue === undefined ? {} : { overdue }),
    };
  };

  const sealGenerated = async () => {
    const sealed: Partial<Record<Slot, string>> = {};
    for (const slot of ['account', 'vnc'] as const) {
      const source = intent?.[slot]?.secret;
      if (source?.mode !== 'generated') continue;
      const context = { op: OP, agent: AGENT, dir: 'to-operator', slot } as const;
      const secret = Secret.ofText(GENERATED[slot]);
      sealed[slot] = await sealSecret(secret, context, source.recipient_jwk, randomBytes);
    }
    return sealed;
  };

  const draft = async (body: OperationRequest): Promise<OperationView> => {
    eventCount = 0;
    requested = body;
    const token = script.online ? await signToken('lk-ready+jws', readyOf(script), script.signer) : null;
    operation = operationOf(script, body, token);
    return operation;
  };

  const writeIntent = async (body: IntentRequest): Promise<IntentResponse> => {
    if (!operation || !requested) throw new TypeError('no operation');
    intent = script.alterIntent(await intentOf(requested, script, body));
    for (const slot of ['account', 'vnc'] as const) {
      const secret = body[slot]?.secret;
      if (secret?.mode !== 'typed') continue;
      const context = { op: OP, agent: AGENT, dir: 'to-agent', slot } as const;
      seen.typed[slot] = (await openSecret(secret.sealed, context, seal)).reveal();
    }
    const bytes = intentBytes(intent);
    return script.alterResponse({
      intent: toBase64url(bytes),
      intent_hash: await sha256Text(bytes),
      summary: summaryOf(operation, intent),
      methods: script.methods,
    });
  };

  const submit = (body: SubmitRequest): Code | OperationView => {
    seen.submits.push(body);
    const refusal = script.refusals.shift();
    if (refusal) return refusal;
    change({ approved: true, approved_at: new Date().toISOString() });
    void play(script.beats);
    return operation as OperationView;
  };

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? '').split('?')[0] ?? '';
    const route = `${request.method} ${path.replace(OP, ':op').replace(/\/v1\/vms\/[^/]+/, '/v1/vms/:vm')}`;
    seen.requests.push(route);
    if (request.headers.authorization !== `Bearer ${API_KEY}`) return refuse(response, 'UNAUTHENTICATED');
    const body = await bodyOf(request);
    if (body !== undefined) seen.bodies.push(body);
    if (route === 'GET /v1/whoami')
      return send(response, { operator: 'ada', project: 'default', iss: 'ins_x', projects: [] });
    if (route === 'GET /v1/vms') return send(response, { items: [vmOf(script)], next: null });
    if (route === 'GET /v1/vms/:vm') {
      return [VM, 'web-1'].includes(path.split('/').at(-1) ?? '')
        ? send(response, vmOf(script))
        : refuse(response, 'NOT_FOUND');
    }
    if (route === 'POST /v1/operations') return send(response, await draft(body as OperationRequest), 201);
    if (!operation) return refuse(response, 'NOT_FOUND');
    if (route === 'GET /v1/operations/:op') return send(response, operation);
    if (route === 'POST /v1/operations/:op/intent') return send(response, await writeIntent(body as IntentRequest));
    if (route === 'POST /v1/operations/:op/submit') {
      const result = submit(body as SubmitRequest);
      if (script.loseAnswer) {
        script.loseAnswer = false;
        request.socket.destroy();
        return;
      }
      return typeof result === 'string' ? refuse(response, result) : send(response, result);
    }
    if (route === 'POST /v1/operations/:op/cancel') {
      seen.cancelled += 1;
      change({ state: 'CANCELLED', ended: true, code: 'CANCELLED' });
      return send(response, operation);
    }
    if (route === 'POST /v1/operations/:op/collected') {
      seen.collected += 1;
      change({ sealed: null, collected: true });
      return send(response, operation);
    }
    if (route === 'GET /v1/operations/:op/events') {
      const last = request.headers['last-event-id'];
      seen.lastEventIds.push(typeof last === 'string' ? last : null);
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(': connected\n\n');
      for (let id = Number(last ?? 0) + 1; id <= eventCount; id += 1) response.write(eventText(id));
      streams.add(response);
      response.on('close', () => streams.delete(response));
      return;
    }
    return refuse(response, 'NOT_FOUND');
  };

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.destroy(error as Error));
  });
  let { port } = await listen(server, 0);

  const stop = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return {
    script,
    seen,
    url: `http://127.0.0.1:${port}`,
    play,
    operation: () => operation,
    stop,
    /** Closes the port and everything on it, and opens the same port again. */
    async restart() {
      await stop();
      ({ port } = await listen(server, port));
    },
  };
}

const randomBytes = (count: number): Uint8Array => crypto.getRandomValues(new Uint8Array(count));

function listen(server: Server, port: number): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server.address() as AddressInfo));
  });
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text === '' ? undefined : JSON.parse(text);
}

function send(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

function refuse(response: ServerResponse, code: Code): void {
  const problem = {
    type: `urn:latchkey:code:${code}`,
    title: codes[code].sentence,
    status: 409,
    code,
    detail: '',
    hint: '',
  };
  response.writeHead(409, { 'content-type': 'application/problem+json' }).end(JSON.stringify(problem));
}

const eventText = (id: number): string => `id: ${id}\nevent: operation.state\ndata: {"id":${id}}\n\n`;

/** Every state of a scripted machine lasts as long as the next one's name is. */
function timeUntil(state: State, to: State, n: number | null): OperationView['times'][number] {
  return { state, ms: to.length * 1_000, measured_by: n === null ? 'control_plane' : 'machine', to, n };
}
