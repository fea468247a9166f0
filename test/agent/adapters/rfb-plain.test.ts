// A name and a password inside TLS, with servers that say what a test tells them to.

import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { authenticateRfb } from '../../../agent/adapters/rfb.ts';
import { unavailable } from '../../requirements.ts';
import { drawSecret } from '../contracts/contract.ts';
import { type Certificate, CertificateMaker, hasOpenssl } from '../link/certificates.ts';

const word = (value: number): Buffer => Buffer.from([0, 0, 0, value]);
const X509_PLAIN = Buffer.from([0, 0, 1, 6]);

let certificate: Certificate | undefined;
beforeAll(async () => {
  if (!(await hasOpenssl())) return;
  const maker = await CertificateMaker.open();
  certificate = await maker.make({ authority: 'self' });
  await maker.close();
});
beforeEach((context) => {
  if (!certificate) unavailable(context, 'openssl', 'apt-get install openssl');
});

type Script = Readonly<{ types?: Buffer; subtypes?: Buffer; verdict?: Buffer; end?: boolean }>;

/** Speaks VeNCrypt as neatvnc does; `inside` is what it heard within TLS. */
async function serve({ types, subtypes, verdict = word(0), end = false }: Script) {
  const inside: Buffer[] = [];
  const server = createServer((socket: Socket) => void speak(socket).catch(() => {}));
  const speak = async (socket: Socket): Promise<void> => {
    socket.on('error', () => {});
    const hear = async (count: number): Promise<void> => {
      for (let got = 0; got < count; ) got += ((await once(socket, 'data')) as [Buffer])[0].length;
    };
    socket.write('RFB 003.008\n');
    await hear(12);
    socket.write(types ?? Buffer.from([1, 19]));
    await hear(1);
    socket.write(Buffer.from([0, 2]));
    await hear(2);
    socket.write(subtypes ?? Buffer.concat([Buffer.from([0, 1]), X509_PLAIN]));
    await hear(4);
    socket.write(Buffer.from([1]));
    const secured = new TLSSocket(socket, { isServer: true, ...certificate });
    secured.on('error', () => {});
    secured.on('data', (bytes: Buffer) => {
      inside.push(bytes);
      secured.write(verdict);
      if (end) secured.end();
    });
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return { port: (server.address() as AddressInfo).port, inside };
}

const ask = (port: number, password: Uint8Array, isServer = true) =>
  authenticateRfb(
    { address: '127.0.0.1', port, localAddress: '127.88.0.1', timeoutMs: 2_000, quietMs: 60, isServer: () => isServer },
    { user: 'ada', password },
  );

describe('a login', () => {
  it('is said inside TLS, whole, and nothing after it', async () => {
    const { port, inside } = await serve({});
    const password = drawSecret('x'.repeat(20)).revealBytes();
    expect(await ask(port, password)).toEqual({ verdict: 'accepted', reason: 'accepted' });
    const lengths = Buffer.concat([word(3), word(password.length)]);
    expect(Buffer.concat(inside)).toEqual(Buffer.concat([lengths, Buffer.from('ada'), password]));
  });

  it('is said to no other process than the server that is meant', async () => {
    const { port, inside } = await serve({});
    const verdict = await ask(port, drawSecret().revealBytes(), false);
    expect(verdict).toEqual({ verdict: 'unknown', reason: 'other_process' });
    expect(inside).toEqual([]);
  });

  it.each<[string, Script, string]>([
    ['a refusal is one', { verdict: word(1) }, 'rejected rejected'],
    [
      'a refusal that begins like an acceptance is one',
      { verdict: Buffer.concat([word(0), Buffer.alloc(29)]), end: true },
      'rejected ends',
    ],
    ['words after an acceptance make it none', { verdict: Buffer.concat([word(0), word(7)]) }, 'unknown not_silent'],
    ['another type is not tried', { types: Buffer.from([1, 2]) }, 'unknown types'],
    [
      'a way without TLS is not taken',
      { subtypes: Buffer.concat([Buffer.from([0, 1]), Buffer.from([0, 0, 1, 0])]) },
      'unknown types',
    ],
    ['a server that refuses the version is not one', { subtypes: Buffer.from([1, 0]) }, 'unknown types'],
  ])('%s', async (_, script, told) => {
    const { port } = await serve(script);
    const verdict = await ask(port, drawSecret().revealBytes());
    expect(typeof verdict === 'string' ? verdict : `${verdict.verdict} ${verdict.reason}`).toBe(told);
  });
});
