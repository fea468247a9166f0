// All VNC servers of a guest as one port: asks every kind for its own and hands each call to the kind that a record
// names. It knows nothing of servers itself, and never prefers one of them.

import { Failure } from '../../protocol/failure.ts';
import type { Vnc, VncServer } from '../ports/vnc.ts';
import type { Proc } from './proc.ts';
import type { VncByFileOptions } from './vnc-by-file.ts';
import { vncTigervnc } from './vnc-tigervnc.ts';
import { vncTightvnc } from './vnc-tightvnc.ts';
import { vncWayvnc } from './vnc-wayvnc.ts';
import { vncX11vnc } from './vnc-x11vnc.ts';

/** `proc` is for tests that show the adapters another machine. */
export type VncServersOptions = VncByFileOptions & Readonly<{ proc?: Proc }>;

/** By the part of an id before its colon. */
export type VncKinds = Readonly<Record<string, Vnc>>;

export function vncServers(options: VncServersOptions): Vnc {
  return joinVnc({
    tigervnc: vncTigervnc(options),
    tightvnc: vncTightvnc(options),
    x11vnc: vncX11vnc(options),
    wayvnc: vncWayvnc(options),
  });
}

export function joinVnc(kinds: VncKinds): Vnc {
  function adapterOf({ id }: VncServer): Vnc {
    const kind = id.slice(0, id.indexOf(':'));
    const adapter = Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
    // A record may have been written by another version, which knew more kinds.
    if (adapter === undefined) throw new Failure('VNC_FAILED', { server: id, reason: 'unknown_kind' });
    return adapter;
  }
  return {
    list: async () => (await Promise.all(Object.values(kinds).map((kind) => kind.list()))).flat(),
    files: async (server) => adapterOf(server).files(server),
    demandChangeable: async (server, password) => adapterOf(server).demandChangeable(server, password),
    setPassword: async (server, password) => adapterOf(server).setPassword(server, password),
    restart: async (server) => adapterOf(server).restart(server),
    probe: async (server, password) => adapterOf(server).probe(server, password),
    probeStored: async (server) => adapterOf(server).probeStored(server),
  };
}
