// TightVNC servers (1.3) of a Linux guest: found by their program file, changed through the file that `-rfbauth` names,
// which they read at every login. After five failures in a row they refuse everybody for a while, whatever the address:
// callers must not try a wrong password twice.

import { posix } from 'node:path';
import type { Vnc } from '../ports/vnc.ts';
import { obfuscated } from './password-format.ts';
import { type Proc, type Process, procAt } from './proc.ts';
import { type VncByFileOptions, vncByFile } from './vnc-by-file.ts';
import { describeServer, type Found, parsePort, portOfDisplay, runningServers } from './vnc-process.ts';

export type VncTightvncOptions = VncByFileOptions & Readonly<{ proc?: Proc }>;

export function vncTightvnc(options: VncTightvncOptions): Vnc {
  const proc = options.proc ?? procAt();

  function describe(process: Process): Found {
    const given = parseTightvncArguments(process.argv);
    return describeServer(proc, process, {
      kind: 'tightvnc',
      asked: given.port,
      credential: 'vncauth',
      live: given.passwordFile && posix.resolve(process.cwd, given.passwordFile),
      format: obfuscated,
      display: 'own',
    });
  }

  return vncByFile(options, {
    proc,
    findAll: () => runningServers(proc, ['Xtightvnc']).map(describe),
    restingFormat: obfuscated,
    closesOnStrangers: false,
  });
}

export type TightvncArguments = Readonly<{
  /** As written; without it the server asks for no password. */
  passwordFile: string | undefined;
  port: number | undefined;
}>;

/** An X server's arguments: a name, and its value as the next one; the last of a name counts. */
export function parseTightvncArguments(argv: readonly string[]): TightvncArguments {
  const valueAfter = (name: string): string | undefined => {
    const at = argv.lastIndexOf(name);
    return at < 1 ? undefined : argv[at + 1] || undefined;
  };
  return { passwordFile: valueAfter('-rfbauth'), port: parsePort(valueAfter('-rfbport')) ?? portOfDisplay(argv) };
}
