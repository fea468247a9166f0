// What the arguments of an x11vnc say about its credential. Pure; never returns a password that stands there.

import { parsePort } from './vnc-process.ts';

/** Where the password is. `unclear` is every arrangement in which a new password would not surely replace the old one. */
export type X11vncCredential =
  | Readonly<{ in: 'obfuscated'; file: string }>
  /** `again`: the file is read at each login, and not at the start alone. */
  | Readonly<{ in: 'plain'; file: string; again: boolean }>
  /** `-usepw`: a file of the user's own, whichever of two is there. */
  | Readonly<{ in: 'home' }>
  /** Given on the command line, which the server then blanks: it is in its memory alone. */
  | Readonly<{ in: 'arguments' }>
  | Readonly<{ in: 'account' | 'unclear' | 'none' }>;

export type X11vncArguments = Readonly<{
  credential: X11vncCredential;
  port: number | undefined;
  /** The file with more options; `null` where none is read, `undefined` for the user's own. */
  optionsFile: string | null | undefined;
}>;

const WITH_VALUE = ['rfbauth', 'passwdfile', 'rfbport', 'rc'];
/** Prefixes of `-passwdfile` under which no file can be replaced: it is gone by now, or a program answers. */
const NO_FILE = /^(?:rm|cmd|custom):/;

export function parseX11vncArguments(argv: readonly string[]): X11vncArguments {
  const values = new Map<string, string>();
  const names = new Set<string>();
  for (let at = 1; at < argv.length; at += 1) {
    const name = /^--?([A-Za-z0-9_]+)$/.exec(argv[at] ?? '')?.[1];
    if (name === undefined) continue;
    names.add(name);
    if (!WITH_VALUE.includes(name)) continue;
    at += 1;
    values.set(name, argv[at] ?? '');
  }
  return {
    credential: credentialOf(values, names, isBlanked(argv)),
    port: parsePort(values.get('rfbport')),
    optionsFile: names.has('norc') ? null : values.get('rc'),
  };
}

/** Whether a file of options says anything about the credential: then the arguments alone do not tell. */
export function decidesCredential(options: string): boolean {
  return options
    .split('\n')
    .some((line) => /^\s*-{0,2}(?:passwd|viewpasswd|passwdfile|rfbauth|usepw|unixpw|nopw|env|users)/.test(line));
}

function credentialOf(
  values: ReadonlyMap<string, string>,
  names: ReadonlySet<string>,
  blanked: boolean,
): X11vncCredential {
  if ([...names].some((name) => name.startsWith('unixpw'))) return { in: 'account' };
  if (blanked || names.has('passwd') || names.has('viewpasswd')) return { in: 'arguments' };
  const [obfuscated, plain] = [values.get('rfbauth'), values.get('passwdfile')];
  if (obfuscated !== undefined && plain !== undefined) return { in: 'unclear' };
  if (obfuscated !== undefined) return { in: 'obfuscated', file: obfuscated };
  if (plain !== undefined) {
    return NO_FILE.test(plain)
      ? { in: 'unclear' }
      : { in: 'plain', file: plain.replace(/^read:/, ''), again: plain.startsWith('read:') };
  }
  return { in: names.has('usepw') ? 'home' : 'none' };
}

/** The server overwrites each character of its password and of the option with NUL: what is left are empty arguments. */
function isBlanked(argv: readonly string[]): boolean {
  return argv.some((argument, at) => at > 0 && argument === '' && argv[at + 1] === '');
}
