// Whose each part of the data folder is, where the processes are users of their own: root's, but for what the signer and the
// web need to write. It is root in folders of others, so it follows no link and takes nothing for granted.

import {
  chmodSync,
  existsSync,
  lchownSync,
  lstatSync,
  readdirSync,
  readFileSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { Failure } from '../../protocol/failure.ts';
import { makePrivateFolder } from './files.ts';
import type { Paths } from './paths.ts';
import type { ProcessUser, Users } from './users.ts';

const ROOT: ProcessUser = { uid: 0, gid: 0 };
/** Of the data folder: passed through by all, listed and changed by root. */
export const DATA_MODE = 0o711;

/** CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_KILL, CAP_SETGID, CAP_SETUID (capability.h). */
const CAPABILITIES = [0, 1, 3, 4, 5, 6, 7];

/** Why these users cannot work on that folder, or `null`. */
export function standsInTheWay({ data }: Paths, { web, signer }: Users): Record<string, string> | null {
  const held = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'ascii'))?.[1] ?? '0'}`);
  if (CAPABILITIES.some((bit) => ((held >> BigInt(bit)) & 1n) === 0n)) return { reason: 'capabilities' };
  const isMapped = (kind: 'uid' | 'gid', id: number) =>
    readFileSync(`/proc/self/${kind}_map`, 'ascii')
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/).map(Number))
      .some(([first = 0, , count = 0]) => id >= first && id < first + count);
  for (const { uid, gid } of [web, signer]) {
    if (!isMapped('uid', uid) || !isMapped('gid', gid)) return { reason: 'not_mapped', uid: String(uid) };
  }
  for (const folder of above(data)) {
    const found = statSync(folder, { throwIfNoEntry: false });
    if (!found?.isDirectory()) continue;
    if ((found.mode & 0o001) === 0) return { reason: 'closed_folder', folder };
    if (mayRename(found, [web, signer])) return { reason: 'their_folder', folder };
  }
  return null;
}

/** The folders that a path leads through, also where one of them is a link. */
function above(path: string): string[] {
  const upwards = (folder: string): string[] =>
    folder === dirname(folder) ? [folder] : [folder, ...upwards(dirname(folder))];
  const named = upwards(dirname(path));
  const nearest = named.find((folder) => existsSync(folder)) ?? '/';
  return [...new Set([...named, ...upwards(realpathSync(nearest))])];
}

/** Whether one of these could put another folder in the place of one that lies in it. */
function mayRename({ uid, gid, mode }: Stats, users: readonly ProcessUser[]): boolean {
  if (users.some((user) => user.uid === uid)) return true;
  const mayWrite = (mode & 0o002) !== 0 || ((mode & 0o020) !== 0 && users.some((user) => user.gid === gid));
  return mayWrite && (mode & 0o1000) === 0;
}

/** Whether they worked on it before. */
export function isApart({ signerFolder }: Paths): boolean {
  return existsSync(signerFolder) && lstatSync(signerFolder).uid !== 0;
}

/** Whether the socket's folder was lent to the web's group: then the socket is for it, too, whoever has started the signer. */
export function isLent({ runFolder }: Paths): boolean {
  return ((statSync(runFolder, { throwIfNoEntry: false })?.mode ?? 0) & 0o010) !== 0;
}

/** That nothing is somebody else's, or a link: before anything is changed. */
export function demandOwn(paths: Paths, { web, signer }: Users): void {
  const { data, rootKeyFolder, trustFolder, gatewayFolder, tlsFolder, apiKey, signerFolder, runFolder } = paths;
  const owners: [ProcessUser, string[]][] = [
    [ROOT, [data, rootKeyFolder, trustFolder]],
    [web, [gatewayFolder, tlsFolder, apiKey]],
    [signer, [signerFolder, runFolder]],
  ];
  for (const [{ uid }, parts] of owners) {
    for (const path of parts.filter((part) => lstatSync(part, { throwIfNoEntry: false }))) {
      const owner = look(path).uid;
      if (owner !== 0 && owner !== uid) throw refusal(path, 'owner');
    }
  }
}

/**
 * Each time before they start. Of `web` and `signer` nobody may list the data folder or change what lies in it: a folder that
 * can be renamed is no boundary. The socket's folder lends its group to the socket, and so the web may ask.
 */
export function layOut(paths: Paths, { web, signer }: Users): void {
  give(paths.data, ROOT, DATA_MODE);
  givePrivate(paths.rootKeyFolder, ROOT);
  givePrivate(paths.gatewayFolder, web);
  makePrivateFolder(paths.tlsFolder);
  givePrivate(paths.tlsFolder, web);
  givePrivate(paths.signerFolder, signer);
  makePrivateFolder(paths.runFolder);
  give(paths.runFolder, { uid: signer.uid, gid: web.gid }, 0o2710);
  // Whoever has put it away needs it here no more.
  if (existsSync(paths.apiKey)) give(paths.apiKey, web, 0o600);
  give(paths.installation, ROOT, 0o644);
  give(paths.trustFolder, ROOT, 0o755);
  for (const name of readdirSync(paths.trustFolder)) give(join(paths.trustFolder, name), ROOT, 0o644);
}

/** With what lies in it the first time alone: from then on that is its owner's, and root touches it no more. */
function givePrivate(folder: string, user: ProcessUser): void {
  if (look(folder).uid !== user.uid) {
    for (const name of readdirSync(folder)) give(join(folder, name), user, 0o600);
  }
  give(folder, user, 0o700);
}

function give(path: string, { uid, gid }: ProcessUser, mode: number): void {
  const found = look(path);
  // Another name of the file may be anybody's.
  if (!found.isDirectory() && found.nlink !== 1) throw refusal(path, 'links');
  lchownSync(path, uid, gid);
  chmodSync(path, mode);
}

function look(path: string): Stats {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) throw refusal(path, 'missing');
  if (!found.isDirectory() && !found.isFile() && !found.isSocket()) throw refusal(path, 'kind');
  return found;
}

function refusal(file: string, reason: string): Failure {
  return new Failure('CONFIG_INVALID', { file, reason });
}
