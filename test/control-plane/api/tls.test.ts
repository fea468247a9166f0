// With a certificate the same port speaks https and wss, in TLS 1.3 alone, and agents are told whom to trust.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type RequestOptions, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { expect, type TestContext, test } from 'vitest';
import { unavailable } from '../../requirements.ts';
import { ServeProgram } from '../program.ts';

/** A self-signed certificate for localhost, which is its own authority. */
function certificate(context: TestContext, folder: string): { cert: string; key: string } {
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const made = ['req', '-x509', '-newkey', 'ed25519', '-nodes', '-days', '1', '-keyout', key, '-out', cert];
  try {
    execFileSync('openssl', [...made, ...subject], { stdio: 'ignore' });
  } catch {
    unavailable(context, 'openssl', 'apt-get install openssl');
  }
  return { cert, key };
}

const get = (options: RequestOptions) =>
  new Promise<string>((resolve, reject) => {
    const asked = request(options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve(text));
    });
    asked.on('error', reject).end();
  });

test('a control plane with a certificate speaks TLS 1.3 alone and names its authority', {
  timeout: 120_000,
}, async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-tls-'));
  const { cert, key } = certificate(context, folder);
  const program = new ServeProgram(['--tls-cert', cert, '--tls-key', key, '--ca', cert]);
  try {
    await program.start();
    const ca = readFileSync(cert, 'utf8');
    const at = { host: '127.0.0.1', port: program.port, ca };
    expect(JSON.parse(await get({ ...at, path: '/healthz' }))).toMatchObject({ status: 'ok' });
    const headers = { authorization: `Bearer ${program.apiKey}` };
    const trust = JSON.parse(await get({ ...at, path: '/v1/trust', headers }));
    expect(trust).toMatchObject({ url: [`wss://127.0.0.1:${program.port}/agent/v1`], ca_pem: ca });
    await expect(get({ ...at, path: '/healthz', ca: '' })).rejects.toThrow();
    const refused = await new Promise<string>((resolve) => {
      const socket: TLSSocket = connect({ ...at, maxVersion: 'TLSv1.2' }, () => resolve('connected'));
      socket.on('error', () => resolve('refused'));
    });
    expect(refused).toBe('refused');
  } finally {
    await program.remove();
    rmSync(folder, { recursive: true });
  }
});
