// The man page, made from the tree of commands: what the help says of each, in one place, with what no help says: where things
// lie, what the environment may say, and what the exit codes mean.

import type { Command, Option } from 'commander';
import { examplesOf } from './examples.ts';
import { type Node, treeOf } from './tree.ts';

const exitCodes: readonly (readonly [string, string])[] = [
  ['0', 'It was done.'],
  ['1', 'It failed, or was interrupted before its end.'],
  ['2', 'The command line was wrong.'],
  ['3', 'It was refused; nothing was changed.'],
  ['4', 'It was done in part.'],
  ['5', 'It is late: it expired, is overdue, or \\fB--timeout\\fR was reached.'],
  ['6', 'It was cancelled.'],
  ['130', 'Watching or waiting was ended with Ctrl-C; an operation goes on.'],
];

const environment: readonly (readonly [string, string])[] = [
  ['LATCHKEY_PROFILE', 'The profile to use, as \\fB--profile\\fR.'],
  ['LATCHKEY_URL', 'The control plane, as \\fB--url\\fR.'],
  ['LATCHKEY_API_KEY_FILE', 'A file with the API key, as \\fB--api-key-file\\fR.'],
  ['LATCHKEY_DATA', 'The data folder of the control plane on this host.'],
  ['LATCHKEY_STATE', 'The folder with keys of operations that were started here.'],
  ['NO_COLOR', 'If set, nothing is coloured. What does not go to a terminal never is.'],
];

const files: readonly (readonly [string, string])[] = [
  ['~/.config/latchkey/profiles/', 'Profiles of \\fBlatchkey login\\fR, each with its API key, mode 0600.'],
  ['~/.local/state/latchkey/', 'Keys of operations whose passwords were not shown yet, and agents that were met.'],
  ['~/.local/share/latchkey/', 'The data folder of a control plane; of root, /var/lib/latchkey.'],
];

/** `date`: of its making, as 2026-01-31. */
export function manPage(program: Command, version: string, date: string): string {
  const name = program.name();
  const nodes = treeOf(program);
  return `${[
    `.TH ${name.toUpperCase()} 1 "${date}" "${name} ${version}" "User Commands"`,
    '.SH NAME',
    `${name} \\- reset the password of a virtual machine from outside it`,
    '.SH SYNOPSIS',
    `.B ${name}`,
    '.I command',
    '[\\fIoptions\\fR] [\\fIarguments\\fR]',
    '.SH DESCRIPTION',
    roff(program.description()),
    '.SH COMMANDS',
    ...nodes.filter(({ children }) => children.length === 0).flatMap(section),
    '.SH EXIT STATUS',
    ...exitCodes.flatMap(([code, text]) => tagged(`.B ${code}`, text)),
    '.SH ENVIRONMENT',
    ...environment.flatMap(([variable, text]) => tagged(`.B ${variable}`, text)),
    '.SH FILES',
    ...files.flatMap(([path, text]) => tagged(`.I ${roff(path)}`, text)),
  ].join('\n')}\n`;
}

function section({ path, command, options }: Node): string[] {
  const usage = `${path} ${command.usage()}`;
  const lines = [`.SS ${roff(path)}`, roff(capital(command.description())), '.PP', `.B ${roff(usage)}`];
  const examples = examplesOf(path);
  return [
    ...lines,
    ...options.flatMap((option) => tagged(`.B ${roff(option.flags)}`, roff(textOf(option)))),
    ...(examples.length > 0 ? ['.PP', examples.length > 1 ? 'Examples:' : 'Example:', '.PP', '.nf', '.RS'] : []),
    ...examples.map((example) => roff(example)),
    ...(examples.length > 0 ? ['.RE', '.fi'] : []),
  ];
}

function textOf({ description, argChoices }: Option): string {
  const choices = argChoices ? ` (${argChoices.join(', ')})` : '';
  return capital(`${description}${choices}`) || 'See the description.';
}

const tagged = (tag: string, text: string) => ['.TP', tag, text];
const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** As text: a hyphen that can be copied, and nothing that begins a request of roff. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^([.'])/gm, '\\&$1');
}
