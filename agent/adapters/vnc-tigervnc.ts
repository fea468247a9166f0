// TigerVNC servers of a Linux guest, both those with a display of their own and the one that shows another's: found by
// their program files, with the file that each reads now and the one it will read at its next start.

import { readFileSync } from 'node:fs';
import { basename, posix } from 'node:path';
import type { Vnc } from '../ports/vnc.ts';
import { obfuscated } from './password-format.ts';
import { type Proc, type Process, procAt } from './proc.ts';
import { isWrapperCopy, parseTigervncArguments } from './tigervnc-arguments.ts';
import { findDefaultFile, findWrapperSource } from './tigervnc-source.ts';
import { type VncByFileOptions, vncByFile } from './vnc-by-file.ts';
import { type Found, homeOf, idOf, insideRoot, portOf } from './vnc-process.ts';

/** By program file; `Xvnc` and `x0vncserver` are TigerVNC's where its own configuration folder names are used. */
const PROGRAMS = ['Xtigervnc', 'X0tigervnc', 'Xvnc', 'x0vncserver'];

export type VncTigervncOptions = VncByFileOptions & Readonly<{ proc?: Proc; passwd?: string; configFolder?: string }>;

export function vncTigervnc(options: VncTigervncOptions): Vnc {
  const proc = options.proc ?? procAt();

  function describe(process: Process): Found | undefined {
    if (!isTiger(process)) return undefined;
    const given = parseTigervncArguments(process.argv);
    const port = portOf(proc, process, given.port);
    const home = homeOf(process.uid, options.passwd);
    const named = given.passwordFile && posix.resolve(process.cwd, given.passwordFile);
    const live = named ?? (home === undefined ? undefined : findDefaultFile(home));
    return {
      process,
      live,
      obstacle: given.inline ? 'inline_password' : undefined,
      format: obfuscated,
      server: {
        id: idOf('tigervnc', port, given.port),
        kind: given.kind,
        effective: given.effective,
        port,
        owner: { uid: process.uid, gid: process.gid },
        source: given.kind === 'vncauth' ? findSource(process, live, home) : null,
      },
    };
  }

  /** Another root's files cannot be found again after its processes are gone. */
  function findSource(process: Process, live: string | undefined, home: string | undefined): string | null {
    if (live === undefined || !proc.sameRoot(process.pid)) return null;
    if (!isWrapperCopy(live)) return live;
    if (home === undefined) return null;
    const parent = proc.process(process.parent);
    const isWrapper = parent?.argv.slice(0, 2).some((argument) => /vncserver$/.test(basename(argument)));
    return findWrapperSource({
      home,
      wrapperArguments: isWrapper ? parent?.argv.slice(1) : undefined,
      liveContent: readLive(process.pid, live),
      configFolder: options.configFolder ?? '/etc/tigervnc',
    });
  }

  return vncByFile(options, {
    findAll: () => proc.running(PROGRAMS).flatMap((process) => describe(process) ?? []),
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

function readLive(pid: number, live: string): Uint8Array | undefined {
  try {
    return readFileSync(insideRoot(pid, live));
  } catch {
    return undefined;
  }
}
