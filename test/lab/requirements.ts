// What this machine lets the lab do, and, where that is not enough, the one thing to enable. It finds out by trying; it
// must never change the machine, and it asks for nothing beyond Linux, a C compiler and, for ordinary users, `uidmap`.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, mkdirSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { labFolder, nativeProgram } from './native.ts';
import { debianTree, findDebian } from './tree.ts';

export type LabReason =
  | 'LAB_NOT_LINUX'
  | 'LAB_NO_COMPILER'
  | 'LAB_NO_UIDMAP'
  | 'LAB_NO_SUBORDINATE_IDS'
  | 'LAB_NO_NAMESPACES'
  | 'LAB_NO_MOUNTS'
  | 'LAB_NO_CGROUPS'
  | 'LAB_NO_TREE';

export type LabRefusal = { ok: false; reason: LabReason; hint: string };

/** `ids` is how the native program is told about the user namespace: "-" for root, who needs none. */
export type LabRequirements = { ok: true; mode: 'root' | 'user'; ids: string; native: string } | LabRefusal;

/** `tree` builds the Debian tree, or finds it built. */
export type TreeRequirements = (Extract<LabRequirements, { ok: true }> & { tree: () => string }) | LabRefusal;

export class LabUnavailable extends Error {
  readonly code: LabReason;
  constructor(reason: LabReason, hint: string) {
    super(`${reason}: ${hint}`);
    this.code = reason;
  }
}

/** The guest's ids 1 to 65534: every account up to `nobody`. */
export const SUBORDINATE_IDS = 65534;

export function isProgram(name: string): boolean {
  return (process.env.PATH ?? '/usr/bin:/bin').split(':').some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** The first number of a range of `user` that is large enough, from the text of /etc/subuid or /etc/subgid. */
export function findSubordinateRange(text: string, user: { username: string; uid: number }): number | undefined {
  for (const line of text.split('\n')) {
    const [owner, first, count] = line.split(':');
    if (owner !== user.username && owner !== String(user.uid)) continue;
    if (first !== undefined && Number(count) >= SUBORDINATE_IDS) return Number(first);
  }
  return undefined;
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function refuse(reason: LabReason, hint: string): LabRefusal {
  return { ok: false, reason, hint };
}

function userIds(): string | LabRefusal {
  const user = userInfo();
  if (!isProgram('newuidmap') || !isProgram('newgidmap')) {
    return refuse('LAB_NO_UIDMAP', 'install newuidmap and newgidmap: apt-get install uidmap (or run as root)');
  }
  const firstUid = findSubordinateRange(readIfThere('/etc/subuid'), user);
  const firstGid = findSubordinateRange(readIfThere('/etc/subgid'), user);
  if (firstUid === undefined || firstGid === undefined) {
    const range = '100000-165535';
    const command = `usermod --add-subuids ${range} --add-subgids ${range} ${user.username}`;
    return refuse('LAB_NO_SUBORDINATE_IDS', `give this user ${SUBORDINATE_IDS} subordinate ids: ${command}`);
  }
  return [user.uid, user.gid, firstUid, firstGid, SUBORDINATE_IDS].join(':');
}

function explainProbe(message: string): LabRefusal {
  if (/namespace|newuidmap/.test(message) && !/proc in/.test(message)) {
    const hint = 'allow namespaces: sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns=0';
    return refuse('LAB_NO_NAMESPACES', `${hint}, or a container with --privileged (${message})`);
  }
  return refuse('LAB_NO_MOUNTS', `needs Linux 5.12 or later and, in a container, --privileged (${message})`);
}

export function checkRequirements(): LabRequirements {
  if (process.platform !== 'linux') return refuse('LAB_NOT_LINUX', 'the lab needs Linux');
  if (!isProgram('cc')) return refuse('LAB_NO_COMPILER', 'install a C compiler: apt-get install gcc libc6-dev');
  const root = userInfo().uid === 0;
  const ids = root ? '-' : userIds();
  if (typeof ids !== 'string') return ids;
  const native = nativeProgram();
  const place = join(labFolder(), '.probe');
  mkdirSync(place, { recursive: true, mode: 0o700 });
  const probe = spawnSync(native, ['probe', ids, place], { encoding: 'utf8', timeout: 20_000 });
  if (probe.status !== 0) return explainProbe(probe.stderr.trim() || `probe ended with ${probe.status}`);
  return { ok: true, mode: root ? 'root' : 'user', ids, native };
}

/** For `checkTreeRequirements` alone: asking takes half a second, and the machine does not change meanwhile. */
let treeRequirements: TreeRequirements | undefined;

/** What a guest with systemd needs beside: a group of its own in the cgroup tree, and a Debian to build from. */
export function checkTreeRequirements(): TreeRequirements {
  treeRequirements ??= findTreeRequirements();
  return treeRequirements;
}

function findTreeRequirements(): TreeRequirements {
  const machine = checkRequirements();
  if (!machine.ok) return machine;
  if (machine.mode !== 'root') return refuse('LAB_NO_CGROUPS', 'guests with systemd need root: run as root');
  const place = join(labFolder(), '.probe');
  const probe = spawnSync(machine.native, ['probe-cgroup', place], { encoding: 'utf8', timeout: 20_000 });
  if (probe.status !== 0) {
    return refuse('LAB_NO_CGROUPS', `needs cgroup2 and, in a container, --privileged (${probe.stderr.trim()})`);
  }
  if (!isProgram('mmdebstrap')) return refuse('LAB_NO_TREE', 'install mmdebstrap: apt-get install mmdebstrap');
  const debian = findDebian();
  if (!debian) return refuse('LAB_NO_TREE', 'needs Debian with its own packages in apt: apt-get update');
  return { ...machine, tree: () => debianTree(debian) };
}
