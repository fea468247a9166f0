// Setting the agent up on Windows: a folder that is SYSTEM's and Administrators' alone, and a task of SYSTEM that runs the
// link from the start of the machine on, and again within a minute when it has ended. It copies no program.
//
// Not yet proven on a real Windows.

import * as z from 'zod/mini';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { parseSchema } from '../../protocol/schema.ts';
import type { Processes } from '../ports/process.ts';
import { demandAccess } from './host-windows.ts';
import { runScript, type Script, ScriptTrouble } from './powershell.ts';
import type { WindowsHost } from './windows-host.ts';

export const TASK_NAME = 'Latchkey agent';
/** Owned by Administrators: an elevated one may make that so, and nobody may make a folder another user's. */
const CLOSED = 'O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)';

/** It is made with its list, so that there is no moment without; a folder that is there already stays as it is. */
const FOLDER = `
$list = New-Object Security.AccessControl.DirectorySecurity
$list.SetSecurityDescriptorSddlForm([string]$request.descriptor)
if (-not [IO.Directory]::Exists([string]$request.path)) { [void][IO.Directory]::CreateDirectory([string]$request.path, $list) }
Answer @{ there = [IO.Directory]::Exists([string]$request.path) }
`;

/** One that is there already is taken away first: whether it would be replaced is not written down. */
const REGISTER = `
$old = Get-ScheduledTask -TaskName ([string]$request.name) -TaskPath '\\' -ErrorAction SilentlyContinue
if ($old -ne $null) { Unregister-ScheduledTask -InputObject $old -Confirm:$false }
[void](Register-ScheduledTask -TaskName ([string]$request.name) -TaskPath '\\' -Xml ([string]$request.xml))
Answer @{ registered = $true }
`;

const REMOVE = `
$task = Get-ScheduledTask -TaskName ([string]$request.name) -TaskPath '\\' -ErrorAction SilentlyContinue
if ($task -ne $null) {
  Stop-ScheduledTask -InputObject $task
  Unregister-ScheduledTask -InputObject $task -Confirm:$false
}
Answer @{ removed = ($task -ne $null) }
`;

export const installationScripts = { FOLDER, REGISTER, REMOVE } as const;

const there = z.strictObject({ there: z.literal(true) });
const registered = z.strictObject({ registered: z.literal(true) });
const removed = z.strictObject({ removed: z.boolean() });

export type InstallationWindowsOptions = Readonly<{ processes: Processes; host: WindowsHost }>;

export function installationWindows(options: InstallationWindowsOptions) {
  const { processes, host } = options;

  async function ask<S extends z.core.$ZodType>(step: string, script: Script, schema: S): Promise<z.core.output<S>> {
    try {
      return parseSchema(schema, (await runScript(processes, host, script)).value);
    } catch (error) {
      if (!(error instanceof ScriptTrouble) && !codeOf(error)) throw error;
      throw new Failure('INSTALL_FAILED', { reason: step }, error);
    }
  }

  return {
    /** Throws `JOURNAL_UNSAFE` where there is one already that others had, or have, a hand in. */
    async makeFolder(path: string): Promise<void> {
      await ask('folder', { script: FOLDER, request: { path, descriptor: CLOSED } }, there);
      await demandAccess(options, path, 'closed');
    },
    /** Throws `INSTALL_FAILED` where somebody else could change what SYSTEM will run. */
    async demandProgram(folder: string): Promise<void> {
      try {
        await demandAccess(options, folder, 'unwritable');
      } catch (error) {
        throw codeOf(error) ? new Failure('INSTALL_FAILED', { reason: 'program_folder', path: folder }, error) : error;
      }
    },
    async register(command: Command): Promise<void> {
      const request = { name: TASK_NAME, xml: taskDefinition(command) };
      await ask('task', { script: REGISTER, request }, registered);
    },
    /** Whether there was one. */
    async remove(): Promise<boolean> {
      return (await ask('task', { script: REMOVE, request: { name: TASK_NAME } }, removed)).removed;
    },
  };
}

type Command = Readonly<{ program: string; args: readonly string[] }>;

/**
 * By the Task Scheduler's schema. What starts it starts it every minute anew, and a second one is not started while the first
 * runs: so it comes back however it ended, also where an exit status is no failure to the scheduler.
 */
function taskDefinition({ program, args }: Command): string {
  const again = '<Repetition><Interval>PT1M</Interval></Repetition>';
  const quoted = (word: string) => escapeXml(`"${word}"`);
  const [file = '', ...words] = args;
  return `<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>Latchkey agent: the link to the control plane</Description></RegistrationInfo>
  <Triggers>
    <BootTrigger>${again}</BootTrigger>
    <RegistrationTrigger>${again}</RegistrationTrigger>
  </Triggers>
  <Principals><Principal id="System"><UserId>S-1-5-18</UserId><RunLevel>HighestAvailable</RunLevel></Principal></Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Priority>5</Priority>
    <RestartOnFailure><Interval>PT1M</Interval><Count>255</Count></RestartOnFailure>
  </Settings>
  <Actions Context="System">
    <Exec><Command>${quoted(program)}</Command><Arguments>${quoted(file)} ${escapeXml(words.join(' '))}</Arguments></Exec>
  </Actions>
</Task>`;
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
