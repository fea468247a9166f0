// wayvnc servers of a Linux guest: found by their program file, changed through the one line of their configuration that
// holds the password. They read it at their start alone.

import { join, posix } from 'node:path';
import type { Vnc } from '../ports/vnc.ts';
import { type Proc, type Process, procAt } from './proc.ts';
import { readSmall } from './small-file.ts';
import { type VncByFileOptions, vncByFile } from './vnc-by-file.ts';
import { describeServer, type Found, homeOf, parsePort, rootOf, runningServers } from './vnc-process.ts';
import { parseWayvncConfig, wayvncConfig } from './wayvnc-config.ts';

export type VncWayvncOptions = VncByFileOptions & Readonly<{ proc?: Proc; passwd?: string }>;

export function vncWayvnc(options: VncWayvncOptions): Vnc {
  const proc = options.proc ?? procAt();

  function describe(process: Process): Found {
    const path = configPath(proc, process, options.passwd);
    const content = path === undefined ? undefined : readQuietly(`${rootOf(process.pid)}${path}`);
    const said = content && parseWayvncConfig(content);
    content?.fill(0);
    return describeServer(proc, process, {
      kind: 'wayvnc',
      asked: portArgument(process.argv) ?? parsePort(said?.port),
      credential: said?.byAccount ? 'account' : 'login',
      user: said?.user ?? '',
      live: said?.asksForLogin ? path : undefined,
      format: wayvncConfig,
      reads: 'start',
    });
  }

  return vncByFile(options, {
    proc,
    findAll: () => runningServers(proc, ['wayvnc']).map(describe),
    restingFormat: wayvncConfig,
    closesOnStrangers: false,
  });
}

function configPath(proc: Proc, process: Process, passwd?: string): string | undefined {
  const named = configArgument(process.argv);
  if (named !== undefined) return posix.resolve(process.cwd, named);
  const folder = proc.variable(process.pid, 'XDG_CONFIG_HOME');
  if (folder !== undefined) return posix.resolve(process.cwd, folder, 'wayvnc', 'config');
  const home = proc.variable(process.pid, 'HOME') ?? homeOf(process.uid, passwd);
  return home === undefined ? undefined : join(home, '.config', 'wayvnc', 'config');
}

/** What cannot be read says nothing, and then the server is one without a file. */
function readQuietly(path: string): Buffer | undefined {
  try {
    return readSmall(path);
  } catch {
    return undefined;
  }
}

/** `-C FILE`, `-CFILE`, `--config FILE` or `--config=FILE`; the last counts. */
export function configArgument(argv: readonly string[]): string | undefined {
  let found: string | undefined;
  argv.slice(1).forEach((argument, index) => {
    const assigned = /^--config=(.*)$/s.exec(argument)?.[1] ?? /^-C(.+)$/s.exec(argument)?.[1];
    if (assigned !== undefined) found = assigned;
    if (argument === '-C' || argument === '--config') found = argv[index + 2];
  });
  return found;
}

/** The address and the port come last. */
function portArgument(argv: readonly string[]): number | undefined {
  const last = argv.at(-1) ?? '';
  return /^[0-9]+$/.test(last) ? parsePort(last) : undefined;
}
