// Runs passwd(1) on a pseudo-terminal for one account and gives it the secret at its prompts. The secret is in no
// argument, environment or file; the output is read, never kept and never logged; the program is always reaped.

import { existsSync, readFileSync, writeSync } from 'node:fs';
import { type IPty, spawn } from 'node-pty';
import type { Secret } from '../../protocol/secret.ts';
import {
  answerDialogue,
  atUnknownPrompt,
  type Dialogue,
  dialogueStart,
  hearDialogue,
  type PasswdReason,
  refusalReason,
} from './passwd-dialogue.ts';

/**
 * A program may print its prompt a moment before it turns echo off and drops what was typed too early (busybox does). The
 * secret is written once the program is seen to wait in read(2), or, where that cannot be seen, when the prompt has stood
 * still for this long.
 */
const PROMPT_SETTLE_MS = 100;
const PROMPT_LOOK_MS = 1;
/** Number of read(2) in /proc/PID/syscall (proc(5)), by architecture. */
const READ_SYSCALL: Readonly<Record<string, string>> = { x64: '0', arm64: '63' };

export type PasswdOptions = Readonly<{
  /** Where the program may be; the first that exists is run. */
  programs: readonly string[];
  timeoutMs: number;
  /** Asked at the end of the time, while the program still runs: is it kept waiting by someone else? */
  isHeldUp(pid: number): boolean;
}>;

/** Whether a program can be run on a pseudo-terminal here; the one that is run prints its version. */
export function terminalOpens(): Promise<boolean> {
  return new Promise((resolve) => {
    try {
      const terminal = spawnOn(process.execPath, ['--version']);
      terminal.onExit(({ exitCode }) => resolve(exitCode === 0));
    } catch {
      resolve(false);
    }
  });
}

export type PasswdOutcome = 'done' | Readonly<{ reason: PasswdReason }>;

export async function runPasswd(options: PasswdOptions, name: string, secret: Secret): Promise<PasswdOutcome> {
  const program = options.programs.find((path) => existsSync(path));
  if (program === undefined) return { reason: 'missing' };
  const bytes = secret.revealBytes();
  try {
    const terminal = tryTerminal(program, name);
    return terminal === undefined ? { reason: 'no_terminal' } : await talk(terminal, bytes, options);
  } finally {
    bytes.fill(0);
  }
}

/** `undefined` where the system has no pseudo-terminal to give: what the library throws then is no more than that. */
function tryTerminal(program: string, name: string): IPty | undefined {
  try {
    return spawnOn(program, ['--', name]);
  } catch {
    return undefined;
  }
}

function spawnOn(program: string, args: string[]): IPty {
  return spawn(program, args, {
    cwd: '/',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', HOME: '/root' },
    encoding: null,
    // Wide enough that no prompt is broken over two lines.
    cols: 200,
    name: 'dumb',
  });
}

function talk(terminal: IPty, secret: Uint8Array, options: PasswdOptions): Promise<PasswdOutcome> {
  return new Promise((resolve) => {
    let dialogue: Dialogue = dialogueStart;
    let stopped: PasswdReason | undefined;
    let answering: NodeJS.Timeout | undefined;

    const stop = (reason: PasswdReason): void => {
      stopped ??= reason;
      clearTimeout(answering);
      killGroup(terminal.pid);
    };
    const deadline = setTimeout(() => {
      if (options.isHeldUp(terminal.pid)) stop('lock');
      else stop(atUnknownPrompt(dialogue) ? 'unknown' : 'timeout');
    }, options.timeoutMs);

    // With `encoding: null` chunks are buffers, whatever the declaration says.
    const heard = terminal.onData((chunk: string | Uint8Array) => {
      if (stopped !== undefined) return;
      clearTimeout(answering);
      const next = hearDialogue(dialogue, typeof chunk === 'string' ? Buffer.from(chunk, 'latin1') : chunk, secret);
      dialogue = next.dialogue;
      if (next.act === 'wait') return;
      if (next.act !== 'answer') return stop(next.act.stop);
      const promptedMs = performance.now();
      const answerWhenAwaited = (): void => {
        if (!awaitsInput(terminal.pid) && performance.now() - promptedMs < PROMPT_SETTLE_MS) {
          answering = setTimeout(answerWhenAwaited, PROMPT_LOOK_MS);
          return;
        }
        dialogue = answerDialogue(dialogue);
        if (!writeLine(terminal, secret)) stop('unknown');
      };
      answering = setTimeout(answerWhenAwaited, PROMPT_LOOK_MS);
    });

    const exited = terminal.onExit(({ exitCode, signal }) => {
      clearTimeout(deadline);
      clearTimeout(answering);
      heard.dispose();
      exited.dispose();
      const words = dialogue.tail.toString('latin1');
      dialogue.tail.fill(0);
      if (stopped !== undefined) return resolve({ reason: stopped });
      const succeeded = exitCode === 0 && !signal;
      if (succeeded && dialogue.answered === 2) return resolve('done');
      // A program that succeeds without having asked for the secret has done something else.
      resolve({ reason: succeeded && dialogue.answered === 0 ? 'not_asked' : refusalReason(words) });
    });
  });
}

/** Writes to the terminal itself: the library's queue would keep a copy that nobody can wipe. */
function writeLine(terminal: IPty, secret: Uint8Array): boolean {
  const fd = 'fd' in terminal && typeof terminal.fd === 'number' ? terminal.fd : -1;
  const line = Buffer.alloc(secret.length + 1, '\n');
  line.set(secret);
  try {
    // A line is far smaller than the terminal's buffer, so it is taken whole or not at all.
    return writeSync(fd, line) === line.length;
  } catch {
    return false;
  } finally {
    line.fill(0);
  }
}

/** Whether the process is blocked in read(2). `false` also where this kernel does not tell. */
function awaitsInput(pid: number): boolean {
  try {
    const [call] = readFileSync(`/proc/${pid}/syscall`, 'ascii').split(' ', 1);
    return call === READ_SYSCALL[process.arch];
  } catch {
    return false;
  }
}

/** The program leads a session of its own on the terminal: whatever it started ends with it. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}
