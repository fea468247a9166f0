// What a Linux guest has of the things that a reset needs, found by the very functions with which the reset finds them.
// Looks only: the one program that it runs on a terminal prints its own version.

import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { codeOf } from '../../protocol/failure.ts';
import type { Inspection, SandboxFacts, StorageFacts, Writable } from '../ports/inspection.ts';
import { type AccountsLinuxPaths, assertWritable, freeBytes, isLockHeld, systemPaths } from './accounts-linux.ts';
import { errnoOf, storageFailure } from './errno.ts';
import { readPam } from './pam-stack.ts';
import { terminalOpens } from './passwd-program.ts';

/** sd_booted(3). */
const SYSTEMD = '/run/systemd/system';

export type InspectionLinuxOptions = Readonly<{
  /** The executor's own folder. */
  state: string;
  accounts?: Partial<AccountsLinuxPaths>;
}>;

export function inspectionLinux({ state, accounts }: InspectionLinuxOptions): Inspection {
  const paths = { ...systemPaths, ...accounts };
  return {
    platform: async () => ({ system: 'linux', proven: true }),
    passwordProgram: async () => paths.passwdPrograms.find((path) => existsSync(path)) ?? null,
    terminal: terminalOpens,
    pam: async () => readPam('passwd'),
    storage: () =>
      Promise.all([
        storageAt({ place: state, holds: 'journal' }, () => folderWritable(nearest(state))),
        storageAt({ place: dirname(paths.shadow), holds: 'accounts' }, () => databaseWritable(paths)),
      ]),
    databaseHeld: async () => isLockHeld(paths),
    sandbox: async () => readSandbox(readFileSync('/proc/self/status', 'utf8'), existsSync(SYSTEMD)),
    wallS: () => Math.floor(Date.now() / 1000),
  };
}

async function storageAt(what: Pick<StorageFacts, 'place' | 'holds'>, writable: () => Writable): Promise<StorageFacts> {
  const free = await freeBytes(nearest(what.place)).catch((error: unknown) => {
    if (errnoOf(error) === undefined) throw error;
    return null;
  });
  return { ...what, writable: writable(), freeBytes: free };
}

/** The folder itself, or the one in which it would be made. */
function nearest(path: string): string {
  return existsSync(path) || path === '/' ? path : nearest(dirname(path));
}

function databaseWritable(paths: AccountsLinuxPaths): Writable {
  try {
    assertWritable(paths);
    return 'yes';
  } catch (error) {
    if (!codeOf(error)) throw error;
    return codeOf(error) === 'FS_READONLY' ? 'readonly' : 'denied';
  }
}

function folderWritable(path: string): Writable {
  try {
    accessSync(path, constants.W_OK);
    return 'yes';
  } catch (error) {
    return codeOf(storageFailure(error)) === 'FS_READONLY' ? 'readonly' : 'denied';
  }
}

/** The text of /proc/PID/status (proc(5)). */
export function readSandbox(status: string, managed: boolean): SandboxFacts | null {
  const field = (name: string) => new RegExp(`^${name}:\\s+([0-9a-f]+)$`, 'm').exec(status)?.[1];
  const [noNewPrivs, bounding, seccomp] = [field('NoNewPrivs'), field('CapBnd'), field('Seccomp')];
  if (noNewPrivs === undefined || bounding === undefined || seccomp === undefined) return null;
  return {
    managed,
    noNewPrivileges: noNewPrivs === '1',
    capabilities: BigInt(`0x${bounding}`),
    seccomp: seccomp !== '0',
  };
}
