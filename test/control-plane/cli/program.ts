// The client commands as a program of their own, for tests that need a real process: arguments, exit codes, both outputs.

import { Command } from 'commander';
import { registerCommands } from '../../../control-plane/cli/commands.ts';

const program = new Command('latchkey');
registerCommands(program);
await program.parseAsync(process.argv);
