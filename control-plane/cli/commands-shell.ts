// `latchkey completion` and `latchkey man`: what a shell and `man` know of this program.

import { Argument, type Command } from 'commander';
import { VERSION } from '../version.ts';
import { onHost, withJson } from './action.ts';
import { completionFor, type Shell, shells } from './completion.ts';
import { manPage } from './man.ts';
import { writeJson } from './view/text.ts';

type Json = Readonly<{ json?: boolean }>;

export function registerShellCommands(program: Command): void {
  const completion = withJson(program.command('completion'))
    .description('print what a shell needs to complete commands and options')
    .addArgument(new Argument('<shell>').choices(shells));
  onHost<Json>(completion, async ({ json }, [shell]) => {
    const text = completionFor(shell as Shell, program);
    if (json) writeJson({ event: 'completion', shell, text });
    else process.stdout.write(text);
  });

  const man = withJson(program.command('man')).description('print the man page of this program');
  onHost<Json>(man, async ({ json }) => {
    const text = manPage(program, VERSION, new Date().toISOString().slice(0, 10));
    if (json) writeJson({ event: 'man', text });
    else process.stdout.write(text);
  });
}
