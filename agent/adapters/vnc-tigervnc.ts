// TigerVNC servers of a Linux guest, both those with a display of their own and the one that shows another's: found by
// their program files, with the file that each reads now and the one it will read at its next start.

import { basename, posix } from 'node:path';
import type { Vnc } from '../ports/vnc.ts';
import { obfuscated } from './password-format.ts';
import { type Proc, type Process, procAt } from './proc.ts';
import { readSmall } from './small-file.ts';
import { isWrapperCopy, parseTigervncArguments } from './tigervnc-arguments.ts';
import { findDefaultFile, findWrapperSource } from './tigervnc-source.ts';
import { type VncByFileOptions, vncByFile } from './vnc-by-file.ts';
import { describeServer, type Found, homeOf, rootOf, runningServers } from './vnc-process.ts';

/** By program file; `Xvnc` and `x0vncserver` are TigerVNC's where its own configuration folder names are used. */
const PROGRAMS = ['Xtigervnc', 'X0tigervnc', 'Xvnc', 'x0vncserver'];

export type VncTigervncOptions = VncByFileOptions & Readonly<{ proc?: Proc; passwd?: string; configFolder?: string }>;

export function vncTigervnc(options: VncTigervncOptions): Vnc {
  const proc = options.proc ?? procAt();

  function describe(process: Process): Found | undefined {
    if (!isTiger(process)) return undefined;
    const given = parseTigervncArguments(process.argv);
    const home = homeOf(process.uid, options.passwd);
    const named = given.passwordFile && posix.resolve(process.cwd, given.passwordFile);
    const live = named ?? (home === undefined ? undefined : findDefaultFile(home, viewOf(process)));
    return describeServer(proc, process, {
      kind: 'tigervnc',
      asked: given.port,
      credential: given.kind,
      live,
      source: given.kind === 'vncauth' ? findSource(process, live, home) : null,
      obstacle: given.inline ? 'inline_password' : undefined,
      format: obfuscated,
      display: /^X0|^x0/.test(basename(process.exe)) ? undefined : 'own',
    });
  }

  function findSource(process: Process, live: string | undefined, home: string | undefined): string | null {
    if (live === undefined || !isWrapperCopy(live)) return live ?? null;
    if (home === undefined) return null;
    const parent = proc.process(process.parent);
    const isWrapper = parent?.argv.slice(0, 2).some((argument) => /vncserver$/.test(basename(argument)));
    return findWrapperSource({
      home,
      wrapperArguments: isWrapper ? parent?.argv.slice(1) : undefined,
      liveContent: readLive(process.pid, live),
      configFolder: options.configFolder ?? '/etc/tigervnc',
      view: viewOf(process),
    });
  }

  return vncByFile(options, {
    proc,
    findAll: () => runningServers(proc, PROGRAMS).flatMap((process) => describe(process) ?? []),
    restingFormat: obfuscated,
    // A connection that ends without a login counts against its address.
    closesOnStrangers: false,
  });
}

/** `Xvnc` and `x0vncserver` are also what other makers call theirs: TigerVNC's know these parameters. */
function isTiger({ exe, argv }: Process): boolean {
  if (/tigervnc/.test(basename(exe))) return true;
  return argv.some((argument) => /^-{0,2}(?:SecurityTypes|PasswordFile|rfbauth)(?:=|$)/i.test(argument));
}

const viewOf =
  ({ pid }: Process) =>
  (path: string): string =>
    `${rootOf(pid)}${path}`;

function readLive(pid: number, live: string): Uint8Array | undefined {
  try {
    return readSmall(`${rootOf(pid)}${live}`);
  } catch {
    return undefined;
  }
}
