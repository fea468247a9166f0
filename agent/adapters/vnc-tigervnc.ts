// TigerVNC servers of a Linux guest: found by their program files, changed through their password files, proven by one
// handshake. Never starts, stops or configures a server, and never believes that a file is in force without asking.

import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename, posix } from 'node:path';
import { Failure } from '../../protocol/failure.ts';
import type { Vnc, VncFile, VncServer, VncVerdict } from '../ports/vnc.ts';
import { parsePasswd } from './account-database.ts';
import { defaultWriter, type OwnerFile, openOwnerFile, type Writer } from './owner-file.ts';
import { type Proc, type Process, procAt } from './proc.ts';
import { authenticateRfb } from './rfb.ts';
import { isWrapperCopy, parseTigervncArguments, type TigervncArguments } from './tigervnc-arguments.ts';
import { findWrapperSource } from './tigervnc-source.ts';
import { deobfuscate, effectiveBytes, obfuscate } from './vncauth.ts';

/** By program file; `Xvnc` and `x0vncserver` are TigerVNC's where its own configuration folder names are used. */
const PROGRAMS = ['Xtigervnc', 'X0tigervnc', 'Xvnc', 'x0vncserver'];
/** TigerVNC counts failures by source address: this one is nobody else's. */
const PROBE_ADDRESS = '127.88.0.1';
const FALLBACK_ADDRESS = '127.0.0.1';
const PROBE_TIMEOUT_MS = 5_000;
/** Longer than any server seen to follow a false "accepted" with more. */
const QUIET_MS = 250;

export type VncTigervncOptions = Readonly<{
  /** Keys the hashes of the files; known to root only. */
  macKey: Uint8Array;
  writer?: Writer;
  proc?: Proc;
  passwd?: string;
  configFolder?: string;
  probeTimeoutMs?: number;
}>;

/** A running server as found, beside its record. */
type Found = Readonly<{ server: VncServer; process: Process; given: TigervncArguments; livePath: string | undefined }>;
type Target = Readonly<{ role: VncFile['role']; path: string; file: OwnerFile }>;

export function vncTigervnc(options: VncTigervncOptions): Vnc {
  const proc = options.proc ?? procAt();
  const writer = options.writer ?? defaultWriter;

  const findAll = (): readonly Found[] => proc.running(PROGRAMS).flatMap((process) => describe(process) ?? []);
  /** The running server that a record speaks of: the same name and the same owner. */
  const findRunning = ({ id, owner }: VncServer): Found | undefined =>
    findAll().find(({ server }) => server.id === id && server.owner.uid === owner.uid);

  function describe(process: Process): Found | undefined {
    if (!isTiger(process)) return undefined;
    const given = parseTigervncArguments(process.argv);
    const port = choosePort(proc.sameNetwork(process.pid) ? proc.listeningPorts(process.pid) : [], given.port);
    const home = homeOf(process.uid);
    const livePath = resolveLive(process, given, home);
    return {
      process,
      given,
      livePath,
      server: {
        id: `tigervnc:${port ?? `${given.port ?? 'unknown'}-unreachable`}`,
        kind: given.kind,
        effective: given.effective,
        port,
        owner: { uid: process.uid, gid: process.gid },
        source: given.kind === 'vncauth' ? findSource(process, livePath, home) : null,
      },
    };
  }

  function homeOf(uid: number): string | undefined {
    const entries = parsePasswd(readFileSync(options.passwd ?? '/etc/passwd', 'utf8'));
    return entries.find((entry) => entry.uid === uid)?.home;
  }

  /** Another root's files cannot be found again after its processes are gone. */
  function findSource(process: Process, livePath: string | undefined, home: string | undefined): string | null {
    if (livePath === undefined || !proc.sameRoot(process.pid)) return null;
    if (!isWrapperCopy(livePath)) return livePath;
    if (home === undefined) return null;
    const parent = proc.process(process.parent);
    const isWrapper = parent?.argv.slice(0, 2).some((argument) => /vncserver$/.test(basename(argument)));
    return findWrapperSource({
      home,
      wrapperArguments: isWrapper ? parent?.argv.slice(1) : undefined,
      liveContent: attemptRead(() => readFileSync(insideRoot(process.pid, livePath))),
      configFolder: options.configFolder ?? '/etc/tigervnc',
    });
  }

  /** The files of a record's server, opened: the source by the record, the live one by what runs now. */
  function openTargets(server: VncServer, found: Found | undefined): readonly Target[] {
    const targets: Target[] = [];
    try {
      if (server.source !== null) {
        const file = openOwnerFile(server.source, server.owner, writer);
        targets.push({ role: 'source', path: server.source, file });
      }
      if (found?.livePath !== undefined) {
        const file = openOwnerFile(insideRoot(found.process.pid, found.livePath), server.owner, writer);
        if (targets.some((target) => target.file.isSame(file))) file.close();
        else targets.push({ role: 'live', path: found.livePath, file });
      }
      return targets;
    } catch (error) {
      closeAll(targets);
      throw error;
    }
  }

  function hashAll(targets: readonly Target[]): readonly VncFile[] {
    return targets.flatMap(({ role, path, file }) => {
      const content = file.read();
      if (content === undefined) return [];
      return [{ role, path, hash: createHmac('sha256', options.macKey).update(content).digest('base64url') }];
    });
  }

  async function handshake(server: VncServer, password: Uint8Array): Promise<VncVerdict> {
    // The port alone could be someone else's by now.
    const port = findRunning(server)?.server.port;
    if (server.kind !== 'vncauth') return unknown('account_kind');
    if (port === undefined || port === null) return unknown('not_running');
    const wanted = { port, timeoutMs: options.probeTimeoutMs ?? PROBE_TIMEOUT_MS, quietMs: QUIET_MS };
    const verdict = await authenticateRfb({ ...wanted, localAddress: PROBE_ADDRESS }, password);
    if (verdict !== 'bind') return verdict;
    const again = await authenticateRfb({ ...wanted, localAddress: FALLBACK_ADDRESS }, password);
    return again === 'bind' ? unknown('address') : again;
  }

  return {
    list: async () => findAll().map(({ server }) => server),

    async files(server) {
      if (server.kind !== 'vncauth') return [];
      const targets = openTargets(server, findRunning(server));
      try {
        return hashAll(targets);
      } finally {
        closeAll(targets);
      }
    },

    async setPassword(server, password) {
      const found = findRunning(server);
      assertChangeable(server, found);
      const targets = openTargets(server, found);
      const bytes = password.revealBytes();
      try {
        await replaceAll(targets, bytes);
        return hashAll(targets);
      } finally {
        bytes.fill(0);
        closeAll(targets);
      }
    },

    async probe(server, password) {
      const bytes = password.revealBytes();
      try {
        return await handshake(server, bytes);
      } finally {
        bytes.fill(0);
      }
    },

    async probeStored(server) {
      const stored = readStored(server, writer);
      if (stored === undefined) return unknown('unreadable');
      try {
        return await handshake(server, stored);
      } finally {
        stored.fill(0);
      }
    },
  };
}

