// Gathers the facts by which a Windows machine that was led beside itself is told from one that booted normally. Never
// judges them, and turns "could not be read" into `null`, never into a reassuring answer.
//
// Not yet proven on a real Windows.

import * as z from 'zod/mini';
import { Failure } from '../../protocol/failure.ts';
import { bootId, parseSchema } from '../../protocol/schema.ts';
import type { Environment } from '../ports/environment.ts';
import type { Processes } from '../ports/process.ts';
import { runScript, ScriptTrouble } from './powershell.ts';
import { compareMarker } from './root-marker.ts';
import type { WindowsHost } from './windows-host.ts';

/**
 * Windows has no id of a boot. LastBootUpTime moves with the clock, so that setting the clock would look like a restart; the
 * event of a start can be cleared away; the BootIdentifier of SystemBootEnvironmentInformation names the entry that was
 * booted, and is the same each time. A volatile key of the registry is kept in memory alone: whoever looks first in a boot
 * draws the id, under a lock, and it is gone with that boot. A start from hibernation ("fast startup") is none, and has it still.
 */
const BOOT = `
$lm = [Microsoft.Win32.Registry]::LocalMachine
$lock = New-Object Threading.Mutex($false, 'Global\\latchkey-agent-boot')
if (-not $lock.WaitOne(10000)) { throw 'lock' }
try {
  $key = $lm.CreateSubKey('SOFTWARE\\LatchkeyAgentBoot', [Microsoft.Win32.RegistryKeyPermissionCheck]::ReadWriteSubTree, [Microsoft.Win32.RegistryOptions]::Volatile)
  $boot = [string]$key.GetValue('Id')
  if ($boot -eq '') {
    $boot = [Guid]::NewGuid().ToString()
    $key.SetValue('Id', $boot)
  }
  $key.Close()
} finally { $lock.ReleaseMutex() }
`;

/**
 * Keys that are there in safe mode and in Windows PE alone; what setup says; and of the boot configuration the boot manager's
 * sequence for once (BcdBootMgrObjectList_BootSequence, 24000002) and safe mode of its default entry
 * (BcdOSLoaderInteger_SafeBoot, 25000080; BcdBootMgrObject_DefaultObject, 23000003).
 */
const OBSERVE = `${BOOT}
function Exists($path) { $found = $lm.OpenSubKey($path); if ($found -eq $null) { return $false }; $found.Close(); return $true }
function Value($path, $name) { $found = $lm.OpenSubKey($path); if ($found -eq $null) { return $null }; $value = $found.GetValue($name); $found.Close(); return $value }
$control = 'SYSTEM\\CurrentControlSet\\Control'
$objects = 'BCD00000000\\Objects'
$manager = $objects + '\\{9dea862c-5cdd-4e70-acc1-f32b344d4795}\\Elements'
$override = $null
if (Exists $manager) {
  $default = [string](Value ($manager + '\\23000003') 'Element')
  $override = (Exists ($manager + '\\24000002')) -or (($default -ne '') -and (Exists ($objects + '\\' + $default + '\\Elements\\25000080')))
}
$setup = Value 'SYSTEM\\Setup' 'SystemSetupInProgress'
Answer @{
  boot = $boot
  safeMode = (Exists ($control + '\\SafeBoot\\Option'))
  preinstallation = (Exists ($control + '\\MiniNT'))
  imageState = (Value 'SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Setup\\State' 'ImageState')
  setupInProgress = if ($setup -eq $null) { $null } else { [bool]$setup }
  bootOverride = $override
}
`;

const BOOT_ONLY = `${BOOT}
Answer @{ boot = $boot }
`;

export const environmentScripts = { OBSERVE, BOOT_ONLY } as const;

const observed = z.strictObject({
  boot: bootId,
  safeMode: z.nullable(z.boolean()),
  preinstallation: z.nullable(z.boolean()),
  imageState: z.nullable(z.string().check(z.maxLength(64))),
  setupInProgress: z.nullable(z.boolean()),
  bootOverride: z.nullable(z.boolean()),
});
const bootAlone = z.strictObject({ boot: bootId });

export type EnvironmentWindowsOptions = Readonly<{
  processes: Processes;
  host: WindowsHost;
  /** Where enrolment wrote the marker, and its content as remembered since then. */
  markerPath: string;
  marker: string;
}>;

export function environmentWindows({ processes, host, markerPath, marker }: EnvironmentWindowsOptions): Environment {
  return {
    async observe() {
      const { boot, ...facts } = await ask(processes, host, OBSERVE, observed);
      return { system: 'windows', bootId: boot, ...facts, marker: compareMarker(markerPath, marker) };
    },
  };
}

export async function readBootIdWindows(processes: Processes, host: WindowsHost): Promise<string> {
  return (await ask(processes, host, BOOT_ONLY, bootAlone)).boot;
}

async function ask<S extends z.core.$ZodType>(
  processes: Processes,
  host: WindowsHost,
  script: string,
  schema: S,
): Promise<z.core.output<S>> {
  try {
    return parseSchema(schema, (await runScript(processes, host, { script })).value);
  } catch (error) {
    if (error instanceof ScriptTrouble) throw new Failure('ENV_REFUSED', { reason: error.reason }, error);
    if (error instanceof Failure) throw new Failure('ENV_REFUSED', { reason: 'script_answer' }, error);
    throw error;
  }
}
