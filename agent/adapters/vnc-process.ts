// What every kind of VNC server is found by: its program, its port, its owner, and the file that its arguments name.
// Looks only; what it reads of a command line goes into no log.

import { readFileSync } from 'node:fs';
import type { VncServer } from '../ports/vnc.ts';
import { parsePasswd } from './account-database.ts';
import type { PasswordFormat } from './password-format.ts';
import type { Proc, Process } from './proc.ts';

/** A running server as found, beside its record. */
export type Found = Readonly<{
  server: VncServer;
  process: Process;
  /** The file that the running server reads, in its own view of the tree. */
  live: string | undefined;
  /** Why a file would not be obeyed, where that is so. */
  obstacle: string | undefined;
  format: PasswordFormat;
}>;

/** Where a server listens; `null` where it cannot be reached from here. `asked` is what its arguments say. */
export function portOf(proc: Proc, { pid }: Process, asked: number | undefined): number | null {
  const listening = proc.sameNetwork(pid) ? proc.listeningPorts(pid) : [];
  // X servers listen for X clients as well; the port asked for wins, then one where VNC servers usually are.
  if (asked !== undefined && listening.includes(asked)) return asked;
  return listening.find((port) => port >= 5900 && port < 6000) ?? listening[0] ?? null;
}

/** A server that cannot be reached is named by the port it was told, or by none. */
export function idOf(kind: string, port: number | null, asked: number | undefined): string {
  return `${kind}:${port ?? asked ?? 0}`;
}

export function homeOf(uid: number, passwd = '/etc/passwd'): string | undefined {
  return parsePasswd(readFileSync(passwd, 'utf8')).find((entry) => entry.uid === uid)?.home;
}

/** A path as the process sees it. */
export function insideRoot(pid: number, path: string): string {
  return `/proc/${pid}/root${path}`;
}

export function parsePort(text: string | undefined): number | undefined {
  const port = Number(text ?? '');
  return Number.isInteger(port) && port > 0 && port <= 65_535 ? port : undefined;
}

/** The port that follows from an X display among the arguments. */
export function portOfDisplay(argv: readonly string[]): number | undefined {
  const display = argv.slice(1).find((argument) => /^:[0-9]{1,4}$/.test(argument));
  return display === undefined ? undefined : 5900 + Number(display.slice(1));
}