function assertChangeable(server: VncServer, found: Found | undefined): void {
  const reason =
    server.kind !== 'vncauth'
      ? 'account_kind'
      : found?.given.inline
        ? 'inline_password'
        : server.source === null
          ? 'source_unknown'
          : undefined;
  if (reason !== undefined) throw new Failure('VNC_FAILED', { server: server.id, reason });
}

/** Writes the same 8 bytes to every file, or leaves all of them as they were. */
async function replaceAll(targets: readonly Target[], password: Uint8Array): Promise<void> {
  // The last is what the server reads now: the live copy, or the source itself.
  const before = targets.map(({ file }) => ({ file, content: file.read() }));
  const content = obfuscate(password);
  try {
    assertDiffers(before.at(-1)?.content, password);
    await writeEach(before, content);
  } finally {
    for (const bytes of [content, ...before.map((each) => each.content)]) bytes?.fill(0);
  }
}

async function writeEach(
  before: readonly { file: OwnerFile; content: Buffer | undefined }[],
  content: Uint8Array,
): Promise<void> {
  const touched: (typeof before)[number][] = [];
  try {
    for (const each of before) {
      touched.push(each);
      await each.file.replace(content);
      if (!each.file.read()?.equals(content)) throw new Failure('VNC_FAILED', { reason: 'read_back' });
    }
  } catch (error) {
    // Every file is put back even where another cannot be; the first trouble is the one to tell.
    for (const { file, content: old } of touched) await (old ? file.replace(old) : file.remove()).catch(() => {});
    throw error;
  }
}

function assertDiffers(current: Uint8Array | undefined, password: Uint8Array): void {
  const [stored, wanted] = [current && deobfuscate(current), effectiveBytes(password)];
  const same = stored !== undefined && Buffer.from(stored).equals(wanted);
  stored?.fill(0);
  wanted.fill(0);
  if (same) throw new Failure('VNC_FAILED', { reason: 'unchanged' });
}

/** The secret in the source file; `undefined` where there is none, or an empty one, which proves nothing. */
function readStored(server: VncServer, writer: Writer): Uint8Array | undefined {
  if (server.source === null || server.kind !== 'vncauth') return undefined;
  const source = server.source;
  return attemptRead(() => {
    const file = openOwnerFile(source, server.owner, writer);
    try {
      const content = file.read();
      const stored = content && deobfuscate(content);
      content?.fill(0);
      return stored?.some((byte) => byte !== 0) ? stored : undefined;
    } finally {
      file.close();
    }
  });
}

/** `Xvnc` and `x0vncserver` are also what other makers call theirs: TigerVNC's know these parameters. */
function isTiger({ exe, argv }: Process): boolean {
  if (/tigervnc/.test(basename(exe))) return true;
  return argv.some((argument) => /^-{0,2}(?:SecurityTypes|PasswordFile|rfbauth)(?:=|$)/i.test(argument));
}

/** X servers listen for X clients as well; the port asked for wins, then one where VNC servers usually are. */
function choosePort(listening: readonly number[], asked: number | undefined): number | null {
  if (asked !== undefined && listening.includes(asked)) return asked;
  return listening.find((port) => port >= 5900 && port < 6000) ?? listening[0] ?? null;
}

/** The file that the running server reads, in its own view of the tree. */
function resolveLive(process: Process, given: TigervncArguments, home: string | undefined): string | undefined {
  if (given.passwordFile !== undefined) return posix.resolve(process.cwd, given.passwordFile);
  return home === undefined ? undefined : posix.join(home, '.vnc', 'passwd');
}

function insideRoot(pid: number, path: string): string {
  return `/proc/${pid}/root${path}`;
}

function closeAll(targets: readonly Target[]): void {
  for (const { file } of targets) file.close();
}

function unknown(reason: string): VncVerdict {
  return { verdict: 'unknown', reason };
}

function attemptRead<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
