// One HTTP exchange with the control plane, and one stream of events from it. It owns what leaves this process: the API
// key goes to the configured address alone, never over plain HTTP to another machine, and no redirect is followed.

import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isCode } from '../../../protocol/codes.ts';
import { Failure } from '../../../protocol/failure.ts';
import type { Secret } from '../../../protocol/secret.ts';

/** Where the control plane is and who asks; `null`: nobody yet. `ca`: PEM of the authority that issued its certificate. */
export type Connection = Readonly<{ url: URL; apiKey: Secret | null; ca?: string }>;

export type Exchange = Readonly<{ method: string; path: string; body?: unknown; signal?: AbortSignal | undefined }>;

const ANSWER_TIMEOUT_MS = 20_000;
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
/** The server sends a heartbeat far more often than this. */
const STREAM_SILENCE_MS = 60_000;

const CERTIFICATE_FAULT = /^(CERT_|ERR_TLS_|ERR_SSL_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH|EPROTO)/;

/** An address that may be asked: `https:`, or `http:` on this machine's own loopback. Throws `CONFIG_INVALID`. */
export function checkAddress(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    throw new Failure('CONFIG_INVALID', { field: 'url', reason: 'not an address' }, cause);
  }
  if (url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))) return url;
  throw new Failure('CONFIG_INVALID', { field: 'url', reason: 'https, or http on the loopback address only' });
}

export function isLoopback(hostname: string): boolean {
  return /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
}

/** The answer's JSON. Throws the server's own code, or `SERVER_UNREACHABLE`, `TLS_REFUSED`. */
export async function exchange(connection: Connection, { method, path, body, signal }: Exchange): Promise<unknown> {
  const { response } = await open(connection, { method, path, body, signal, timeoutMs: ANSWER_TIMEOUT_MS });
  const text = await readAll(response);
  const status = response.statusCode ?? 0;
  if (status < 200 || status > 299) throw problemOf(status, text);
  if (text === '') return null;
  return parseJson(text);
}

/** The bytes of an event stream, until the server ends it. Throws as `exchange` does, also when it falls silent. */
export async function* stream(connection: Connection, path: string, lastEventId: string | null, signal?: AbortSignal) {
  const headers = { accept: 'text/event-stream', ...(lastEventId === null ? {} : { 'last-event-id': lastEventId }) };
  const { request, response } = await open(connection, {
    method: 'GET',
    path,
    headers,
    signal,
    timeoutMs: STREAM_SILENCE_MS,
  });
  if (response.statusCode !== 200) throw problemOf(response.statusCode ?? 0, await readAll(response));
  try {
    response.setEncoding('utf8');
    for await (const chunk of response) yield chunk as string;
  } catch (cause) {
    if (signal?.aborted) return;
    throw transportFailure(cause);
  } finally {
    request.destroy();
  }
}

type Opening = Exchange & { headers?: Record<string, string>; timeoutMs: number };
type Opened = { request: ClientRequest; response: IncomingMessage };

function open(connection: Connection, { method, path, body, headers, signal, timeoutMs }: Opening): Promise<Opened> {
  const url = new URL(path, connection.url);
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const options = {
    method,
    agent: false,
    ...(signal ? { signal } : {}),
    ...(connection.ca ? { ca: connection.ca } : {}),
    minVersion: 'TLSv1.3' as const,
    headers: {
      accept: 'application/json',
      ...(connection.apiKey === null ? {} : { authorization: `Bearer ${connection.apiKey.reveal()}` }),
      ...(payload === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(payload)) }),
      ...headers,
    },
  };
  return new Promise((resolve, reject) => {
    const start = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = start(url, options, (response) => resolve({ request, response }));
    request.setTimeout(timeoutMs, () => request.destroy(new Failure('SERVER_UNREACHABLE', { reason: 'timeout' })));
    request.on('error', (cause) => reject(transportFailure(cause)));
    request.end(payload);
  });
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response) {
      size += (chunk as Buffer).length;
      if (size > ANSWER_BYTES_MAX) throw new Failure('SERVER_UNREACHABLE', { reason: 'answer too long' });
      chunks.push(chunk as Buffer);
    }
  } catch (cause) {
    throw transportFailure(cause);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Failure('SERVER_UNREACHABLE', { reason: 'not a Latchkey control plane' }, cause);
  }
}

/** The server's problem document as a `Failure`; an answer without one comes from something else in between. */
function problemOf(status: number, text: string): Failure {
  let problem: unknown;
  try {
    problem = JSON.parse(text);
  } catch {
    return new Failure('SERVER_UNREACHABLE', { reason: 'not a Latchkey control plane', status });
  }
  const { code, detail } = (problem ?? {}) as Record<string, unknown>;
  if (typeof code !== 'string') return new Failure('SERVER_UNREACHABLE', { reason: 'unexpected answer', status });
  // A newer server may know more codes than this program.
  if (!isCode(code)) return new Failure('VERSION_UNSUPPORTED', { answer: code.slice(0, 60), status });
  return new Failure(code, typeof detail === 'string' && detail !== '' ? { detail } : {});
}

function transportFailure(cause: unknown): Failure {
  if (cause instanceof Failure) return cause;
  const code = (cause as NodeJS.ErrnoException | null)?.code ?? 'unknown';
  if (CERTIFICATE_FAULT.test(code)) return new Failure('TLS_REFUSED', { reason: code }, cause);
  return new Failure('SERVER_UNREACHABLE', { reason: code }, cause);
}
