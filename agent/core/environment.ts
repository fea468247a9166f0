// Whether the machine is the normally booted one. Each rule names a way in which a machine can have been "rerooted":
// another root, another init, other kernel arguments (kernel-command-line(7), dracut.cmdline(7), bootup(7)).

import { type WindowsBootFacts, windowsFault } from './environment-windows.ts';

/** The facts of Linux that are judged; the port of the same name observes them. `null`: it could not be read. */
export type BootFacts = Readonly<{
  kernelCommandLine: string | null;
  initPath: string | null;
  initName: string | null;
  initAliases: readonly string[];
  rootIsInits: boolean | null;
  rootFilesystem: string | null;
  initrd: boolean;
  nextRoot: boolean;
  bootOverride: boolean;
  marker: 'same' | 'other' | 'missing';
}>;

/** Root file systems that a normal machine boots from; agent.json adds to them. */
export const rootFilesystems: readonly string[] = [
  'ext2',
  'ext3',
  'ext4',
  'xfs',
  'btrfs',
  'f2fs',
  'zfs',
  'bcachefs',
  'jfs',
];

const shells: readonly string[] = [
  ...[
    'sh',
    'bash',
    'dash',
    'ash',
    'zsh',
    'ksh',
    'mksh',
    'fish',
    'csh',
    'tcsh',
    'yash',
    'posh',
    'sash',
    'rbash',
    'lksh',
  ],
  ...['ksh93', 'bash-static', 'zsh-static', 'mksh-static', 'static-sh', 'sulogin'],
];
/** Programs that are whatever they are called by: the init of some systems, and a shell under another name. */
const multicall: readonly string[] = ['busybox', 'toybox'];
const multicallInits: readonly string[] = ['init', 'linuxrc'];

const bareArguments: readonly string[] = [
  'single',
  'S',
  's',
  '-s',
  '1',
  'rescue',
  'rd.rescue',
  'emergency',
  'rd.emergency',
  '-b',
  'rd.break',
  'break',
  'systemd.volatile',
];
/** `break` is to initramfs-tools(7) what `rd.break` is to dracut. */
const argumentsWithAnyValue: readonly string[] = ['rd.break', 'break', 'rd.emergency', 'systemd.run', 'rd.systemd.run'];
/** systemd reads `-` and `_` in its own arguments as one, and those with `rd.` in front of them in the initramfs. */
const debugShell = /^(rd\.)?systemd\.debug[_-]shell$/;
const unitArgument = /^(rd\.)?systemd\.(unit|wants)$/;
const shellTargets = /^(rescue|emergency|debug-shell|runlevel1)(\.target|\.service)?$/;

/** The first reason for which this environment is refused, or `undefined` where it is a normal one. */
export function environmentFault(
  facts: BootFacts | WindowsBootFacts,
  acceptedRootfs: readonly string[] = [],
): string | undefined {
  if ('system' in facts) return windowsFault(facts);
  if (facts.initrd) return 'initrd';
  if (facts.rootIsInits !== true) return 'root_is_not_inits';
  if (!facts.rootFilesystem || ![...rootFilesystems, ...acceptedRootfs].includes(facts.rootFilesystem))
    return 'root_filesystem';
  if (facts.initPath === null) return 'init_unknown';
  if (isShell(facts.initPath, facts.initName)) return 'init_is_shell';
  if (facts.kernelCommandLine === null) return 'kernel_arguments_unknown';
  const argument = forbiddenArgument(facts.kernelCommandLine, [facts.initPath, ...facts.initAliases]);
  if (argument) return `kernel_argument:${argument}`;
  if (facts.marker !== 'same') return `marker_${facts.marker}`;
  if (facts.nextRoot) return 'nextroot';
  if (facts.bootOverride) return 'boot_override';
  return undefined;
}

function isShell(initPath: string, initName: string | null): boolean {
  if (!multicall.includes(baseName(initPath))) return shells.includes(baseName(initPath));
  return initName === null || !multicallInits.includes(initName);
}

/**
 * The key of the first kernel argument that must not be there. Keys are compared whole and with their case. `inits`: the paths
 * that lead to the program that runs as the first process.
 */
export function forbiddenArgument(commandLine: string, inits: readonly string[]): string | undefined {
  // What only one of its readers takes for an argument is one.
  for (const argument of [...splitArguments(commandLine), ...splitAsSystemd(commandLine)]) {
    const [key = '', value] = splitOnce(argument);
    if (value === undefined ? bareArguments.includes(key) : argumentsWithAnyValue.includes(key)) return key;
    if (key === 'systemd.volatile' && value !== 'no') return key;
    if (debugShell.test(key)) return key;
    if (unitArgument.test(key) && value !== undefined && shellTargets.test(value)) return key;
    if ((key === 'init' || key === 'rdinit') && value !== undefined && !isOrdinaryInit(value, inits)) return key;
  }
  return undefined;
}

/** As the kernel does: at blanks outside double quotes, up to `--`, behind which arguments are init's own. */
export function splitArguments(commandLine: string): string[] {
  return upToDashes(commandLine.match(/(?:[^\s"]|"[^"]*"?)+/g) ?? []).map((argument) => argument.replaceAll('"', ''));
}

/** systemd takes single quotes for quotes as well. */
function splitAsSystemd(commandLine: string): string[] {
  const found = upToDashes(commandLine.match(/(?:[^\s"']|"[^"]*"?|'[^']*'?)+/g) ?? []);
  return found.map((argument) => argument.replace(/"([^"]*)"?|'([^']*)'?/g, '$1$2'));
}

function upToDashes(found: readonly string[]): readonly string[] {
  const end = found.indexOf('--');
  return end < 0 ? found : found.slice(0, end);
}

function splitOnce(argument: string): [string, string | undefined] {
  const at = argument.indexOf('=');
  return at < 0 ? [argument, undefined] : [argument.slice(0, at), argument.slice(at + 1)];
}

/** `init=` may name what runs as the first process anyway; a shell, or what may be one, never. */
function isOrdinaryInit(value: string, inits: readonly string[]): boolean {
  return ![...shells, ...multicall].includes(baseName(value)) && inits.includes(value);
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
