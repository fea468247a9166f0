// One attempt over real sockets: which address it goes to, what it does not follow or read, and that it ends.

import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { type PostParts, post } from '../../../control-plane/webhooks/post.ts';
import { parseNetwork } from '../../../control-plane/webhooks/reach.ts';
import { CertificateMaker, hasOpenssl } from '../../agent/link/certificates.ts';
import { unavailable } from '../../requirements.ts';
import { answer, Receiver, silence } from './receiver.ts';

const loopback = [parseNetwork('127.0.0.0/8')];
const parts = (change: Partial<PostParts> = {}): PostParts => ({
  allowed: loopback,
  ca: null,
  timeoutMs: 5_000,
  ...change,
});
const never = new AbortController().signal;
const send = (url: string, change: Partial<PostParts> = {}, stop = never) =>
  post({ url, headers: { 'webhook-id': 'msg_1' }, body: '{"ü":1}' }, parts(change), stop);

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0)) await step();
});
async function receiver(tls?: { cert: string; key: string }): Promise<Receiver> {
  const started = await Receiver.start(tls);
  undo.push(() => started.stop());
  return started;
}

/** Name servers that say one thing first and another then. */
function names(...answers: string[][]) {
  const asked: string[] = [];
  const next = async (host: string) => {
    asked.push(host);
    return answers[asked.length - 1] ?? answers.at(-1) ?? [];
  };
  return { asked, resolve4: next, resolve6: async () => Promise.reject(new Error('none')) };
}

describe('an attempt', () => {
  test('arrives whole, and is taken with any status of success', async () => {
    const there = await receiver();
    for (const status of [200, 202, 204]) {
      there.answers.push(answer(status));
      expect(await send(there.url)).toEqual({ status, error: null });
    }
    expect(there.received).toHaveLength(3);
    expect(there.received[0]).toMatchObject({ path: '/hook', text: '{"ü":1}', id: 'msg_1' });
    expect(there.received[0]?.headers).toMatchObject({ 'content-type': 'application/json', 'content-length': '8' });
  });

  test.each([400, 404, 410, 429, 500, 503])('is not taken with status %i', async (status) => {
    const there = await receiver();
    there.always = answer(status);
    expect(await send(there.url)).toEqual({ status, error: 'STATUS' });
  });

  test.each([301, 302, 303, 307, 308])('follows no redirect: %i', async (status) => {
    const [there, elsewhere] = [await receiver(), await receiver()];
    there.always = answer(status, { location: elsewhere.url });
    expect(await send(there.url)).toEqual({ status, error: 'REDIRECT' });
    expect(elsewhere.connections).toBe(0);
  });

  test('to one that says nothing ends by itself, and at once when the program does', async () => {
    const there = await receiver();
    there.always = silence;
    expect(await send(there.url, { timeoutMs: 50 })).toEqual({ status: null, error: 'TIMEOUT' });
    const stop = new AbortController();
    const sent = send(there.url, {}, stop.signal);
    stop.abort();
    expect(await sent).toEqual({ status: null, error: 'INTERRUPTED' });
  });

  test('does not wait for an answer’s body, and does not read endless headers', async () => {
    const there = await receiver();
    there.answers.push((response) => void response.writeHead(200).write('and so on'));
    expect(await send(there.url)).toEqual({ status: 200, error: null });
    const flood = await rawServer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\n');
      const timer = setInterval(() => socket.write(`x: ${'y'.repeat(4_000)}\r\n`), 1);
      socket.on('close', () => clearInterval(timer)).on('error', () => undefined);
    });
    expect(await send(`http://127.0.0.1:${flood}/`)).toEqual({ status: null, error: 'HPE_HEADER_OVERFLOW' });
  });

  test('to nobody, and to somebody who speaks something else, says so', async () => {
    const gone = await Receiver.start();
    const { url } = gone;
    await gone.stop();
    expect(await send(url)).toEqual({ status: null, error: 'ECONNREFUSED' });
    const other = await rawServer((socket) => socket.end('220 mail.example ESMTP\r\n'));
    expect((await send(`http://127.0.0.1:${other}/`)).error).toMatch(/^HPE_/);
  });
});

describe('a name', () => {
  test('that stands for an address inside is not connected to', async () => {
    const there = await receiver();
    const said = names(['127.0.0.1', '10.0.0.1', '169.254.169.254']);
    const url = `https://hooks.example:${there.port}/`;
    expect(await send(url, { allowed: [], names: said })).toEqual({ status: null, error: 'ADDRESS_REFUSED' });
    expect(there.connections).toBe(0);
  });

  test('is looked up once: what was checked is what is connected to', async (context) => {
    if (!(await hasOpenssl())) unavailable(context, 'openssl', 'apt-get install openssl');
    const maker = await CertificateMaker.open();
    undo.push(() => maker.close());
    const there = await receiver(await maker.make({ name: 'DNS:hooks.example' }));
    // A second look would find an address where nobody listens.
    const said = names(['127.0.0.1'], ['127.0.0.9']);
    const url = `https://hooks.example:${there.port}/`;
    expect(await send(url, { names: said, ca: maker.caPem })).toEqual({ status: 204, error: null });
    expect(said.asked).toEqual(['hooks.example']);
    expect(there.received[0]?.headers.host).toBe(`hooks.example:${there.port}`);
  });

  test('of another than the certificate names, or of nobody’s authority, is not trusted', async (context) => {
    if (!(await hasOpenssl())) unavailable(context, 'openssl', 'apt-get install openssl');
    const maker = await CertificateMaker.open();
    undo.push(() => maker.close());
    const there = await receiver(await maker.make({ name: 'DNS:other.example' }));
    const url = `https://hooks.example:${there.port}/`;
    const said = () => names(['127.0.0.1']);
    expect((await send(url, { names: said(), ca: maker.caPem })).error).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
    expect((await send(url, { names: said() })).error).toMatch(/CERT|SIGNATURE|ISSUER/);
    expect(there.received).toEqual([]);
  });

  test('that nobody knows says so', async () => {
    const failing = async () => Promise.reject(Object.assign(new Error('x'), { code: 'ENOTFOUND' }));
    const said = { resolve4: failing, resolve6: failing };
    expect(await send('https://hooks.example/', { names: said })).toEqual({ status: null, error: 'ENOTFOUND' });
  });
});

test('a URL that may no longer be reached is not', async () => {
  const there = await receiver();
  expect(await send(there.url, { allowed: [] })).toEqual({ status: null, error: 'ADDRESS_REFUSED' });
  expect(there.connections).toBe(0);
});

async function rawServer(onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  undo.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as { port: number }).port;
}
