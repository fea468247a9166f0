// Reads processes, their sockets and locks from /proc (proc(5)). Never writes, never signals, and never hands out a
// command line to be logged: other programs' arguments can hold secrets.

import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { endianness } from 'node:os';
import { dirname, join } from 'node:path';
import { isMachines } from './machine-files.ts';

/** Largest text read from one file of /proc. */
const TEXT_BYTES_MAX = 4_194_304;
const LISTENING = '0A';
const ESTABLISHED = '01';

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

export type Listener = Readonly<{ port: number; address: string }>;

export type Proc = {
  /** Processes whose program's base name is among these. One that ends meanwhile is left out. */
  running(programs: readonly string[]): readonly Process[];
  process(pid: number): Process | undefined;
  /**
   * Whether it runs a program of the machine's own. A name proves nothing: anyone may call a file as they like, and in
   * a user namespace of their own even put it where another lies.
   */
  isSystemProgram(process: Process): boolean;
  /** TCP ports at which the process itself listens, each with the IPv4 address at which it is reached from here. */
  listeners(pid: number): readonly Listener[];
  /** Whether the process itself holds its end of a TCP connection. */
  holdsConnection(pid: number, ports: Readonly<{ port: number; peerPort: number }>): boolean;
  sameNetwork(pid: number): boolean;
  /** Whether the process sees the same `/` as this one. */
  sameRoot(pid: number): boolean;
  /** Whether a folder is the same one for the process and for the machine's first: either may have others mounted there. */
  sameFolder(pid: number, path: string): boolean;
  /** The value with which the process was started; other programs' variables can hold secrets, so never more than one. */
  variable(pid: number, name: string): string | undefined;
  /** The path of its control group; `undefined` where there are none that a service manager keeps. */
  controlGroup(pid: number): string | undefined;
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

  const same = (pid: number, what: string): boolean => isSameFile(file(pid, what), file('self', what));

  /** The rows of the TCP tables that the process sees, of the sockets that it holds. */
  function rowsOf(pid: number): readonly TcpRow[] {
    const sockets = attempt(() => socketsOf(pid)) ?? new Set<string>();
    const tables = ['tcp', 'tcp6'].map((name) => attempt(() => readText(file(pid, 'net', name))) ?? '');
    return tables.flatMap(parseTcpTable).filter(({ inode }) => sockets.has(inode));
  }

  return {
    process: processOf,
    running(programs) {
      return pids().flatMap((pid) => {
        const exe = exeOf(pid);
        return exe !== undefined && programs.includes(baseName(exe)) ? (processOf(pid) ?? []) : [];
      });
    },
    isSystemProgram({ pid, exe }) {
      // Mounts in this user namespace were made by its root, so a path means here what it says.
      if (!same(pid, 'ns/user')) return false;
      const program = file(pid, 'exe');
      return [program, file(pid, 'root', dirname(exe))].every((path) => attempt(() => isMachines(path)) ?? false);
    },
    listeners(pid) {
      const found = rowsOf(pid).flatMap(({ state, port, address }) => {
        const reached = state === LISTENING ? addressToReach(address) : undefined;
        return reached === undefined ? [] : [{ port, address: reached }];
      });
      const byPort = new Map(found.reverse().map((listener) => [listener.port, listener]));
      return [...byPort.values()].sort((a, b) => a.port - b.port);
    },
    holdsConnection: (pid, { port, peerPort }) =>
      rowsOf(pid).some((row) => row.state === ESTABLISHED && row.port === port && row.peerPort === peerPort),
    sameNetwork: (pid) => same(pid, 'ns/net'),
    sameRoot: (pid) => same(pid, 'root'),
    sameFolder: (pid, path) => isSameFile(file(pid, 'root', path), file(1, 'root', path)),
    variable(pid, name) {
      const given = attempt(() => readText(file(pid, 'environ')).split('\0')) ?? [];
      return given.find((each) => each.startsWith(`${name}=`))?.slice(name.length + 1) || undefined;
    },
    controlGroup: (pid) => attempt(() => parseControlGroup(readText(file(pid, 'cgroup')))),
    startTime: (pid) => attempt(() => parseStartTime(readText(file(pid, 'stat')))),
  };
}

export type TcpRow = Readonly<{ state: string; address: string; port: number; peerPort: number; inode: string }>;

/** Rows of /proc/net/tcp or tcp6; addresses in the kernel's own hexadecimal. */
export function parseTcpTable(table: string): readonly TcpRow[] {
  return table.split('\n').flatMap((row) => {
    const [, local, peer, state, , , , , , inode] = row.trim().split(/\s+/);
    const [address, port] = local?.split(':') ?? [];
    const peerPort = peer?.split(':')[1];
    if (!address || !port || !peerPort || !state || !inode) return [];
    return [{ state, address, port: Number.parseInt(port, 16), peerPort: Number.parseInt(peerPort, 16), inode }];
  });
}

/** The IPv4 address to connect to, for a listener's; `undefined` where there is none. */
export function addressToReach(address: string): string | undefined {
  if (/^0+$/.test(address)) return '127.0.0.1';
  const mapped = /^0{16}(?:0000FFFF|FFFF0000)([0-9A-F]{8})$/.exec(address)?.[1] ?? address;
  if (mapped.length !== 8) return undefined;
  // One word in the byte order of the machine.
  const bytes = mapped.match(/../g)?.map((byte) => Number.parseInt(byte, 16)) ?? [];
  return (endianness() === 'LE' ? bytes.reverse() : bytes).join('.');
}

/** In /proc/PID/cgroup: the one of the unified hierarchy, or of systemd's own where the unified one is not used. */
export function parseControlGroup(text: string): string | undefined {
  const unified = /^0::(.*)$/m.exec(text)?.[1];
  if (unified !== undefined && unified !== '/') return unified;
  return /^[0-9]+:name=systemd:(.*)$/m.exec(text)?.[1] ?? unified;
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

function isSameFile(one: string, other: string): boolean {
  const [a, b] = [one, other].map((path) => attempt(() => statSync(path)));
  return a !== undefined && a.dev === b?.dev && a.ino === b.ino;
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
