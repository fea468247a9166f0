// A Windows machine as the agent finds it, through scripts: its MachineGuid, the UUID that its platform gave it, its boot,
// its processes, and the access lists of the agent's folders. Looks only.
//
// Not yet proven on a real Windows.

import * as z from 'zod/mini';
import { Failure } from '../../protocol/failure.ts';
import { parseSchema } from '../../protocol/schema.ts';
import type { Host } from '../ports/host.ts';
import type { Processes } from '../ports/process.ts';
import { type AccessDemand, accessFault } from './access-list.ts';
import { readBootIdWindows } from './environment-windows.ts';
import { runScript, type Script, ScriptTrouble } from './powershell.ts';
import { systemEnvironment, type WindowsHost } from './windows-host.ts';

/** MachineGuid is drawn when Windows is installed, and again when an image is generalised (sysprep). */
const MACHINE = `
$key = [Microsoft.Win32.Registry]::LocalMachine.OpenSubKey('SOFTWARE\\Microsoft\\Cryptography')
$id = ''
if ($key -ne $null) { $id = [string]$key.GetValue('MachineGuid'); $key.Close() }
Answer @{ id = $id; uuid = [string](Get-CimInstance -ClassName Win32_ComputerSystemProduct -Property UUID).UUID }
`;

const STARTED = `
$found = Get-Process -Id $request.pid -ErrorAction SilentlyContinue
Answer @{ started = if ($found -eq $null) { $null } else { $found.StartTime.ToUniversalTime().Ticks.ToString() } }
`;

/** A folder that leads elsewhere says nothing of where it leads. */
const ACCESS = `
$folder = New-Object IO.DirectoryInfo -ArgumentList ([string]$request.path)
$parts = [Security.AccessControl.AccessControlSections]'Owner, Access'
$there = $folder.Exists
Answer @{
  there = $there
  leads = $there -and (($folder.Attributes -band [IO.FileAttributes]::ReparsePoint) -ne 0)
  descriptor = if ($there) { $folder.GetAccessControl($parts).GetSecurityDescriptorSddlForm($parts) } else { $null }
}
`;

export const hostScripts = { MACHINE, STARTED, ACCESS } as const;

const machine = z.strictObject({ id: z.string().check(z.maxLength(64)), uuid: z.string().check(z.maxLength(64)) });
const started = z.strictObject({ started: z.nullable(z.string().check(z.regex(/^[0-9]{1,19}$/))) });
const access = z.strictObject({
  there: z.boolean(),
  leads: z.boolean(),
  descriptor: z.nullable(z.string().check(z.maxLength(16_384))),
});

export type HostWindowsOptions = Readonly<{ processes: Processes; host: WindowsHost }>;

export function hostWindows({ processes, host }: HostWindowsOptions): Host {
  const ask = <S extends z.core.$ZodType>(script: Script, schema: S) => askScript({ processes, host }, script, schema);
  return {
    bootId: () => readBootIdWindows(processes, host),
    machine: () => ask({ script: MACHINE }, machine),
    processStart: async (pid) => (await ask({ script: STARTED, request: { pid } }, started)).started,
    demandPrivate: (folder) => demandAccess({ processes, host }, folder, 'closed'),
    // One user for both halves: SYSTEM.
    linkOwner: async () => null,
    environment: { ...systemEnvironment(host), ProgramData: host.programData, ProgramFiles: host.programFiles },
  };
}

/** Throws `JOURNAL_UNSAFE` with what is wrong with a folder's access list. */
export async function demandAccess(options: HostWindowsOptions, path: string, demand: AccessDemand): Promise<void> {
  const { there, leads, descriptor } = await askScript(options, { script: ACCESS, request: { path } }, access);
  const fault = !there ? 'folder_missing' : leads ? 'symlink' : accessFault(descriptor ?? '', demand);
  if (fault !== undefined) throw new Failure('JOURNAL_UNSAFE', { path, reason: fault });
}

async function askScript<S extends z.core.$ZodType>(
  { processes, host }: HostWindowsOptions,
  script: Script,
  schema: S,
): Promise<z.core.output<S>> {
  try {
    return parseSchema(schema, (await runScript(processes, host, script)).value);
  } catch (error) {
    if (error instanceof ScriptTrouble) throw new Failure('ENV_REFUSED', { reason: error.reason }, error);
    if (error instanceof Failure) throw new Failure('ENV_REFUSED', { reason: 'script_answer' }, error);
    throw error;
  }
}
