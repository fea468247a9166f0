// The VNC port for any kind of server whose credential is a file: list, change and prove are the same for all, and only
// finding them differs. Never starts, stops or configures a server by itself, and never believes that a file is in force
// without asking.

import { Failure } from '../../protocol/failure.ts';
import { Secret } from '../../protocol/secret.ts';
import type { Services } from '../ports/services.ts';
import type { Vnc, VncServer, VncVerdict } from '../ports/vnc.ts';
import {
  assertReplaceable,
  closeAll,
  hashAll,
  openTargets,
  readPassword,
  replaceAll,
  type Target,
} from './credential-files.ts';
import { defaultWriter, openOwnerFile, type Writer } from './owner-file.ts';
import type { PasswordFormat } from './password-format.ts';
import type { Proc } from './proc.ts';
import { authenticateRfb } from './rfb.ts';
import { type Found, MACHINE_ROOT } from './vnc-process.ts';

/** Servers count failures by source address: this one is nobody else's. */
const PROBE_ADDRESS = '127.88.0.1';
const FALLBACK_ADDRESS = '127.0.0.1';
const PROBE_TIMEOUT_MS = 5_000;
/** Longer than any server seen to follow a false "accepted" with more. */
const QUIET_MS = 250;

export type VncByFileOptions = Readonly<{
  /** Keys the hashes of the files; known to root only. */
  macKey: Uint8Array;
  services: Services;
  writer?: Writer;
  probeTimeoutMs?: number;
}>;

/** What is particular to one kind of server. */
export type ServerKind = Readonly<{
  proc: Proc;
  findAll(): readonly Found[];
  /** The format while no server runs that would tell; a kind with several formats has none. */
  restingFormat: PasswordFormat | undefined;
  /**
   * Closes connections from addresses that it does not know before it says a word, and counts nothing: then the usual
   * address may be tried as well.
   */
  closesOnStrangers: boolean;
}>;

export function vncByFile(options: VncByFileOptions, kind: ServerKind): Vnc {
  const writer = options.writer ?? defaultWriter;

  const findAll = (): readonly Found[] => oneOfFamily(kind.findAll());

  /** The running server that a record speaks of: the same name and the same owner, and no other that has both. */
  function findRunning({ id, owner }: VncServer): Found | undefined {
    const found = findAll().filter(({ server }) => server.id === id && server.owner.uid === owner.uid);
    return found.length === 1 ? found[0] : undefined;
  }

  /** The server's files, for as long as nothing is known that would keep a new password from being obeyed. */
  function openChangeable(server: VncServer): Readonly<{ targets: readonly Target[]; format: PasswordFormat }> {
    const found = findRunning(server);
    const format = found?.format ?? kind.restingFormat;
    assertChangeable(server, found);
    if (format === undefined) throw new Failure('VNC_FAILED', { server: server.id, reason: 'not_running' });
    return { targets: openTargets(server, found, writer), format };
  }

  async function handshake(server: VncServer, found: Found | undefined, password: Uint8Array): Promise<VncVerdict> {
    if (server.kind === 'account') return unknown('account_kind');
    // The port alone could be someone else's by now.
    if (found === undefined || found.server.port === null) return unknown('not_running');
    const { address, process } = found;
    const wanted = {
      address,
      port: found.server.port,
      timeoutMs: options.probeTimeoutMs ?? PROBE_TIMEOUT_MS,
      quietMs: QUIET_MS,
      isServer: (ports: { port: number; peerPort: number }) => kind.proc.holdsConnection(process.pid, ports),
    };
    const credential = { user: found.user, password };
    const verdict = await authenticateRfb({ ...wanted, localAddress: PROBE_ADDRESS }, credential);
    const turnedAway = verdict === 'bind' || (kind.closesOnStrangers && verdict.reason === 'closed');
    if (!turnedAway) return verdict;
    const again = await authenticateRfb({ ...wanted, localAddress: FALLBACK_ADDRESS }, credential);
    return again === 'bind' ? unknown('address') : again;
  }

  return {
    list: async () => findAll().map(({ server }) => server),

    async files(server) {
      if (server.kind === 'account') return [];
      const targets = openTargets(server, findRunning(server), writer);
      try {
        return hashAll(targets, options.macKey);
      } finally {
        closeAll(targets);
      }
    },

    async demandChangeable(server, password) {
      const { targets, format } = openChangeable(server);
      const bytes = password?.revealBytes();
      try {
        assertReplaceable(targets, bytes, format);
      } finally {
        bytes?.fill(0);
        closeAll(targets);
      }
    },

    async setPassword(server, password) {
      const { targets, format } = openChangeable(server);
      const bytes = password.revealBytes();
      try {
        const previous = await replaceAll(targets, bytes, format);
        return { files: hashAll(targets, options.macKey), previous: asSecret(previous) };
      } finally {
        bytes.fill(0);
        closeAll(targets);
      }
    },

    async restart(server) {
      const found = findRunning(server);
      const service = found && (await options.services.serviceOf(found.process.pid));
      if (!service) return 'unmanaged';
      await options.services.restart(service);
      return 'restarted';
    },

    async probe(server, password) {
      const bytes = password.revealBytes();
      try {
        return await handshake(server, findRunning(server), bytes);
      } finally {
        bytes.fill(0);
      }
    },

    async probeStored(server) {
      const found = findRunning(server);
      const format = found?.format ?? kind.restingFormat;
      if (format === undefined) return unknown('not_running');
      const stored = readStored(server, format, writer);
      if (stored === undefined) return unknown('unreadable');
      try {
        return await handshake(server, found, stored);
      } finally {
        stored.fill(0);
      }
    },
  };
}

/** A server may watch over another process of its own, or serve with one: of parent and child, the one that listens. */
function oneOfFamily(all: readonly Found[]): readonly Found[] {
  return all.filter(({ process, server }) =>
    server.port === null
      ? !all.some((child) => child.process.parent === process.pid)
      : !all.some((parent) => parent.process.pid === process.parent && parent.server.port === server.port),
  );
}

function assertChangeable(server: VncServer, found: Found | undefined): void {
  const reason =
    server.kind === 'account'
      ? 'account_kind'
      : (found?.obstacle ?? (server.source === null ? 'source_unknown' : undefined));
  if (reason !== undefined) throw new Failure('VNC_FAILED', { server: server.id, reason });
}

function readStored(server: VncServer, format: PasswordFormat, writer: Writer): Uint8Array | undefined {
  if (server.source === null || server.kind === 'account') return undefined;
  try {
    const file = openOwnerFile({ root: MACHINE_ROOT, path: server.source }, server.owner, writer);
    try {
      return readPassword(file, format);
    } finally {
      file.close();
    }
  } catch {
    return undefined;
  }
}

/** Without the NUL that fills it: a server would not take that for the end where it comes with its length. */
function asSecret(bytes: Uint8Array | undefined): Secret | null {
  const end = bytes?.indexOf(0) ?? 0;
  const text = end < 0 ? bytes : bytes?.subarray(0, end);
  const secret = text?.length ? Secret.ofBytes(Uint8Array.from(text)) : null;
  bytes?.fill(0);
  return secret;
}

function unknown(reason: string): VncVerdict {
  return { verdict: 'unknown', reason };
}
