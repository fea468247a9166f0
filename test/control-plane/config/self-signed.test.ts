// TLS with an authority of the installation's own: made once, pinned by images, and a certificate that renews itself.

import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { ControlPlaneSocket } from '../../../agent/link/socket.ts';
import { issueFor, makeAuthority } from '../../../control-plane/config/certificates.ts';
import { readListenerOptions } from '../../../control-plane/config/listeners.ts';
import type { Tls } from '../../../control-plane/config/options.ts';
import { pathsIn } from '../../../control-plane/config/paths.ts';
import { randomKernel } from '../../../control-plane/config/random-kernel.ts';
import { namesOf, selfSigned } from '../../../control-plane/config/self-signed.ts';
import { codeFrom } from '../../protocol/refusal.ts';
import { run, ServeProgram } from '../program.ts';

const DAY_MS = 86_400_000;
const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function place() {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-tls-'));
  folders.push(folder);
  const around = { nowMs: () => Date.now(), randomBytes: randomKernel() };
  const make = (names: readonly string[], aheadMs = 0): Promise<Tls> =>
    selfSigned(pathsIn(folder), names, { ...around, nowMs: () => Date.now() + aheadMs });
  return { paths: pathsIn(folder), around, make };
}

/** What becomes of a link that goes to that name of a server with that certificate. */
async function visit(name: string, { cert, key, caPem }: Tls): Promise<unknown> {
  const server = createServer({ cert, key, minVersion: 'TLSv1.3' });
  const sockets = new WebSocketServer({ server });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = new URL(`wss://${name}:${(server.address() as AddressInfo).port}`);
  const code = await codeFrom(async () => (await ControlPlaneSocket.open({ url, caPem })).terminate());
  sockets.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  return code;
}

describe('a certificate of the installation’s own', () => {
  test('is accepted by a link for each of its names, and for no other', async () => {
    const { make } = place();
    const tls = await make(['localhost', '127.0.0.1']);
    expect(await visit('localhost', tls)).toBeUndefined();
    expect(await visit('127.0.0.1', tls)).toBeUndefined();
    expect(await visit('127.0.0.1', await place().make(['localhost']))).toBe('TLS_REFUSED');
  });

  test('is refused by a link before its time', async () => {
    const { make } = place();
    expect(await visit('localhost', await make(['localhost'], 10 * DAY_MS))).toBe('TLS_REFUSED');
  });

  test('is refused by a link when an authority below the pinned one issued it: one level is all there is', async () => {
    const { around } = place();
    const own = await makeAuthority('own', 30, around);
    const forged = await issueFor(['localhost'], 30, own, around);
    expect([new X509Certificate(own.cert).ca, new X509Certificate(forged.cert).ca]).toEqual([true, false]);
    const leaf = await issueFor(['localhost'], 30, { cert: forged.cert, key: forged.key }, around);
    const chain = { cert: `${leaf.cert}\n${forged.cert}`, key: leaf.key, caPem: own.cert };
    expect(await visit('localhost', chain)).toBe('TLS_REFUSED');
  });

  test('is kept while it serves, and made anew a month before its end or for another name; the authority stays', async () => {
    const { make } = place();
    const first = await make(['localhost']);
    expect(await make(['localhost'])).toEqual(first);
    expect(await make(['localhost'], 59 * DAY_MS)).toEqual(first);
    const renewed = await make(['localhost'], 61 * DAY_MS);
    expect(renewed.cert).not.toBe(first.cert);
    expect(renewed.caPem).toBe(first.caPem);
    const named = await make(['localhost', 'control.example']);
    expect(new X509Certificate(named.cert).checkHost('control.example')).toBe('control.example');
    expect(named.caPem).toBe(first.caPem);
  });

  test('is made anew where the authority is not the one that issued it', async () => {
    const { make, paths } = place();
    const first = await make(['localhost']);
    rmSync(paths.tlsAuthority);
    const second = await make(['localhost']);
    expect(second.caPem).not.toBe(first.caPem);
    expect(await visit('localhost', second)).toBeUndefined();
  });

  test('lies in files that are its owner’s alone, and the authority’s key never goes out', async () => {
    const { make, paths } = place();
    const tls = await make(['localhost']);
    for (const path of [paths.tlsAuthorityKey, paths.tlsKey]) expect(statSync(path).mode & 0o077).toBe(0);
    expect(JSON.stringify(tls)).not.toContain(readFileSync(paths.tlsAuthorityKey, 'utf8').split('\n')[1]);
  });

  test('is not made from a damaged file, nor by an authority past its end', async () => {
    const { make, paths } = place();
    await make(['localhost']);
    expect(await codeFrom(() => make(['localhost'], 3_651 * DAY_MS))).toBe('CONFIG_INVALID');
    writeFileSync(paths.tlsAuthority, 'damaged');
    expect(await codeFrom(() => make(['localhost']))).toBe('CONFIG_INVALID');
  });
});

test('the names are those that were told, and those of this machine', () => {
  const options = {
    host: '0.0.0.0',
    publicUrl: 'https://Console.example:8443',
    agentUrl: 'wss://[2001:db8::1]/agent/v1',
    listeners: readListenerOptions({ agentListen: 'agents.example:8421' }, {}),
  };
  const names = namesOf(options);
  expect(names).toEqual(
    expect.arrayContaining(['console.example', 'agents.example', '2001:db8::1', 'localhost', '127.0.0.1', '::1']),
  );
  expect(names).not.toContain('0.0.0.0');
});

test('`serve --tls-self-signed` is reached by the command line on its host, and its trust file pins the authority', async () => {
  const program = new ServeProgram(['--tls-self-signed']);
  try {
    await program.start();
    const env = { LATCHKEY_DATA: program.data };
    const { code, stdout, stderr } = await run(['trust', 'export'], env);
    expect([code, stderr]).toEqual([0, '']);
    const trust = JSON.parse(stdout) as { url: string[]; ca_pem: string };
    expect(trust.ca_pem).toBe(readFileSync(pathsIn(program.data).tlsAuthority, 'utf8'));
    const url = new URL(trust.url[0] ?? '');
    expect(url.protocol).toBe('wss:');
    const socket = await ControlPlaneSocket.open({ url, caPem: trust.ca_pem });
    expect((await socket.next(5_000))?.t).toBe('challenge');
    socket.terminate();
  } finally {
    await program.remove();
  }
  const { code, stderr } = await run(['serve', '--tls-self-signed', '--tls-cert', '/x', '--data', program.data]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^latchkey: CONFIG_INVALID [^\n]+\n$/);
});
