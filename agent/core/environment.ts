// Whether the machine is the normally booted one. Each rule names a way in which a machine can have been "rerooted":
// another root, another init, other kernel arguments (kernel-command-line(7), dracut.cmdline(7), bootup(7)).

/** The facts that are judged; the port of the same name observes them. `null`: it could not be read. */
export type BootFacts = Readonly<{
  kernelCommandLine: string | null;
  initPath: string | null;
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

const shells: readonly string[] = ['sh', 'bash', 'dash', 'ash', 'zsh', 'ksh', 'mksh', 'fish', 'csh', 'tcsh', 'sulogin'];

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
const argumentsWithAnyValue: readonly string[] = ['rd.break', 'break', 'rd.emergency', 'systemd.run'];
/** systemd reads `-` and `_` in its own arguments as one, and those with `rd.` in front of them in the initramfs. */
const debugShell = /^(rd\.)?systemd\.debug[_-]shell$/;
const unitArgument = /^(rd\.)?systemd\.(unit|wants)$/;
const shellTargets = /^(rescue|emergency|debug-shell|runlevel1)(\.target|\.service)?$/;
/** Programs that are whatever they are called by: the init of some systems, and a shell under another name. */
const multicall: readonly string[] = ['busybox', 'toybox'];

/** The first reason for which this environment is refused, or `undefined` where it is a normal one. */
export function environmentFault(facts: BootFacts, acceptedRootfs: readonly string[] = []): string | undefined {
  if (facts.initrd) return 'initrd';
  if (facts.rootIsInits !== true) return 'root_is_not_inits';
  if (!facts.rootFilesystem || ![...rootFilesystems, ...acceptedRootfs].includes(facts.rootFilesystem))
    return 'root_filesystem';
  if (facts.initPath === null) return 'init_unknown';
  if (shells.includes(baseName(facts.initPath))) return 'init_is_shell';
  if (facts.kernelCommandLine === null) return 'kernel_arguments_unknown';
  const argument = forbiddenArgument(facts.kernelCommandLine, facts.initPath);
  if (argument) return `kernel_argument:${argument}`;
  if (facts.marker !== 'same') return `marker_${facts.marker}`;
  if (facts.nextRoot) return 'nextroot';
  if (facts.bootOverride) return 'boot_override';
  return undefined;
}

/** The key of the first kernel argument that must not be there. Keys are compared whole and with their case. */
export function forbiddenArgument(commandLine: string, initPath: string): string | undefined {
  for (const argument of splitArguments(commandLine)) {
    const [key = '', value] = splitOnce(argument);
    if (value === undefined ? bareArguments.includes(key) : argumentsWithAnyValue.includes(key)) return key;
    if (key === 'systemd.volatile' && value !== 'no') return key;
    if (debugShell.test(key)) return key;
    if (unitArgument.test(key) && value !== undefined && shellTargets.test(value)) return key;
    if ((key === 'init' || key === 'rdinit') && value !== undefined && !isOrdinaryInit(value, initPath)) return key;
  }
  return undefined;
}

/** Splits at blanks outside double quotes and stops at `--`, behind which arguments are init's own. */
export function splitArguments(commandLine: string): string[] {
  const found: string[] = commandLine.match(/(?:[^\s"]|"[^"]*"?)+/g) ?? [];
  const end = found.indexOf('--');
  return (end < 0 ? found : found.slice(0, end)).map((argument) => argument.replaceAll('"', ''));
}

function splitOnce(argument: string): [string, string | undefined] {
  const at = argument.indexOf('=');
  return at < 0 ? [argument, undefined] : [argument.slice(0, at), argument.slice(at + 1)];
}

/** `init=` may name what runs as PID 1 anyway; a shell never. */
function isOrdinaryInit(value: string, initPath: string): boolean {
  if ([...shells, ...multicall].includes(baseName(value))) return false;
  return value === initPath || (value === '/sbin/init' && !shells.includes(baseName(initPath)));
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
