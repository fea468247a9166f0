// What every kind of VNC server is found by: its program, its port, its owner, and the file that its arguments name.
// Looks only; what it reads of a command line goes into no log.

import { readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { PASSWORD_BYTES_MAX, VNCAUTH_BYTES } from '../../protocol/limits.ts';
import type { VncKind, VncServer } from '../ports/vnc.ts';
import { parsePasswd } from './account-database.ts';
import type { PasswordFormat } from './password-format.ts';
import type { Listener, Proc, Process } from './proc.ts';

/** A running server as found, beside its record. */
export type Found = Readonly<{
  server: VncServer;
  process: Process;
  /** The IPv4 address at which it is reached. */
  address: string;
  /** The file that the running server reads, in its own view of the tree. */
  live: string | undefined;
  /** Why a file would not be obeyed, where that is so. */
  obstacle: string | undefined;
  format: PasswordFormat;
  /** Whose name goes with the password, where the server wants one. */
  user: string | undefined;
}>;

/** What a kind of server says of a process of its own; the rest is the same for all. */
export type Said = Readonly<{
  kind: string;
  /** The port that its arguments name. */
  asked: number | undefined;
  credential: VncKind;
  live: string | undefined;
  /** The file of the next start, where that is not the live one. */
  source?: string | null;
  obstacle?: string | undefined;
  format: PasswordFormat;
  user?: string;
  reads?: 'start' | undefined;
  display?: 'own' | undefined;
}>;

export function describeServer(proc: Proc, process: Process, said: Said): Found {
  const { asked, credential, live, obstacle, format, source = live ?? null } = said;
  const listener = listenerOf(proc, process, asked);
  const port = listener?.port ?? null;
  return {
    process,
    address: listener?.address ?? LOOPBACK,
    live,
    obstacle,
    format,
    user: said.user,
    server: {
      id: `${said.kind}:${port ?? nameWithoutPort(proc, process, asked)}`,
      kind: credential,
      effective: credential === 'vncauth' ? VNCAUTH_BYTES : PASSWORD_BYTES_MAX,
      port,
      owner: { uid: process.uid, gid: process.gid },
      source: source !== null && outlives(proc, process, source) ? source : null,
      ...(said.reads ? { reads: said.reads } : {}),
      ...(said.display ? { display: said.display } : {}),
    },
  };
}

/** Only the machine's own programs: a user's file of the same name may be anything. */
export function runningServers(proc: Proc, programs: readonly string[]): readonly Process[] {
  return proc.running(programs).filter((process) => proc.isSystemProgram(process));
}

const LOOPBACK = '127.0.0.1';

/** Where a server listens; `undefined` where it cannot be reached from here. `asked` is what its arguments say. */
function listenerOf(proc: Proc, { pid }: Process, asked: number | undefined): Listener | undefined {
  const listening = proc.sameNetwork(pid) ? proc.listeners(pid) : [];
  // X servers listen for X clients as well; the port asked for wins, then one where VNC servers usually are.
  const named = listening.find(({ port }) => port === asked);
  return named ?? listening.find(({ port }) => port >= 5900 && port < 6000) ?? listening[0];
}

/** In another network of the machine a port names another server than here: such a one must not take its name. */
function nameWithoutPort(proc: Proc, { pid }: Process, asked: number | undefined): number {
  return proc.sameNetwork(pid) ? (asked ?? 0) : 0;
}

/** Whether the file can be found again when the process is gone: it must be the same one for the machine. */
function outlives(proc: Proc, { pid }: Process, path: string): boolean {
  return proc.sameRoot(pid) && proc.sameFolder(pid, posix.dirname(path));
}

export function homeOf(uid: number, passwd = '/etc/passwd'): string | undefined {
  return parsePasswd(readFileSync(passwd, 'utf8')).find((entry) => entry.uid === uid)?.home;
}

/** The tree as the process sees it. */
export function rootOf(pid: number): string {
  return `/proc/${pid}/root`;
}

/** The tree as the machine's first process sees it: this one may be kept from seeing homes and from writing elsewhere. */
export const MACHINE_ROOT = rootOf(1);

export function parsePort(text: string | undefined): number | undefined {
  const port = Number(text ?? '');
  return Number.isInteger(port) && port > 0 && port <= 65_535 ? port : undefined;
}

/** The port that follows from an X display among the arguments. */
export function portOfDisplay(argv: readonly string[]): number | undefined {
  const display = argv.slice(1).find((argument) => /^:[0-9]{1,4}$/.test(argument));
  return display === undefined ? undefined : 5900 + Number(display.slice(1));
}
