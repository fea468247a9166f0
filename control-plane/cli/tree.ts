// The commands of a program as a list, each with its whole name: what completions, the man page and the examples in the help
// are made from. What is hidden in the help is hidden there, too.

import type { Command, Option } from 'commander';

export type Node = Readonly<{
  /** From the program's own name on. */
  path: string;
  command: Command;
  children: readonly Command[];
  options: readonly Option[];
}>;

/** Parents before their children. */
export function treeOf(program: Command): Node[] {
  const visit = (command: Command, above: string): Node[] => {
    const path = `${above} ${command.name()}`.trim();
    const help = command.createHelp();
    const children = help.visibleCommands(command).filter((child) => command.commands.includes(child));
    const options = help.visibleOptions(command);
    return [{ path, command, children, options }, ...children.flatMap((child) => visit(child, path))];
  };
  return visit(program, '');
}

/** Those that do something. */
export function leavesOf(program: Command): Node[] {
  return treeOf(program).filter(({ children }) => children.length === 0);
}
