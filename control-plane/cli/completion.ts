// Completions of a shell, made from the tree of commands. They know commands, options and the values of options that have few;
// what else may stand there is a file, or is not guessed.

import type { Command, Option } from 'commander';
import { type Node, treeOf } from './tree.ts';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

export function completionFor(shell: Shell, program: Command): string {
  const nodes = treeOf(program);
  return { bash, zsh, fish }[shell](program.name(), nodes);
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
const namesOf = ({ short, long }: Option) => [short, long].filter((name) => name != null);
const takesValue = ({ required, optional }: Option) => required || optional;
/** In one line, and without what a shell or a terminal would take for something else. */
const firstLine = (text: string) => (text.split('\n')[0] ?? '').replaceAll(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, ' ');

/** Branches of a `case`: which words follow a command, and which values an option of it takes. */
function branches(nodes: readonly Node[]): Readonly<{ commands: string; offers: string; values: string }> {
  const offers = nodes.map(({ path, children, options }) => {
    const names = [...children.map((child) => child.name()), ...options.flatMap(namesOf)];
    return `    ${quoted(path)}) offer=${quoted(names.join(' '))} ;;`;
  });
  const values = nodes.flatMap(({ path, options }) =>
    options.filter(takesValue).map((option) => {
      const patterns = namesOf(option).map((name) => quoted(`${path} ${name}`));
      return `    ${patterns.join('|')}) values=${quoted((option.argChoices ?? []).join(' '))} takes=1 ;;`;
    }),
  );
  const known = nodes.slice(1).map(({ path }) => quoted(path));
  return { commands: known.join('|'), offers: offers.join('\n'), values: values.join('\n') };
}

function bash(name: string, nodes: readonly Node[]): string {
  const { commands, offers, values } = branches(nodes);
  return `# bash completion for ${name}
_${name}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" at=${quoted(name)} offer='' values='' takes='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at \${COMP_WORDS[i]}" in ${commands}) at="$at \${COMP_WORDS[i]}" ;; esac
  done
  COMPREPLY=()
  case "$at $before" in
${values}
  esac
  if [ -n "$takes" ]; then
    COMPREPLY=($(compgen -W "$values" -- "$current"))
    return
  fi
  case "$at" in
${offers}
  esac
  COMPREPLY=($(compgen -W "$offer" -- "$current"))
}
complete -o bashdefault -o default -F _${name} ${name}
`;
}

function zsh(name: string, nodes: readonly Node[]): string {
  const { commands, offers, values } = branches(nodes);
  return `#compdef ${name}
# zsh completion for ${name}
_${name}() {
  local before="\${words[CURRENT-1]}" at=${quoted(name)} takes='' values='' offer='' i
  for ((i = 2; i < CURRENT; i++)); do
    case "$at \${words[i]}" in (${commands}) at="$at \${words[i]}" ;; esac
  done
  case "$at $before" in
${values}
  esac
  if [[ -n $takes ]]; then
    if [[ -n $values ]]; then compadd -- \${=values}; else _files; fi
    return
  fi
  case "$at" in
${offers}
  esac
  compadd -- \${=offer}
}
if [[ \${funcstack[1]} = _${name} ]]; then _${name} "$@"; else compdef _${name} ${name}; fi
`;
}

function fish(name: string, nodes: readonly Node[]): string {
  const [root, ...below] = nodes;
  const known = below.map(({ path }) => quoted(path)).join(' ');
  const lines = nodes.flatMap(({ path, children, options }) => {
    const here = `complete -c ${name} -n ${quoted(`__${name}_at ${quoted(path)}`)}`;
    const commands = children.map(
      (child) => `${here} -f -a ${quoted(child.name())} -d ${quoted(firstLine(child.description()))}`,
    );
    return [...commands, ...options.map((option) => `${here} ${fishOption(option)}`)];
  });
  return `# fish completion for ${name}
function __${name}_at
  set -l at ${quoted(root?.path ?? name)}
  for word in (commandline -opc)[2..-1]
    if contains -- "$at $word" ${known}
      set at "$at $word"
    end
  end
  test "$at" = $argv[1]
end
${lines.join('\n')}
`;
}

function fishOption(option: Option): string {
  const { short, long, description, argChoices } = option;
  const names = [short && `-s ${short.slice(1)}`, long && `-l ${long.slice(2)}`].filter(Boolean).join(' ');
  const choices = argChoices ? ` -f -a ${quoted(argChoices.join(' '))}` : '';
  return `${names}${takesValue(option) ? ' -r' : ''}${choices} -d ${quoted(firstLine(description))}`;
}
