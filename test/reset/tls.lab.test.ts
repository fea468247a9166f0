// The way it runs outside a laboratory: https and wss with a private authority, which the trust file pins and nothing else
// vouches for.

import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { type Certificate, CertificateMaker, hasOpenssl } from '../agent/link/certificates.ts';
import { VNC_PORT } from '../lab/services.ts';
import { unavailable } from '../requirements.ts';
import { drawPassword, opens, Scene } from './scene.ts';

let certificates: CertificateMaker | undefined;
let scene: Scene | undefined;

afterEach(async () => {
  await scene?.close();
  await certificates?.close();
});

const NAMES = 'DNS:localhost,IP:127.0.0.1';

it('a whole reset over TLS, without consent to plain connections anywhere', async (context) => {
  if (!(await hasOpenssl())) return unavailable(context, 'certificates', 'apt-get install openssl');
  certificates = await CertificateMaker.open();
  scene = await Scene.open({ tls: { ...(await certificates.make({ name: NAMES })), caPem: certificates.caPem } });
  expect(scene.controlPlane.url).toMatch(/^https:/);
  const agentConfig = { v: 1, rootfs: ['overlay'] };
  const guest = await scene.guest({ name: `tls-${process.pid}`, vnc: false, agentConfig });
  const { done } = await scene.reset(['reset', guest.name]);
  expect(done.state).toBe('DONE');
  expect(await opens(guest, 'root', done.secrets?.account ?? '')).toBe(true);
});

it('an authority that the trust file does not name is refused: the agent never enrols', async (context) => {
  if (!(await hasOpenssl())) return unavailable(context, 'certificates', 'apt-get install openssl');
  certificates = await CertificateMaker.open();
  const other = await certificates.make({ name: NAMES, authority: 'other' });
  scene = await Scene.open({ tls: { ...(await certificates.make({ name: NAMES })), caPem: certificates.caPem } });
  const guest = await scene.controlPlane.attach({
    name: `foreign-${process.pid}`,
    vnc: false,
    agentConfig: { v: 1, rootfs: ['overlay'] },
    services: [],
  });
  try {
    await scene.controlPlane.serveWith(other);
    await guest.boot();
    const { code, stderr } = await guest.exec(['/usr/bin/latchkey-agent', 'enrol']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^latchkey-agent: TLS_REFUSED [^\n]+\n$/);
    expect((await guest.exec(['test', '-e', '/etc/latchkey-agent/join-token'])).code).toBe(0);
  } finally {
    await guest.destroy();
  }
});

/** Ends TLS in both directions with a certificate that agents trust, passes every frame on, and keeps all of them. */
async function spyRelay({ cert, key }: Certificate, port: number) {
  const heard: Buffer[] = [];
  const server = createServer({ cert, key, minVersion: 'TLSv1.3' });
  const door = new WebSocketServer({ server });
  door.on('connection', (machine, { url }) => {
    const gateway = new WebSocket(`wss://127.0.0.1:${port}${url}`, { rejectUnauthorized: false });
    const opened = new Promise<void>((resolve) => gateway.once('open', () => resolve()));
    const pass = (from: WebSocket, to: WebSocket) => {
      from.on('message', (data: Buffer) => {
        heard.push(data);
        void opened.then(() => to.send(data.toString('utf8')));
      });
      from.on('error', () => to.terminate()).on('close', () => to.terminate());
    };
    pass(machine, gateway);
    pass(gateway, machine);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => {
    for (const machine of door.clients) machine.terminate();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, heard: () => Buffer.concat(heard), close };
}

/** What was said, and what stands in it in base64url, as deep as tokens in tokens go. */
function layersOf(said: Buffer, depth = 3): Buffer[] {
  if (depth === 0 || said.length === 0) return [said];
  const inside = (said.toString('latin1').match(/[A-Za-z0-9_-]{16,}/g) ?? []).map((text) =>
    Buffer.from(text, 'base64url'),
  );
  return [said, ...layersOf(Buffer.concat(inside), depth - 1)];
}

it('a relay that ends TLS in between hears ciphertext alone of the passwords, typed and generated', async (context) => {
  if (!(await hasOpenssl())) return unavailable(context, 'certificates', 'apt-get install openssl');
  certificates = await CertificateMaker.open();
  const own = await certificates.make({ name: NAMES });
  scene = await Scene.open({ tls: { ...own, caPem: certificates.caPem } });
  const relay = await spyRelay(own, scene.controlPlane.port);
  const guest = await scene.controlPlane.attach({
    name: `relayed-${process.pid}`,
    agentConfig: { v: 1, rootfs: ['overlay'] },
  });
  try {
    guest.connectTo(relay.port);
    await guest.boot();
    await scene.controlPlane.untilOnline(guest.name);
    await guest.untilListening(VNC_PORT);
    const typed = drawPassword();
    const { done } = await scene.reset(['reset', guest.name, '--password-stdin', '--vnc'], { input: `${typed}\n` });
    expect(done.state).toBe('DONE');
    expect(await opens(guest, 'root', typed)).toBe(true);
    const heard = relay.heard();
    // It did hear the conversation, both ways: the signed command, and the receipts that answer it.
    for (const word of [done.op, '"t":"command"', '"t":"receipt"']) expect(heard.includes(word)).toBe(true);
    const vnc = done.secrets?.vnc ?? '';
    expect(vnc).toHaveLength(8);
    for (const layer of layersOf(heard)) {
      for (const secret of [typed, vnc]) expect(layer.includes(secret)).toBe(false);
    }
    // The search would find one: the operation's id stands inside the signed command, two encodings deep.
    expect(
      layersOf(heard)
        .slice(1)
        .some((layer) => layer.includes(done.op)),
    ).toBe(true);
  } finally {
    relay.close();
    await guest.destroy();
  }
});
