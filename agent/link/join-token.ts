// The join token: where it was put for this machine, and what becomes of it. One token is used, the first that is there; a bad
// one is an error and never a reason to try the next. Nothing but the token is taken from any of these places: where the
// control plane is, the trust file says.

import { constants } from 'node:fs';
import { access, open, rm } from 'node:fs/promises';
import { Failure } from '../../protocol/failure.ts';

const TOKEN = /^lkj_[A-Za-z0-9_-]{43}$/;
const ADDRESS = /[a-z]:\/\//i;
/** What is longer is no token. */
const BYTES_MAX = 4_096;
/** As base64, the first 45 of a token's 47 bytes: whole groups, which do not depend on what follows. */
const BASE64_CHARS = 60;
/** A token among other text, as it is and as base64. */
export const ANY_TOKEN = /lkj_[A-Za-z0-9_-]{43}|bGtqX[A-Za-z0-9+/]{55}/;

/** Its name among the credentials of the machine: systemd.exec(5), `LoadCredential=`. */
const CREDENTIAL = 'latchkey.join-token';

/** In the order in which they are looked at: what can be deleted is there for this once, and comes first. */
const sources = ['file', 'config_drive', 'credential'] as const;
export type TokenSource = (typeof sources)[number];

export type TokenPlaces = Readonly<Record<TokenSource, string | null> & { kernelCommandLine: string }>;

export function tokenPlaces(
  paths: Readonly<{ joinToken: string; driveToken: string | null }>,
  credentials: string | undefined,
): TokenPlaces {
  return {
    file: paths.joinToken,
    config_drive: paths.driveToken,
    // Set by the service manager for the processes of a unit that asked for credentials.
    credential: credentials ? `${credentials}/${CREDENTIAL}` : null,
    kernelCommandLine: '/proc/cmdline',
  };
}

export type JoinToken = Readonly<{ text: string; source: TokenSource }>;

/** Throws `JOIN_TOKEN_INVALID`: there is none, it has another form, or it stands on the kernel's command line as well. */
export async function readJoinToken(places: TokenPlaces): Promise<JoinToken> {
  for (const source of sources) {
    const path = places[source];
    const found = path === null ? null : await readSmall(path, source);
    if (found === null) continue;
    const text = found.text.trim();
    if (!TOKEN.test(text)) throw invalid(source, ADDRESS.test(text) ? 'names_address' : 'form');
    await demandNotOnCommandLine(text, source, places);
    return { text, source };
  }
  throw invalid('none', (await standsOnCommandLine(places)) ? 'kernel_command_line' : 'absent');
}

/** Whether there is anything to enrol with. */
export async function hasJoinToken(places: TokenPlaces): Promise<boolean> {
  const present = sources.map((source) => isThere(places[source]));
  return (await Promise.all(present)).includes(true);
}

/** Deletes what can be deleted. A credential is part of the machine's settings and stays until somebody takes it away there. */
export async function dropJoinToken({ file, config_drive }: TokenPlaces): Promise<void> {
  for (const path of [file, config_drive]) if (path !== null) await rm(path, { force: true });
}

/** Where a token can be seen by users of the machine who are not root: `file` (its mode), `kernel_command_line`. */
export async function exposedTokens(places: TokenPlaces): Promise<('file' | 'kernel_command_line')[]> {
  const file = places.file === null ? null : await readSmall(places.file, 'file').catch(() => null);
  return [
    ...(file?.exposed ? ['file' as const] : []),
    ...((await standsOnCommandLine(places)) ? ['kernel_command_line' as const] : []),
  ];
}

/** Everybody can read it there, and boot loaders and logs keep it: such a token is not used, however else it got here. */
async function demandNotOnCommandLine(token: string, source: TokenSource, places: TokenPlaces): Promise<void> {
  const line = await readCommandLine(places);
  const encoded = Buffer.from(token).toString('base64').slice(0, BASE64_CHARS);
  if (line.includes(token) || line.includes(encoded)) throw invalid(source, 'kernel_command_line');
}

async function standsOnCommandLine(places: TokenPlaces): Promise<boolean> {
  return ANY_TOKEN.test(await readCommandLine(places));
}

async function readCommandLine({ kernelCommandLine }: TokenPlaces): Promise<string> {
  const file = await open(kernelCommandLine).catch(() => null);
  try {
    return (await file?.readFile('latin1')) ?? '';
  } finally {
    await file?.close();
  }
}

/** `null` where there is nothing. Opened first and then looked at, so that both are about the same file. */
async function readSmall(path: string, source: TokenSource): Promise<{ text: string; exposed: boolean } | null> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const facts = await file.stat();
      if (!facts.isFile() || facts.size > BYTES_MAX) throw invalid(source, 'form');
      // On Windows the access list of the folder says it, and that is demanded before (`Host.demandPrivate`).
      const isOthers = (facts.mode & 0o077) !== 0 || facts.uid !== process.getuid?.();
      const exposed = process.platform !== 'win32' && isOthers;
      return { text: await file.readFile('utf8'), exposed };
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    const { code = 'unreadable' } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    throw invalid(source, code, cause);
  }
}

async function isThere(path: string | null): Promise<boolean> {
  if (path === null) return false;
  return access(path).then(
    () => true,
    () => false,
  );
}

function invalid(source: TokenSource | 'none', reason: string, cause?: unknown): Failure {
  return new Failure('JOIN_TOKEN_INVALID', { source, reason }, cause);
}
