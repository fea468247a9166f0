// A normal restart of Windows by its own program, and words to those who are signed in. Never forces anything: without a
// time-out `shutdown` lets programs object, and a restart that they hold up is one that did not come.
//
// Not yet proven on a real Windows.

import * as z from 'zod/mini';
import { Failure } from '../../protocol/failure.ts';
import { parseSchema } from '../../protocol/schema.ts';
import type { Power } from '../ports/power.ts';
import type { Processes, Program } from '../ports/process.ts';
import { runScript, ScriptTrouble } from './powershell.ts';
import { systemEnvironment, systemProgram, type WindowsHost } from './windows-host.ts';

const REQUEST_TIMEOUT_MS = 30_000;
const WARN_TIMEOUT_MS = 5_000;
const WARN_SHOWN_S = 60;
const OUTPUT_BYTES_MAX = 65_536;

/** Whether this is SYSTEM, who may restart, and whether the program is there. Windows PE has another one. */
const LOOK = `
Answer @{
  system = [Security.Principal.WindowsIdentity]::GetCurrent().IsSystem
  program = [IO.File]::Exists([Environment]::SystemDirectory + '\\shutdown.exe')
}
`;

export const powerScripts = { LOOK } as const;

const looked = z.strictObject({ system: z.boolean(), program: z.boolean() });

/** Exit statuses are errors of winerror.h. */
const REASONS: Readonly<Record<number, string>> = {
  5: 'permission',
  1190: 'shutdown_scheduled',
  1191: 'users_signed_in',
  1314: 'permission',
};
/** "A system shutdown is in progress": asked for once more, or by somebody else. The boot id will tell what came of it. */
const SHUTDOWN_IN_PROGRESS = 1115;

export function powerWindows({ processes, host }: Readonly<{ processes: Processes; host: WindowsHost }>): Power {
  const program = (name: string, args: readonly string[], timeoutMs: number): Program => ({
    program: systemProgram(host, name),
    args,
    env: systemEnvironment(host),
    cwd: `${host.systemRoot}\\System32`,
    timeoutMs,
    outputBytesMax: OUTPUT_BYTES_MAX,
  });

  async function demandAvailable(): Promise<void> {
    const { system, program: there } = await look(processes, host);
    if (!there) throw denied('shutdown_missing');
    if (!system) throw denied('permission');
  }

  return {
    available: demandAvailable,
    async reboot() {
      // Planned, of the operating system, a reconfiguration: what the machine's own log says of it.
      const restart = program('shutdown.exe', ['/r', '/t', '0', '/d', 'p:2:4'], REQUEST_TIMEOUT_MS);
      const { ending, status } = await processes.run(restart, new Uint8Array());
      if (ending === 'missing') throw denied('shutdown_missing');
      if (ending !== 'exited' || status === null) throw denied(ending === 'exited' ? 'killed' : ending);
      if (status === 0 || status === SHUTDOWN_IN_PROGRESS) return;
      throw denied(REASONS[status] ?? `exit_${status}`);
    },
    async warn(message) {
      // The message goes to standard input; not every edition has the program.
      const words = Buffer.from(message.replace(/[^\x20-\x7e\n]/g, ' '), 'ascii');
      await processes.run(program('msg.exe', ['*', `/TIME:${WARN_SHOWN_S}`], WARN_TIMEOUT_MS), words);
    },
  };
}

async function look(processes: Processes, host: WindowsHost): Promise<z.infer<typeof looked>> {
  try {
    return parseSchema(looked, (await runScript(processes, host, { script: LOOK })).value);
  } catch (error) {
    if (error instanceof ScriptTrouble) throw denied(error.reason, error);
    if (error instanceof Failure) throw denied('script_answer', error);
    throw error;
  }
}

function denied(reason: string, cause?: unknown): Failure {
  return new Failure('REBOOT_DENIED', { reason }, cause);
}
