// The caller's side of the signer's sockets: one connection a request, strict answers. A signer that is not there, or does
// not answer in time, is `SIGNER_UNAVAILABLE`; it must never be worked around.

import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { isCode } from '../../protocol/codes.ts';
import { Failure } from '../../protocol/failure.ts';
import { requestScope } from '../request-scope.ts';
import type { SignerPlace } from './place.ts';
import {
  type AdminMethods,
  ANSWER_BYTES_MAX,
  adminMethods,
  type Params,
  type Result,
  responseLine,
  type SignerMethods,
  signerMethods,
} from './requests.ts';

const ANSWER_TIMEOUT_MS = 5_000;
/** A letter is sent before its answer. */
const MAIL_ANSWER_TIMEOUT_MS = 12_000;

export type SignerClient = <N extends keyof SignerMethods>(
  method: N,
  params: Params<SignerMethods, N>,
) => Promise<Result<SignerMethods, N>>;

export type AdminClient = <N extends keyof AdminMethods>(
  method: N,
  params: Params<AdminMethods, N>,
) => Promise<Result<AdminMethods, N>>;

/** Asks on `signer.sock`, or on another host. */
export function signerClient(place: SignerPlace): SignerClient {
  return async (method, params) => {
    const result = signerMethods[method].result.safeParse(await ask(place, method, params));
    if (!result.success) throw new Failure('SIGNER_UNAVAILABLE', { reason: 'answer' });
    return result.data as Result<SignerMethods, typeof method>;
  };
}

/** Asks on `admin.sock`: only whoever may enter the signer's folder can. */
export function adminClient(socketPath: string): AdminClient {
  return async (method, params) => {
    const result = adminMethods[method].result.safeParse(await ask(socketPath, method, params));
    if (!result.success) throw new Failure('SIGNER_UNAVAILABLE', { reason: 'answer' });
    return result.data as Result<AdminMethods, typeof method>;
  };
}

async function ask(place: SignerPlace, method: string, params: unknown): Promise<unknown> {
  const line = await exchange(
    place,
    `${JSON.stringify({ id: 1, method, params, request: requestScope()?.request })}\n`,
    method === 'factor.email' ? MAIL_ANSWER_TIMEOUT_MS : ANSWER_TIMEOUT_MS,
  );
  const answer = responseLine.safeParse(parse(line));
  if (!answer.success) throw new Failure('SIGNER_UNAVAILABLE', { reason: 'answer' });
  if ('result' in answer.data) return answer.data.result;
  const { code, details } = answer.data.error;
  throw new Failure(isCode(code) ? code : 'INTERNAL', details);
}

function exchange(place: SignerPlace, request: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = reach(place, () => socket.write(request));
    const refuse = (reason: string, cause?: unknown) => {
      socket.destroy();
      reject(new Failure('SIGNER_UNAVAILABLE', { reason }, cause));
    };
    let received = '';
    socket.setEncoding('utf8');
    socket.setTimeout(timeoutMs, () => refuse('timeout'));
    socket.on('error', (cause) => refuse('connect', cause));
    socket.on('close', () => refuse('closed'));
    socket.on('data', (chunk: string) => {
      received += chunk;
      if (received.length > ANSWER_BYTES_MAX) refuse('size');
      const end = received.indexOf('\n');
      if (end === -1) return;
      socket.end();
      resolve(received.slice(0, end));
    });
  });
}

/** Calls back once the other side is known to be the signer. */
function reach(place: SignerPlace, reached: () => void): Socket {
  if (typeof place === 'string') return connect(place, reached);
  const { host, port, tls } = place;
  const servername = isIP(host) === 0 ? { servername: host } : {};
  return connectTls({ host, port, ...tls, ...servername, minVersion: 'TLSv1.3' }, reached);
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (cause) {
    throw new Failure('SIGNER_UNAVAILABLE', { reason: 'answer' }, cause);
  }
}
