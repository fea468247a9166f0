// Which password file a TigerVNC server will read at its next start, where the running one reads a copy. Reads
// configuration that is Perl as text and never evaluates it: what it cannot understand is "cannot be told".

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readSmall } from './small-file.ts';
import { parseTigervncArguments } from './tigervnc-arguments.ts';

const ASSIGNMENT = /^\s*\$vncPasswdFile\s*=\s*(["'])(\$ENV\{HOME\}(?=\/))?([^"'$@\\]*)\1\s*;\s*(?:#.*)?$/;
/** The settings that decide the file, wherever they stand in a line. */
const DECIDES = /vncPasswdFile|vncUserDir/;

/** `undefined`: says nothing about it. `null`: says something that cannot be understood without evaluating it. */
export type ConfiguredFile = string | null | undefined;

export function parseWrapperConfig(text: string, home: string): ConfiguredFile {
  let found: ConfiguredFile;
  for (const line of text.split('\n')) {
    if (/^\s*#/.test(line) || !DECIDES.test(line)) continue;
    const [assigned, , inHome, path] = ASSIGNMENT.exec(line) ?? [];
    if (!assigned || !path) return null;
    found = inHome ? join(home, path) : path;
    if (!found.startsWith('/')) return null;
  }
  return found;
}

export type SourceQuestion = Readonly<{
  home: string;
  /** The arguments of the wrapper that started the server, where it still runs. */
  wrapperArguments: readonly string[] | undefined;
  /** What the running server reads now. */
  liveContent: Uint8Array | undefined;
  /** /etc/tigervnc */
  configFolder: string;
  /** Where a path of the server's is to be read. */
  view: View;
}>;

export type View = (path: string) => string;

/** The wrapper's own order: defaults, the user's file, the command line, and what the system's owner has made mandatory. */
export function findWrapperSource(question: SourceQuestion): string | null {
  const { home, configFolder, wrapperArguments, view } = question;
  const asked = wrapperArguments && parseTigervncArguments(wrapperArguments).passwordFile;
  // Relative to a working folder that is not the server's.
  if (asked !== undefined && !asked.startsWith('/')) return null;
  const said = [
    readConfig(view(join(configFolder, 'vncserver-config-defaults')), home),
    readConfig(view(join(home, '.vnc', 'tigervnc.conf')), home),
    asked,
    readConfig(view(join(configFolder, 'vncserver-config-mandatory')), home),
  ].filter((answer) => answer !== undefined);
  if (said.includes(null)) return null;
  return said.at(-1) ?? findHomeFile(question);
}

/**
 * What a server reads that is told no file. Which of the two places that is depends on its version: the older one's,
 * where a file lies in both or in none.
 */
export function findDefaultFile(home: string, view: View): string {
  const [older, newer] = homeFiles(home);
  return existsSync(view(newer)) && !existsSync(view(older)) ? newer : older;
}

function homeFiles(home: string): readonly [older: string, newer: string] {
  return [join(home, '.vnc', 'passwd'), join(home, '.config', 'tigervnc', 'passwd')];
}

/** Both places of a user's own file are in use; where both exist, the one that the running copy was made from. */
function findHomeFile({ home, liveContent, view }: SourceQuestion): string | null {
  const present = homeFiles(home).flatMap((path) => {
    const content = readSmall(view(path));
    return content === undefined ? [] : [{ path, content }];
  });
  if (present.length <= 1) return present[0]?.path ?? null;
  const same = present.filter(({ content }) => liveContent !== undefined && content.equals(liveContent));
  return same.length === 1 ? (same[0]?.path ?? null) : null;
}

function readConfig(path: string, home: string): ConfiguredFile {
  try {
    const content = readSmall(path);
    return content === undefined ? undefined : parseWrapperConfig(content.toString('utf8'), home);
  } catch {
    return null;
  }
}
