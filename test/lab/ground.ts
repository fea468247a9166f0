// A guest's folder on the runner: claimed by one supervisor, written and read with the guest's own ids while it is off,
// erased at the end, files of subordinate ids included. It must never touch a folder whose supervisor lives.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Account, buildGroups } from './accounts.ts';
import type { Owned } from './disk.ts';
import { labFolder } from './native.ts';

export type Ground = { native: string; ids: string; folder: string };

const OUTPUT_MAX = 64 * 1024 * 1024;

/** When the living process with this pid was started: a pid used again is not the same process, a zombie is none. */
function startOf(pid: number): string | undefined {
  try {
    const facts = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    return facts[0] === 'Z' ? undefined : facts[19];
  } catch {
    return undefined;
  }
}

/** The pid of the process that holds a guest's folder, if it still lives. */
export function findSupervisor(folder: string): number | undefined {
  try {
    const [pid, start] = readFileSync(join(folder, 'supervisor'), 'utf8').trim().split(' ');
    return start !== undefined && startOf(Number(pid)) === start ? Number(pid) : undefined;
  } catch {
    return undefined;
  }
}

export function guestFolder(name: string): string {
  return join(labFolder(), name);
}

export function listGuestNames(): string[] {
  return readdirSync(labFolder()).filter((name) => !name.startsWith('.'));
}

/** Makes the folder ours. What a supervisor left that is no more is erased first. */
export function claimGround(name: string, { native, ids }: Omit<Ground, 'folder'>): Ground {
  const ground = { native, ids, folder: guestFolder(name) };
  if (findSupervisor(ground.folder) !== undefined) throw new Error(`there is a guest ${name} already`);
  eraseGround(ground);
  mkdirSync(ground.folder, { mode: 0o700 });
  writeFileSync(join(ground.folder, 'supervisor'), `${process.pid} ${startOf(process.pid)}\n`);
  return ground;
}

export function eraseGround({ native, ids, folder }: Ground): void {
  if (existsSync(folder)) execFileSync(native, ['erase', ids, folder], { stdio: ['ignore', 'inherit', 'inherit'] });
}

/** `put` and `get` on the disk of a guest that is off. */
export function runOffline(
  { native, ids, folder }: Ground,
  words: readonly string[],
  input?: string | Uint8Array,
): Buffer {
  const argv = ['offline', ids, join(folder, 'disk'), ...words];
  return execFileSync(native, argv, { input: input ?? '', maxBuffer: OUTPUT_MAX, stdio: ['pipe', 'pipe', 'pipe'] });
}

export function giveOwners(ground: Ground, owned: readonly Owned[]): void {
  const lines = owned.map(({ path, uid, gid, mode }) => `${uid}\t${gid}\t${mode.toString(8)}\t${path}\n`);
  runOffline(ground, ['own'], lines.join(''));
}

/** NAME, or NAME:GROUP where the group is not the account's own. */
export function findOwner(accounts: readonly Account[], owner: string): { uid: number; gid: number } {
  const [name, groupName] = owner.split(':');
  const account = accounts.find((entry) => entry.name === name);
  const group = buildGroups(accounts).find((entry) => entry.name === groupName);
  if (!account || (groupName !== undefined && !group)) throw new Error(`the guest knows no owner ${owner}`);
  return { uid: account.uid, gid: group?.gid ?? account.gid };
}
