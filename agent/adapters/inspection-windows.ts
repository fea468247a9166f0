// What a Windows machine has of the things that a reset needs. Looks only. It says of itself that this agent was never proven
// on a real Windows, and that is the first thing that a preflight tells.

import { access, constants, statfs } from 'node:fs/promises';
import type { Inspection, StorageFacts } from '../ports/inspection.ts';
import type { Processes } from '../ports/process.ts';
import { errnoOf } from './errno.ts';
import { systemEnvironment, systemProgram, type WindowsHost } from './windows-host.ts';

const TIMEOUT_MS = 20_000;
const OUTPUT_BYTES_MAX = 65_536;

export type InspectionWindowsOptions = Readonly<{
  processes: Processes;
  host: WindowsHost;
  /** The executor's own folder. */
  state: string;
}>;

export function inspectionWindows({ processes, host, state }: InspectionWindowsOptions): Inspection {
  const program = {
    program: systemProgram(host, 'net.exe'),
    env: systemEnvironment(host),
    cwd: `${host.systemRoot}\\System32`,
    timeoutMs: TIMEOUT_MS,
    outputBytesMax: OUTPUT_BYTES_MAX,
  };
  return {
    platform: async () => ({ system: 'Windows', proven: false }),
    async passwordProgram() {
      // `net help` changes nothing and asks nobody.
      const { ending, output } = await processes.run({ ...program, args: ['help'] }, new Uint8Array());
      output.fill(0);
      return ending === 'missing' ? null : program.program;
    },
    terminal: async () => {
      const { ending } = await processes.talk({ ...program, args: ['help'] }, () => 'wait');
      return ending === 'exited';
    },
    pam: async () => null,
    // Where accounts are kept is Windows' own; whether it can write there, only Windows can tell.
    storage: async () => [await storageAt(state)],
    // Windows lets nobody hold it.
    databaseHeld: async () => false,
    sandbox: async () => null,
    wallS: () => Math.floor(Date.now() / 1000),
  };
}

async function storageAt(place: string): Promise<StorageFacts> {
  const freeBytes = await statfs(place).then(
    ({ bavail, bsize }) => bavail * bsize,
    (error: unknown) => {
      if (errnoOf(error) === undefined) throw error;
      return null;
    },
  );
  // Only the mark of a file that is read-only is seen so; what else keeps SYSTEM from writing is found when it writes.
  const writable = await access(place, constants.W_OK).then(
    () => 'yes' as const,
    (error: unknown) => (errnoOf(error) === 'ENOENT' ? null : ('denied' as const)),
  );
  return { place, holds: 'journal', writable, freeBytes };
}
