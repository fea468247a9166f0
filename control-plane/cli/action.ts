// The frame around every command: options in, exit code out. An error is one line on standard error (and one JSON object
// with `--json`), never a stack.

import type { Command } from 'commander';
import type { Client } from './client/client.ts';
import { type ConnectionOptions, connect } from './connection.ts';
import { EXIT, exitCodeOfError } from './exit-codes.ts';
import { UsageError } from './prompts.ts';
import { asFailure, errorJson, errorLine, writeJson, writeNote } from './view/text.ts';

export type CommonOptions = ConnectionOptions & Readonly<{ json?: boolean }>;

/** Adds what every command that talks to the control plane understands. */
export function withConnection(command: Command): Command {
  return withJson(command)
    .option('--profile <name>', 'as `latchkey login` made it (else LATCHKEY_PROFILE, else the one in use)')
    .option('--url <address>', 'control plane (else LATCHKEY_URL, else a profile’s, else the one on this machine)')
    .option('--api-key-file <file>', 'file with the API key (else LATCHKEY_API_KEY_FILE, else as the address)')
    .option('--ca <file>', 'PEM of the authority that issued the control plane’s certificate');
}

export function withJson(command: Command): Command {
  return command.option('--json', 'print one JSON object a line');
}

/** A command's work on the control plane. A number is the exit code; without one it is 0. */
export type Work<O> = (client: Client, options: O, parameters: readonly string[]) => Promise<unknown>;

/** Runs `work` with a connection made from the command's options. */
export function onServer<O extends CommonOptions>(command: Command, work: Work<O>): Command {
  return onHost<O>(command, async (options, parameters) => work(await connect(options), options, parameters));
}

/** Runs `work` without a connection. */
export function onHost<O extends Readonly<{ json?: boolean }>>(
  command: Command,
  work: (options: O, parameters: readonly string[]) => Promise<unknown>,
): Command {
  return command.action(async (...given: unknown[]) => {
    const self = given.pop() as Command;
    const options = self.optsWithGlobals<O>();
    try {
      const code = await work(options, self.args);
      process.exitCode = typeof code === 'number' ? code : EXIT.done;
    } catch (error) {
      if (error instanceof UsageError) {
        writeNote(`latchkey: ${error.message}`);
        process.exitCode = EXIT.usage;
        return;
      }
      const failure = asFailure(error);
      if (options.json) writeJson(errorJson(failure));
      writeNote(errorLine(failure));
      process.exitCode = exitCodeOfError(failure);
    }
  });
}

/** Ctrl-C as a signal, for as long as `work` lasts. A second one ends the program at once. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  // Stays registered: what restores the terminal's cursor kills the process where it finds itself the only listener.
  const stop = () => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    controller.abort();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  try {
    return await work(controller.signal);
  } finally {
    process.removeListener('SIGINT', stop);
    process.removeListener('SIGTERM', stop);
  }
}
