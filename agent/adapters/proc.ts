// Reads processes, their sockets and locks from /proc (proc(5)). Never writes, never signals, and never hands out a
// command line to be logged: other programs' arguments can hold secrets.

import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** Largest text read from one file of /proc. */
const TEXT_BYTES_MAX = 4_194_304;
const LISTENING = '0A';

export type Process = Readonly<{
  pid: number;
  parent: number;
  /** The program file, without the mark that the kernel adds when it was replaced on the disk. */
  exe: string;
  argv: readonly string[];
  uid: number;
  gid: number;
  cwd: string;
}>;

export type Proc = {
  /** Processes whose program's base name is among these. One that ends meanwhile is left out. */
  running(programs: readonly string[]): readonly Process[];
  process(pid: number): Process | undefined;
  /** TCP ports at which the process itself listens. */
  listeningPorts(pid: number): readonly number[];
  sameNetwork(pid: number): boolean;
  /** Whether the process sees the same `/` as this one. */
  sameRoot(pid: number): boolean;
  /** Start time in clock ticks after boot; with the boot id it tells a process from a later one of the same number. */
  startTime(pid: number): string | undefined;
};

export function procAt(root = '/proc'): Proc {
  const file = (...parts: (string | number)[]): string => join(root, ...parts.map(String));
  const pids = (): number[] => readdirSync(root).filter(isNumber).map(Number);

  function exeOf(pid: number): string | undefined {
    return attempt(() => readlinkSync(file(pid, 'exe')).replace(/ \(deleted\)$/, ''));
  }

  function processOf(pid: number): Process | undefined {
    return attempt(() => {
      const exe = exeOf(pid);
      if (exe === undefined) return undefined;
      const status = readText(file(pid, 'status'));
      return {
        pid,
        exe,
        parent: statusNumber(status, 'PPid'),
        uid: statusNumber(status, 'Uid'),
        gid: statusNumber(status, 'Gid'),
        argv: splitArguments(readText(file(pid, 'cmdline'))),
        cwd: readlinkSync(file(pid, 'cwd')),
      };
    });
  }

  /** Inodes of the sockets that the process holds. */
  function socketsOf(pid: number): Set<string> {
    const links = readdirSync(file(pid, 'fd')).map((fd) => attempt(() => readlinkSync(file(pid, 'fd', fd))) ?? '');
    return new Set(links.flatMap((link) => /^socket:\[([0-9]+)\]$/.exec(link)?.[1] ?? []));
  }

  function same(pid: number, what: string): boolean {
    const [theirs, ours] = [attempt(() => statSync(file(pid, what))), attempt(() => statSync(file('self', what)))];
    return theirs !== undefined && theirs.dev === ours?.dev && theirs.ino === ours.ino;
  }

  return {
    process: processOf,
    running(programs) {
      return pids().flatMap((pid) => {
        const exe = exeOf(pid);
        return exe !== undefined && programs.includes(baseName(exe)) ? (processOf(pid) ?? []) : [];
      });
    },
    listeningPorts(pid) {
      const sockets = attempt(() => socketsOf(pid)) ?? new Set<string>();
      const tables = ['tcp', 'tcp6'].map((name) => attempt(() => readText(file(pid, 'net', name))) ?? '');
      const ports = tables.flatMap(parseTcpListeners).filter(({ inode }) => sockets.has(inode));
      return [...new Set(ports.map(({ port }) => port))].sort((a, b) => a - b);
    },
    sameNetwork: (pid) => same(pid, 'ns/net'),
    sameRoot: (pid) => same(pid, 'root'),
    startTime: (pid) => attempt(() => parseStartTime(readText(file(pid, 'stat')))),
  };
}

/** Rows in state LISTEN of /proc/net/tcp or tcp6: local port and the socket's inode. */
export function parseTcpListeners(table: string): readonly { port: number; inode: string }[] {
  return table.split('\n').flatMap((row) => {
    const [, local, , state, , , , , , inode] = row.trim().split(/\s+/);
    const port = local?.split(':').at(-1);
    if (state !== LISTENING || !port || !inode) return [];
    return [{ port: Number.parseInt(port, 16), inode }];
  });
}

/** Field 22 of /proc/PID/stat. The name in field 2 may itself hold blanks and brackets, so count from its last bracket. */
export function parseStartTime(stat: string): string | undefined {
  const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // A zombie holds nothing any more.
  return state === 'Z' || state === 'X' ? undefined : rest[18];
}

/** Whether the file with this inode is locked, in the text of /proc/locks; waiters (`->`) do not count, nor `exceptPid`. */
export function isLocked(locks: string, inode: number, exceptPid?: number): boolean {
  return locks.split('\n').some((row) => {
    const [, kind, , , pid, file] = row.trim().split(/\s+/);
    return kind !== '->' && Number(pid) !== exceptPid && file?.split(':')[2] === String(inode);
  });
}

function splitArguments(cmdline: string): string[] {
  const argv = cmdline.split('\0');
  // The last argument ends in NUL, too.
  if (argv.at(-1) === '') argv.pop();
  return argv;
}

function statusNumber(status: string, field: string): number {
  const value = new RegExp(`^${field}:\\s+([0-9]+)`, 'm').exec(status)?.[1];
  if (value === undefined) throw new Error(`no ${field} in status`);
  return Number(value);
}

function readText(path: string): string {
  const text = readFileSync(path, 'utf8');
  if (text.length > TEXT_BYTES_MAX) throw new Error(`${path} is too large`);
  return text;
}

function isNumber(name: string): boolean {
  return /^[0-9]+$/.test(name);
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Processes come and go while they are read, and some may not be looked into: then there is no answer. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
