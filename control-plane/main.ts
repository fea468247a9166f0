#!/usr/bin/env node
// Runs the command line, and shows an error that nobody else did: one line with its code and no stack.

import { asFailure, errorLine } from './cli/view/text.ts';
import { latchkeyProgram } from './program.ts';

const EXIT_FAILED = 1;

// Whoever read our output may go before we end, as `head` does: that is no reason to stop, or to show a stack.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

try {
  await latchkeyProgram(import.meta.filename).parseAsync(process.argv);
} catch (error) {
  process.exitCode = EXIT_FAILED;
  process.stderr.write(`${errorLine(asFailure(error))}\n`);
}
