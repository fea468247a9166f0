// The transport: one authority, TLS 1.3, the right name, and nothing said to anyone else.

import { createServer as createHttp } from 'node:http';
import { createServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createServer as createTcp } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ControlPlaneSocket } from '../../../agent/link/socket.ts';
import { codeFrom } from '../../protocol/refusal.ts';
import { unavailable } from '../../requirements.ts';
import { type Certificate, CertificateMaker, hasOpenssl } from './certificates.ts';
import { ControlPlane } from './control-plane.ts';

let maker: CertificateMaker | undefined;
beforeAll(async () => {
  if (await hasOpenssl()) maker = await CertificateMaker.open();
});
afterAll(() => maker?.close());

/** Tries to connect; gives the code of the refusal, and how many connections got as far as HTTP. */
async function tryToConnect(certificate: Certificate, options: ServerOptions = {}, host?: string) {
  const plane = new ControlPlane(createServer({ ...certificate, ...options }));
  const url = await plane.listen('wss', host);
  const opened: ControlPlaneSocket[] = [];
  const code = await codeFrom(async () => {
    opened.push(await ControlPlaneSocket.open({ url, caPem: maker?.caPem ?? '' }));
  });
  for (const socket of opened) socket.terminate();
  await plane.close();
  return { code, requests: plane.requests };
}

describe('a control plane', () => {
  const wanted = async (context: { skip: (note?: string) => never }) =>
    maker ?? unavailable(context as never, 'openssl', 'apt-get install openssl');

  test('with a certificate of the pinned authority is connected to', async (context) => {
    const made = await wanted(context);
    expect(await tryToConnect(await made.make())).toEqual({ code: undefined, requests: 1 });
    expect(await tryToConnect(await made.make({ name: 'DNS:localhost' }), {}, 'localhost')).toMatchObject({
      code: undefined,
    });
  });

  test.for([
    ['signed by itself', { authority: 'self' }],
    ['of another authority', { authority: 'other' }],
    ['for another name', { name: 'DNS:other.example' }],
    ['for another address', { name: 'IP:127.0.0.2' }],
    ['of one who is no authority', { authority: 'leaf' }],
    ['for clients alone', { purpose: 'clientAuth' }],
    ['that has its name in the subject alone', { name: null }],
    ['with RSA of 1024 bits', { rsaBits: 1024 }],
  ] as const)('with a certificate %s is TLS_REFUSED, and nothing is said to it', async ([, wishes], context) => {
    const made = await wanted(context);
    // A server that will not even load its own certificate would prove nothing.
    const options: ServerOptions = 'rsaBits' in wishes ? { ciphers: 'DEFAULT@SECLEVEL=0' } : {};
    expect(await tryToConnect(await made.make(wishes), options)).toEqual({ code: 'TLS_REFUSED', requests: 0 });
  });

  test('with a certificate past its end is TLS_REFUSED', async (context) => {
    const made = await wanted(context);
    const past = await made.make({ days: 0 });
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect(await tryToConnect(past)).toEqual({ code: 'TLS_REFUSED', requests: 0 });
  });

  test('with a good certificate and its own chain, but another authority pinned, is TLS_REFUSED', async (context) => {
    const made = await wanted(context);
    const foreign = await made.make({ authority: 'other' });
    expect(await tryToConnect({ ...foreign, cert: `${foreign.cert}${made.caPem}` })).toMatchObject({
      code: 'TLS_REFUSED',
    });
  });

  test('that speaks TLS 1.2 at most is TLS_REFUSED', async (context) => {
    const made = await wanted(context);
    expect(await tryToConnect(await made.make(), { maxVersion: 'TLSv1.2' })).toEqual({
      code: 'TLS_REFUSED',
      requests: 0,
    });
  });

  test('that speaks no TLS at all is refused', async (context) => {
    await wanted(context);
    const plane = new ControlPlane();
    const url = await plane.listen('wss');
    expect(await codeFrom(() => ControlPlaneSocket.open({ url, caPem: maker?.caPem ?? '' }))).toBe('TLS_REFUSED');
    expect(plane.requests).toBe(0);
    await plane.close();
  });
});

describe('a server', () => {
  test('that redirects is not followed', async () => {
    const target = new ControlPlane();
    const to = await target.listen();
    const server = createHttp();
    server.on('upgrade', (_, socket) => {
      socket.end(`HTTP/1.1 302 Found\r\nLocation: ${to.href.replace('ws:', 'http:')}\r\nContent-Length: 0\r\n\r\n`);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = new URL(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
    expect(await codeFrom(() => ControlPlaneSocket.open({ url, caPem: '' }))).toBe('SERVER_UNREACHABLE');
    expect([target.visits, target.requests]).toEqual([0, 0]);
    await target.close();
    await new Promise((resolve) => server.close(resolve));
  });

  test('that is not there is SERVER_UNREACHABLE', async () => {
    const url = new URL('ws://127.0.0.1:1');
    expect(await codeFrom(() => ControlPlaneSocket.open({ url, caPem: '' }))).toBe('SERVER_UNREACHABLE');
  });

  test('that hangs up is SERVER_UNREACHABLE', async () => {
    const server = createTcp((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = new URL(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
    expect(await codeFrom(() => ControlPlaneSocket.open({ url, caPem: '' }))).toBe('SERVER_UNREACHABLE');
    await new Promise((resolve) => server.close(resolve));
  });
});
