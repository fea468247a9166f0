// One attempt to hand over one message: the name is looked up once, what it says is checked, and the connection goes to an
// address that was checked. No redirect is followed, and of the answer only its status is looked at.

import { Resolver } from 'node:dns/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { rootCertificates } from 'node:tls';
import type { Attempt } from '../core/webhook.ts';
import { mayReach, type Network, urlFault } from './reach.ts';

/** Asks name servers itself: the system's own way blocks one of the few threads that all files share. */
export type Names = Readonly<{ resolve4(host: string): Promise<string[]>; resolve6(host: string): Promise<string[]> }>;

export type PostParts = Readonly<{
  allowed: readonly Network[];
  /** An authority beside the public ones, in PEM. */
  ca: string | null;
  timeoutMs: number;
  names?: Names;
}>;

type Post = Readonly<{ url: string; headers: Readonly<Record<string, string>>; body: string }>;

const DNS = { timeout: 2_000, tries: 2 };
const HEADER_BYTES_MAX = 8_192;

/** Never throws. `interrupted` where `stop` ended it. */
export async function post({ url, headers, body }: Post, parts: PostParts, stop: AbortSignal): Promise<Attempt> {
  // The configuration may have changed since it was registered.
  if (urlFault(url, parts.allowed) !== null) return failed('ADDRESS_REFUSED');
  const late = AbortSignal.timeout(parts.timeoutMs);
  const signal = AbortSignal.any([late, stop]);
  const target = new URL(url);
  const payload = Buffer.from(body);
  const options: RequestOptions = {
    method: 'POST',
    // A connection is for one message: none waits for another, and each address is checked.
    agent: false,
    signal,
    lookup: lookupWithin(parts, target.protocol === 'http:'),
    maxHeaderSize: HEADER_BYTES_MAX,
    headers: {
      'content-type': 'application/json',
      'content-length': String(payload.length),
      'user-agent': 'latchkey-webhook/1',
      ...headers,
    },
    ...(parts.ca === null ? {} : { ca: [...rootCertificates, parts.ca] }),
    minVersion: 'TLSv1.2',
  };
  return new Promise((resolve) => {
    const start = target.protocol === 'https:' ? httpsRequest : httpRequest;
    const request = start(target, options, ({ statusCode = 0 }) => {
      resolve(answered(statusCode));
      request.destroy();
    });
    request.on('error', (cause) => {
      if (stop.aborted) resolve(failed('INTERRUPTED'));
      else resolve(failed(late.aborted ? 'TIMEOUT' : reasonOf(cause)));
    });
    request.end(payload);
  });
}

const failed = (error: string): Attempt => ({ status: null, error });

function answered(status: number): Attempt {
  if (status >= 200 && status < 300) return { status, error: null };
  return { status, error: status >= 300 && status < 400 ? 'REDIRECT' : 'STATUS' };
}

/** A name for what went wrong; nothing that the other side wrote. */
function reasonOf(cause: unknown): string {
  const { code } = cause as { code?: unknown };
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,60}$/.test(code) ? code : 'CONNECTION';
}

/** `lookup` of the sockets: what it gives is what is connected to. Literal addresses were checked with the URL. */
function lookupWithin({ allowed, names = new Resolver(DNS) }: PostParts, plain: boolean): LookupFunction {
  return (host, { all }, done) => {
    const found = host === 'localhost' ? Promise.resolve(['127.0.0.1', '::1']) : addressesOf(names, host);
    found.then(
      (addresses) => {
        const may = addresses
          .filter((address) => mayReach(address, allowed))
          .map((address) => ({ address, family: isIP(address) }));
        const [first] = may;
        if (!first || (plain && host !== 'localhost')) done(refusal('ADDRESS_REFUSED'), [], 0);
        else if (all) done(null, may);
        else done(null, first.address, first.family);
      },
      (cause) => done(cause as NodeJS.ErrnoException, [], 0),
    );
  };
}

async function addressesOf(names: Names, host: string): Promise<string[]> {
  const [v4, v6] = await Promise.allSettled([names.resolve4(host), names.resolve6(host)]);
  const found = [v4, v6].flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
  if (found.length === 0 && v4.status === 'rejected') throw v4.reason;
  return found;
}

const refusal = (code: string): NodeJS.ErrnoException => Object.assign(new Error(code), { code });
