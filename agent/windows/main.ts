// Composition root of all that is Windows': chosen by the other roots where the program runs there. Every program that it
// runs goes through one port, so that a whole machine of written exchanges can stand in for a real one.
//
// Not yet proven on a real Windows.

import { win32 } from 'node:path';
import { commonPasswords } from '../../protocol/common-passwords.ts';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { accountsWindows } from '../adapters/accounts-windows.ts';
import { environmentWindows } from '../adapters/environment-windows.ts';
import { hostWindows } from '../adapters/host-windows.ts';
import { inspectionWindows } from '../adapters/inspection-windows.ts';
import { installationWindows, TASK_NAME } from '../adapters/installation-windows.ts';
import { openJournalFile } from '../adapters/journal-file.ts';
import { keeperByAccessList } from '../adapters/journal-keeper.ts';
import { powerWindows } from '../adapters/power-windows.ts';
import { processChildren } from '../adapters/process-children.ts';
import { randomFreshProcess } from '../adapters/random-fresh-process.ts';
import { joinVnc } from '../adapters/vnc-servers.ts';
import { vncTightvncWindows } from '../adapters/vnc-tightvnc-windows.ts';
import type { WindowsHost } from '../adapters/windows-host.ts';
import { DEFAULT_CONFIG } from '../config.ts';
import { demandIdle } from '../executor/conditions.ts';
import type { MachineFacts, Machinery } from '../executor/parts.ts';
import { ledgerOf } from '../executor/recorder.ts';
import { paths } from '../paths.ts';
import type { Here } from '../ports/host.ts';
import type { Processes } from '../ports/process.ts';

export type Windows = Readonly<{ processes: Processes; windows: WindowsHost }>;

const windowsHere = (): Windows => ({ processes: processChildren(), windows: windowsIn(process.env) });

/** As the environment of a task of SYSTEM has it. */
export function windowsIn(environment: Readonly<Record<string, string | undefined>>): WindowsHost {
  return {
    systemRoot: environment['SystemRoot'] ?? 'C:\\Windows',
    programData: environment['ProgramData'] ?? 'C:\\ProgramData',
    programFiles: environment['ProgramFiles'] ?? 'C:\\Program Files',
    scratch: `${paths.state}\\scratch`,
  };
}

export function hereOnWindows({ processes, windows }: Windows = windowsHere()): Here {
  const host = hostWindows({ processes, host: windows });
  return { host, random: randomFreshProcess(host.environment) };
}

export function machineOnWindows(
  { config, macKey, marker }: MachineFacts,
  { processes, windows }: Windows = windowsHere(),
): Machinery {
  const given = { processes, host: windows };
  const { administrator } = config;
  const keeper = keeperByAccessList(hostWindows(given));
  return {
    policy: { rootfs: config.rootfs, vncServer: config.vncServer, commonPasswords },
    accounts: accountsWindows({ ...given, macKey, ...(administrator ? { administrator } : {}) }),
    vnc: joinVnc({ tightvnc: vncTightvncWindows({ ...given, macKey }) }),
    power: powerWindows(given),
    environment: environmentWindows({ ...given, marker, markerPath: paths.marker }),
    inspection: inspectionWindows({ ...given, state: paths.executor }),
    openJournal: (mode: 'read' | 'write') => openJournalFile({ folder: paths.executor, mode, keeper }),
  };
}

/**
 * Makes the agent's folder and its start-up task, whatever was there of either. The program must lie where none but
 * Administrators can put one, for SYSTEM will run it: it, and Node.
 */
export async function installOnWindows(
  { entry, node }: Readonly<{ entry: string; node: string }>,
  { processes, windows }: Windows = windowsHere(),
): Promise<string> {
  const installation = installationWindows({ processes, host: windows });
  const program = `${windows.programFiles}\\latchkey-agent`;
  for (const path of [entry, node]) {
    const isThere = win32.normalize(win32.dirname(path)).toLowerCase() === program.toLowerCase();
    if (!isThere) throw new Failure('INSTALL_FAILED', { reason: 'program_place', path });
  }
  await installation.demandProgram(program);
  await installation.makeFolder(paths.state);
  await installation.makeFolder(windows.scratch);
  await installation.register({ program: node, args: [entry, 'run'] });
  return `the task "${TASK_NAME}" runs it from the start of the machine on. Put trust.json, agent.json and join-token into ${paths.state}.`;
}

/** Not while an operation is under way. What the agent knows stays in its folder. */
export async function uninstallOnWindows({ processes, windows }: Windows = windowsHere()): Promise<string> {
  await demandNothingOpen({ processes, windows });
  const removed = await installationWindows({ processes, host: windows }).remove();
  return `${removed ? `the task "${TASK_NAME}" is removed` : 'there was no task'}; ${paths.state} is left as it is.`;
}

async function demandNothingOpen(seams: Windows): Promise<void> {
  const { openJournal } = machineOnWindows({ config: DEFAULT_CONFIG, macKey: new Uint8Array(32), marker: '' }, seams);
  // Damaged, or never made: then there is nothing that could be carried on.
  const journal = await openJournal('read').catch((error: unknown) => {
    if (codeOf(error) === 'JOURNAL_UNSAFE') return null;
    throw error;
  });
  if (journal === null) return;
  const ledger = ledgerOf(journal);
  await journal.close();
  demandIdle(ledger);
}
