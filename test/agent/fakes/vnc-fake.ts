// VNC servers of a fake machine, by the contract of the port. It knows passwords in clear and must never leave the tests.

import type { Vnc, VncFile, VncServer, VncVerdict } from '../../../agent/ports/vnc.ts';
import { Failure } from '../../../protocol/failure.ts';
import { PASSWORD_BYTES_MAX, VNCAUTH_BYTES } from '../../../protocol/limits.ts';
import { Secret } from '../../../protocol/secret.ts';
import { type FakeMachine, type FakeVncServer, hashOf } from './machine-fake.ts';

/** After so many in a row a server answers nobody for a while. */
const FAILURES_MAX = 5;
const LIVE_PATH = '/tmp/tigervnc.fake01/passwd';

export function vncFake(machine: FakeMachine): Vnc {
  const call = <T>(name: string, act: () => T): Promise<T> => machine.faults.around(`vnc.${name}`, act);
  const running = (server: VncServer): FakeVncServer | undefined =>
    machine.vncServers.find((fake) => fake.running && idOf(fake) === server.id && fake.uid === server.owner.uid);
  /** The files are on the disk whether the server runs or not. */
  const onDisk = (server: VncServer): FakeVncServer | undefined =>
    machine.vncServers.find((fake) => fake.sourcePath === server.source && fake.sourcePath !== null);

  function filesOf(server: VncServer): readonly VncFile[] {
    if (server.kind !== 'vncauth') return [];
    const fake = onDisk(server);
    if (fake?.unsafe) throw new Failure('VNC_FAILED', { reason: fake.unsafe });
    const now = running(server);
    const live = now?.copies ? now.live : null;
    const source = fake?.source ?? null;
    return [
      ...(source !== null && server.source !== null
        ? [{ role: 'source', path: server.source, hash: hashOf(source) } as const]
        : []),
      ...(live !== null ? [{ role: 'live', path: LIVE_PATH, hash: hashOf(live) } as const] : []),
    ];
  }

  function answer(server: VncServer, wanted: string | null): VncVerdict {
    if (server.kind !== 'vncauth') return unknown('account_kind');
    const fake = running(server);
    if (fake === undefined) return unknown('not_running');
    if (fake.trouble !== null) return unknown(fake.trouble);
    if (fake.failures >= FAILURES_MAX) return unknown('blocked');
    const inForce = !fake.obeysFiles ? null : fake.copies || fake.atStart ? fake.live : fake.source;
    const accepted =
      fake.takesAll || (wanted !== null && wanted === fake.alsoTakes) || (inForce !== null && wanted === inForce);
    fake.failures = accepted ? 0 : fake.failures + 1;
    return accepted ? { verdict: 'accepted', reason: 'accepted' } : { verdict: 'rejected', reason: 'rejected' };
  }

  function changeable(server: VncServer): FakeVncServer {
    const fake = onDisk(server);
    if (server.kind !== 'vncauth') throw new Failure('VNC_FAILED', { server: server.id, reason: 'account_kind' });
    if (fake?.inline) throw new Failure('VNC_FAILED', { server: server.id, reason: 'inline_password' });
    if (fake === undefined) throw new Failure('VNC_FAILED', { server: server.id, reason: 'source_unknown' });
    if (fake.unsafe) throw new Failure('VNC_FAILED', { reason: fake.unsafe });
    return fake;
  }

  const storedIn = (fake: FakeVncServer, server: VncServer): string | null =>
    (running(server) && fake.copies ? fake.live : null) ?? fake.source;
  const unchanged = (): Failure => new Failure('VNC_FAILED', { reason: 'unchanged' });

  return {
    list: () => call('list', () => machine.vncServers.filter((fake) => fake.running).map(recordOf)),
    files: (server) => call('files', () => filesOf(server)),
    demandChangeable: (server, password) =>
      call('demandChangeable', () => {
        const fake = changeable(server);
        if (password && storedIn(fake, server) === effective(password)) throw unchanged();
      }),
    restart: (server) =>
      call('restart', () => {
        const fake = running(server);
        if (!fake?.managed) return 'unmanaged';
        machine.startVnc(fake);
        return 'restarted';
      }),
    setPassword: (server, password) =>
      call('setPassword', () => {
        const fake = changeable(server);
        const wanted = effective(password);
        const stored = storedIn(fake, server);
        if (stored === wanted) throw unchanged();
        if (fake.unwritable) throw new Failure('VNC_FAILED', { reason: 'write' });
        fake.source = wanted;
        if (running(server) && fake.copies) fake.live = wanted;
        return { files: filesOf(server), previous: stored === null ? null : Secret.ofText(stored) };
      }),
    probe: (server, password) => call('probe', () => answer(server, effective(password))),
    probeStored: (server) =>
      call('probeStored', () => {
        const stored = onDisk(server)?.source ?? null;
        return stored === null ? unknown('unreadable') : answer(server, stored);
      }),
  };
}

function recordOf(fake: FakeVncServer): VncServer {
  return {
    id: idOf(fake),
    kind: fake.kind,
    effective: fake.kind === 'vncauth' ? VNCAUTH_BYTES : PASSWORD_BYTES_MAX,
    port: fake.port,
    owner: { uid: fake.uid, gid: fake.uid },
    source: fake.kind === 'vncauth' ? fake.sourcePath : null,
    ...(fake.atStart ? { reads: 'start' } : {}),
    display: 'own',
  };
}

function idOf({ port }: FakeVncServer): string {
  return `tigervnc:${port}`;
}

function effective(password: Secret): string {
  return password.reveal().slice(0, VNCAUTH_BYTES);
}

function unknown(reason: string): VncVerdict {
  return { verdict: 'unknown', reason };
}
