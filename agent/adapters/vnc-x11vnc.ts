// x11vnc servers of a Linux guest: found by their program file, changed through the file that `-rfbauth` or `-passwdfile`
// names. A `read:` file must never be missing or empty, for x11vnc ends when it is; files are replaced by rename alone.

import { existsSync } from 'node:fs';
import { join, posix } from 'node:path';
import type { Vnc } from '../ports/vnc.ts';
import { obfuscated, type PasswordFormat, plainLines } from './password-format.ts';
import { type Proc, type Process, procAt } from './proc.ts';
import { readSmall } from './small-file.ts';
import { type VncByFileOptions, vncByFile } from './vnc-by-file.ts';
import { describeServer, type Found, homeOf, rootOf, runningServers } from './vnc-process.ts';
import { decidesCredential, parseX11vncArguments, type X11vncArguments } from './x11vnc-arguments.ts';

export type VncX11vncOptions = VncByFileOptions & Readonly<{ proc?: Proc; passwd?: string }>;

type Place = Readonly<{ file: string | undefined; format: PasswordFormat; obstacle: string | undefined }>;

export function vncX11vnc(options: VncX11vncOptions): Vnc {
  const proc = options.proc ?? procAt();

  function describe(process: Process): Found {
    const given = parseX11vncArguments(process.argv);
    const home = homeOf(process.uid, options.passwd);
    const { file, format, obstacle } = hasOtherOptions(process, given, home) ? nowhere : placeOf(process, given, home);
    return describeServer(proc, process, {
      kind: 'x11vnc',
      asked: given.port,
      credential: given.credential.in === 'account' ? 'account' : 'vncauth',
      live: file,
      obstacle,
      format,
      reads: given.credential.in === 'plain' && !given.credential.again ? 'start' : undefined,
    });
  }

  return vncByFile(options, {
    proc,
    findAll: () => runningServers(proc, ['x11vnc']).map(describe),
    restingFormat: undefined,
    // `-localhost` means 127.0.0.1 and no other loopback address.
    closesOnStrangers: true,
  });
}

const nowhere: Place = { file: undefined, format: obfuscated, obstacle: undefined };

function placeOf(process: Process, { credential }: X11vncArguments, home: string | undefined): Place {
  switch (credential.in) {
    case 'obfuscated':
    case 'plain': {
      const format = credential.in === 'plain' ? plainLines : obfuscated;
      return { ...nowhere, file: posix.resolve(process.cwd, credential.file), format };
    }
    case 'home':
      return home === undefined ? nowhere : homePlace(process, home);
    case 'arguments':
      // At its next start it is given the same again by whoever starts it.
      return { ...nowhere, obstacle: 'inline_password' };
    default:
      return nowhere;
  }
}

/** The order in which `-usepw` looks. */
function homePlace(process: Process, home: string): Place {
  const [first, second] = [join(home, '.vnc', 'passwd'), join(home, '.vnc', 'passwdfile')];
  if (existsSync(`${rootOf(process.pid)}${first}`)) return { ...nowhere, file: first };
  return existsSync(`${rootOf(process.pid)}${second}`) ? { ...nowhere, file: second, format: plainLines } : nowhere;
}

/** Options may stand in a file as well; what cannot be read there is taken for the worst. */
function hasOtherOptions(process: Process, { optionsFile }: X11vncArguments, home: string | undefined): boolean {
  if (optionsFile === null) return false;
  if (optionsFile === undefined && home === undefined) return false;
  const path = optionsFile === undefined ? join(home ?? '', '.x11vncrc') : posix.resolve(process.cwd, optionsFile);
  try {
    const content = readSmall(`${rootOf(process.pid)}${path}`);
    return content !== undefined && decidesCredential(content.toString('utf8'));
  } catch {
    return true;
  }
}
