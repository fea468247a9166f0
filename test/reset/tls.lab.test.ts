// The way it runs outside a laboratory: https and wss with a private authority, which the trust file pins and nothing else
// vouches for.

import { afterEach, expect, it } from 'vitest';
import { CertificateMaker, hasOpenssl } from '../agent/link/certificates.ts';
import { unavailable } from '../requirements.ts';
import { opens, Scene } from './scene.ts';

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
