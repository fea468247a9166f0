// A process port that answers from written exchanges. It demands exactly the program, arguments, environment and input
// that the exchange is for; whatever else is asked of it fails the test. Secrets are compared and never kept.

import { deepEqual, equal, fail } from 'node:assert/strict';
import type { Ended, Processes, Program, TerminalAct } from '../../../agent/ports/process.ts';
import type { Secret } from '../../../protocol/secret.ts';
import type { TerminalExchange } from './exchanges.ts';

/** What is expected of a call: the program's last two parts of its path, its arguments, and what varies of its input. */
export type Call = Readonly<{ program: string; args: readonly string[]; request?: unknown; secret?: Secret }>;

export const SYSTEM_ROOT = 'C:\\Windows';
export const HOST = {
  systemRoot: SYSTEM_ROOT,
  programData: 'C:\\ProgramData',
  programFiles: 'C:\\Program Files',
  scratch: 'C:\\ProgramData\\latchkey-agent\\scratch',
} as const;
const ENVIRONMENT = { SystemRoot: SYSTEM_ROOT, windir: SYSTEM_ROOT, PATH: `${SYSTEM_ROOT}\\System32` };
const SCRIPT_SWITCHES = ['-NoLogo', '-NoProfile', '-NonInteractive', '-InputFormat', 'Text', '-OutputFormat', 'Text'];

/** Everything about a program's start but which one it is: the same for all. */
export function assertPlain({ program, env, cwd, timeoutMs, outputBytesMax }: Program): void {
  equal(cwd, `${SYSTEM_ROOT}\\System32`);
  const scratch = program.endsWith('powershell.exe') ? { TEMP: HOST.scratch, TMP: HOST.scratch } : {};
  deepEqual(env, { ...ENVIRONMENT, ...scratch });
  equal(timeoutMs > 0 && timeoutMs <= 120_000 && outputBytesMax > 0, true);
}

/** A secret must not be in what other processes can see. */
export function assertNotSeen({ program, args, env }: Program, secrets: readonly Secret[]): void {
  const seen = JSON.stringify([program, args, env]);
  for (const secret of secrets) {
    const bytes = Buffer.from(secret.revealBytes());
    for (const form of ['latin1', 'base64', 'hex'] as const)
      equal(seen.includes(bytes.toString(form)), false, 'a secret in arguments or environment');
  }
}

/** The script of a call of PowerShell, without what all have in common; the rest of the arguments must be as it is. */
export function scriptOf({ program, args }: Program): string {
  equal(program, `${SYSTEM_ROOT}\\System32\\WindowsPowerShell\\v1.0\\powershell.exe`);
  deepEqual(args.slice(0, -1), [...SCRIPT_SWITCHES, '-Command']);
  return args.at(-1) ?? '';
}

/** Input of a script: its request, and the secret where there is one. */
export function inputOf(input: Uint8Array): { request: unknown; secret: Buffer | null } {
  const text = Buffer.from(input).toString('latin1');
  equal(/^[\x20-\x7e\n]*$/.test(text), true, 'input beyond ASCII');
  const [request = '', secret, ...rest] = text.split('\n');
  equal(rest.length <= 1 && text.endsWith('\n'), true);
  return { request: JSON.parse(request), secret: secret ? Buffer.from(secret, 'base64') : null };
}

export function answerOf(value: unknown, secret?: Uint8Array): Buffer {
  const line = `${JSON.stringify(value)}\n`;
  return Buffer.from(secret ? `${line}${Buffer.from(secret).toString('base64')}\n` : line);
}

/** Plays what a terminal shows, and takes what is typed; the bytes typed at each place are handed to `typed`. */
export function playTerminal(
  opening: string,
  { shows, status }: TerminalExchange,
  hear: (output: Uint8Array) => TerminalAct,
  typed: (bytes: Uint8Array) => void,
): Ended {
  let last: Uint8Array = new Uint8Array();
  let act: TerminalAct = hear(Buffer.from(opening));
  for (const shown of shows) {
    if (act === 'stop') return { ending: 'stopped', status: null };
    if (shown === 'typed') {
      // A program that waits for what never comes.
      if (act === 'wait') return { ending: 'timeout', status: null };
      act.typed();
      last = Uint8Array.from(act.type);
      typed(last);
      act.type.fill(0);
      act = 'wait';
      continue;
    }
    act = hear(shown === 'typed back' ? last.subarray(0, -1) : Buffer.from(shown));
  }
  if (act === 'stop') return { ending: 'stopped', status: null };
  return status === 'hangs' ? { ending: 'timeout', status: null } : { ending: 'exited', status };
}

/** A port on which nothing is expected. */
export const noProcesses: Processes = {
  run: ({ program, args }) => fail(`unexpected run of ${program} ${args.join(' ')}`),
  talk: ({ program, args }) => fail(`unexpected talk with ${program} ${args.join(' ')}`),
};
