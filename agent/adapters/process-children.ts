// Programs as children of this process, through pipes or on a pseudo-terminal of node-pty. Nothing of one system alone is
// here, so that what is tried on one is what runs on another, as far as Node and node-pty keep their word.

import { spawn } from 'node:child_process';
import { existsSync, writeSync } from 'node:fs';
import { type IPty, spawn as spawnOnTerminal } from 'node-pty';
import type { Ended, Ending, Processes, Program } from '../ports/process.ts';
import { errnoOf } from './errno.ts';

/** Wide enough that no prompt is broken over two lines. */
const COLUMNS = 200;

export function processChildren(): Processes {
  return { run: runPiped, talk };
}

function runPiped(
  { program, args, env, cwd, timeoutMs, outputBytesMax }: Program,
  input: Uint8Array,
): Promise<Ended & Readonly<{ output: Buffer }>> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd, env, stdio: ['pipe', 'pipe', 'ignore'], windowsHide: true });
    const chunks: Buffer[] = [];
    let bytes = 0;
    let stopped: Ending | undefined;
    const stop = (ending: Ending): void => {
      stopped ??= ending;
      child.kill('SIGKILL');
      // What the program started may hold its pipes open.
      child.stdout.destroy();
    };
    const deadline = setTimeout(() => stop('timeout'), timeoutMs);
    child.stdout.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes > outputBytesMax) stop('output_limit');
    });
    const end = (ended: Ended): void => {
      clearTimeout(deadline);
      const output = Buffer.concat(chunks);
      for (const chunk of chunks) chunk.fill(0);
      resolve({ ...ended, output });
    };
    child.once('error', (error) => end({ ending: notStarted(error), status: null }));
    child.once('close', (status) => end({ ending: stopped ?? 'exited', status: stopped ? null : status }));
    // A program that does not read has ended, and says so itself.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

function talk(program: Program, hear: Parameters<Processes['talk']>[1]): Promise<Ended> {
  // What a terminal is opened with cannot tell a program that is not there from one that fails.
  if (!existsSync(program.program)) return Promise.resolve({ ending: 'missing', status: null });
  let terminal: IPty;
  try {
    terminal = openTerminal(program);
  } catch {
    return Promise.resolve({ ending: 'not_started', status: null });
  }
  return new Promise((resolve) => {
    let stopped: Ending | undefined;
    let typing: NodeJS.Timeout | undefined;
    let untyped: Uint8Array | undefined;
    let bytes = 0;
    const holdBack = (): void => {
      clearTimeout(typing);
      untyped?.fill(0);
    };
    const stop = (ending: Ending): void => {
      if (stopped !== undefined) return;
      stopped = ending;
      holdBack();
      endTerminal(terminal);
    };
    const deadline = setTimeout(() => stop('timeout'), program.timeoutMs);
    const heard = terminal.onData((chunk: string | Uint8Array) => {
      if (stopped !== undefined) return;
      // With `encoding: null` chunks are buffers, where the system has such terminals.
      const output = typeof chunk === 'string' ? Buffer.from(chunk, 'utf8') : chunk;
      bytes += output.length;
      if (bytes > program.outputBytesMax) return stop('output_limit');
      holdBack();
      const act = hear(output);
      if (act === 'stop') return stop('stopped');
      if (act === 'wait') return;
      untyped = act.type;
      typing = setTimeout(() => {
        act.typed();
        if (!type(terminal, act.type)) stop('stopped');
      }, act.settleMs);
    });
    const exited = terminal.onExit(({ exitCode, signal }) => {
      clearTimeout(deadline);
      holdBack();
      heard.dispose();
      exited.dispose();
      resolve({ ending: stopped ?? 'exited', status: stopped || signal ? null : exitCode });
    });
  });
}

function openTerminal({ program, args, env, cwd }: Program): IPty {
  return spawnOnTerminal(program, [...args], { cwd, env, encoding: null, cols: COLUMNS, name: 'dumb' });
}

/**
 * Writes to the terminal's descriptor where there is one: the library's queue keeps a copy that nobody can wipe. Where there
 * is none (Windows) that copy lives until this process ends, which it does after the operation.
 */
function type(terminal: IPty, bytes: Uint8Array): boolean {
  const fd = 'fd' in terminal && typeof terminal.fd === 'number' ? terminal.fd : -1;
  try {
    if (fd >= 0) return writeSync(fd, bytes) === bytes.length;
    terminal.write(Buffer.from(bytes));
    return true;
  } catch {
    return false;
  } finally {
    bytes.fill(0);
  }
}

/** On Unix the program leads a session of its own; elsewhere the library ends all that is on the terminal. */
function endTerminal(terminal: IPty): void {
  try {
    if ('fd' in terminal && typeof terminal.fd === 'number') process.kill(-terminal.pid, 'SIGKILL');
    else terminal.kill();
  } catch {
    // It has ended already.
  }
}

function notStarted(error: unknown): Ending {
  return errnoOf(error) === 'ENOENT' ? 'missing' : 'not_started';
}
