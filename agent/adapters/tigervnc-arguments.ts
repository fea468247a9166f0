// What the arguments of a TigerVNC server say about its credential. Pure; never returns a password that stands there.

import { posix } from 'node:path';
import { PASSWORD_BYTES_MAX, VNCAUTH_BYTES } from '../../protocol/limits.ts';
import type { VncKind } from '../ports/vnc.ts';
import { parsePort, portOfDisplay } from './vnc-process.ts';

/** `rfbauth` is another name of the parameter, and `passwd` is the wrapper's. */
const PASSWORD_FILE = ['passwordfile', 'rfbauth', 'passwd'];
/** The types whose password is an account's; all others that need one read the password file. */
const ACCOUNT_TYPES = ['plain', 'tlsplain', 'x509plain'];
/** These ask for an account's password only where the server is told to ask for a user's name as well. */
const RSA_TYPES = ['ra2', 'ra2ne', 'ra2_256', 'ra2ne_256'];
const OFF = ['0', 'off', 'false', 'no'];

export type TigervncArguments = Readonly<{
  /** As written: it may be relative to the server's working folder. */
  passwordFile: string | undefined;
  /** A password stands in the arguments themselves and overrides the file. */
  inline: boolean;
  kind: VncKind;
  effective: number;
  /** The port asked for, or what follows from the display's number. */
  port: number | undefined;
}>;

export function parseTigervncArguments(argv: readonly string[]): TigervncArguments {
  const given = parametersOf(argv);
  const types = (given.get('securitytypes') ?? '')
    .toLowerCase()
    .split(',')
    .filter((type) => type !== '');
  const asking = asksForUser(given.get('requireusername')) ? [...ACCOUNT_TYPES, ...RSA_TYPES] : ACCOUNT_TYPES;
  // One type that reads the password file is a door that the file opens.
  const byAccount = types.length > 0 && types.every((type) => asking.includes(type));
  return {
    passwordFile: PASSWORD_FILE.map((name) => given.get(name)).find((value) => value !== undefined && value !== ''),
    inline: (given.get('password') ?? '') !== '',
    kind: byAccount ? 'account' : 'vncauth',
    effective: byAccount ? PASSWORD_BYTES_MAX : VNCAUTH_BYTES,
    port: parsePort(given.get('rfbport')) ?? portOfDisplay(argv),
  };
}

/** Debian's wrapper gives the server a copy of the password file in a folder of its own, made anew at each start. */
export function isWrapperCopy(path: string): boolean {
  return /\/tigervnc\.[A-Za-z0-9_]{6,}\/[^/]+$/.test(posix.normalize(path));
}

/** `-name value`, `-name=value` and `name=value`, in any case; the last of a name counts, as it does for the server. */
function parametersOf(argv: readonly string[]): ReadonlyMap<string, string> {
  const given = new Map<string, string>();
  argv.slice(1).forEach((argument, index) => {
    const assigned = /^-{0,2}([A-Za-z0-9]+)=(.*)$/s.exec(argument);
    if (assigned?.[1] !== undefined) given.set(assigned[1].toLowerCase(), assigned[2] ?? '');
    const named = /^-{1,2}([A-Za-z0-9]+)$/.exec(argument)?.[1];
    if (named !== undefined) given.set(named.toLowerCase(), argv[index + 2] ?? '');
  });
  return given;
}

/** The bare name turns a switch on, whatever comes after it. */
function asksForUser(value: string | undefined): boolean {
  return value !== undefined && !OFF.includes(value.toLowerCase());
}
