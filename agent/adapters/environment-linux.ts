// Gathers the facts by which a machine that was led into another root is told from one that booted normally. Never
// judges them, and turns "could not be read" into `null`, never into a reassuring answer.

import { lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Failure } from '../../protocol/failure.ts';
import type { Environment, EnvironmentFacts } from '../ports/environment.ts';
import { errnoOf } from './errno.ts';
import { parseMountinfo, topMount } from './mountinfo.ts';
import { compareMarker } from './root-marker.ts';

/** What systemd-logind writes for the next boot alone. */
const REBOOT_ARGUMENTS = [
  'run/systemd/reboot-param',
  'run/systemd/reboot-to-firmware-setup',
  'run/systemd/reboot-to-boot-loader-menu',
  'run/systemd/reboot-to-boot-loader-entry',
];
const EFI_VARIABLES = 'sys/firmware/efi/efivars';
/** EFI variables that a boot loader or the firmware obeys once. */
const ONE_SHOT_VARIABLES = [
  'LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f',
  'LoaderConfigTimeoutOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f',
  'BootNext-8be4df61-93ca-11d2-aa0d-00e098032b8c',
];
/** The firmware's list of wishes; the first bit of its value is "show your setup" (UEFI, section 8.5.4). */
const OS_INDICATIONS = 'OsIndications-8be4df61-93ca-11d2-aa0d-00e098032b8c';
/** A variable's file begins with four bytes of attributes. */
const VARIABLE_VALUE_AT = 4;
const BOOT_TO_SETUP = 1;
const GRUB_ENVIRONMENTS = ['boot/grub/grubenv', 'boot/grub2/grubenv'];

export type EnvironmentLinuxOptions = Readonly<{
  /** The content of the marker file as remembered since enrolment. */
  marker: string;
  /** The tree to look at; `/` but for tests. */
  root?: string;
}>;

/** Where enrolment writes the marker, below the root. */
export const MARKER_PATH = 'etc/latchkey-agent/root-marker';

export function environmentLinux(options: EnvironmentLinuxOptions): Environment {
  const at = (path: string): string => join(options.root ?? '/', path);
  return {
    async observe(): Promise<EnvironmentFacts> {
      const mounts = readText(at('proc/self/mountinfo'));
      const kernelCommandLine = readText(at('proc/cmdline'))?.trimEnd() ?? null;
      return {
        bootId: readBootId(at('proc/sys/kernel/random/boot_id')),
        kernelCommandLine,
        initPath: readLink(at('proc/1/exe'))?.replace(/ \(deleted\)$/, '') ?? null,
        initName: initName(readText(at('proc/1/cmdline'))),
        initAliases: initAliases(kernelCommandLine ?? '', at),
        rootIsInits: bothSame(at),
        rootFilesystem: mounts === null ? null : (topMount(parseMountinfo(mounts), '/')?.type ?? null),
        initrd: exists(at('etc/initrd-release')),
        nextRoot: exists(at('run/nextroot')),
        bootOverride: hasBootOverride(at),
        marker: compareMarker(at(MARKER_PATH), options.marker),
      };
    },
  };
}

function hasBootOverride(at: (path: string) => string): boolean {
  if (REBOOT_ARGUMENTS.some((path) => exists(at(path)))) return true;
  if (readText(at('sys/kernel/kexec_loaded'))?.trim() === '1') return true;
  const variables = listFolder(at(EFI_VARIABLES));
  if (ONE_SHOT_VARIABLES.some((name) => variables.includes(name))) return true;
  const wishes = readText(at(`${EFI_VARIABLES}/${OS_INDICATIONS}`))?.charCodeAt(VARIABLE_VALUE_AT) ?? 0;
  if ((wishes & BOOT_TO_SETUP) !== 0) return true;
  return GRUB_ENVIRONMENTS.some((path) => /^next_entry=./m.test(readText(at(path)) ?? ''));
}

/** Without it nothing can be said of a reboot: a machine that does not tell it is not a normally booted one. */
function readBootId(path: string): string {
  const bootId = readText(path);
  if (bootId === null) throw new Failure('ENV_REFUSED', { reason: 'boot_id_unknown' });
  return bootId.trim();
}

/** `-` stands before the name of a shell that shall behave as one at a login. */
function initName(commandLine: string | null): string | null {
  const [first = '', second = ''] = (commandLine ?? '').split('\0').map((word) => basename(word).replace(/^-/, ''));
  return (['busybox', 'toybox'].includes(first) ? second : first) || null;
}

/** Every word behind `init=`, whoever reads it: an alias that nobody asks for does no harm. */
function initAliases(commandLine: string, at: (path: string) => string): readonly string[] {
  const named = [...commandLine.matchAll(/init=["']?([^\s"']+)/g)].flatMap(([, path]) => path ?? []);
  return named.filter((path) => isSameFile(at(path), at('proc/1/exe')) === true || leadsTo(at(path), at('proc/1/exe')));
}

/** By name, for a program that was replaced on the disk while it runs. */
function leadsTo(path: string, link: string): boolean {
  try {
    return realpathSync(path) === readlinkSync(link).replace(/ \(deleted\)$/, '');
  } catch {
    return false;
  }
}

/** The very tree of the first process, and its accounts: something else may be mounted there for this process alone. */
function bothSame(at: (path: string) => string): boolean | null {
  const answers = ['.', 'etc/.'].map((path) => isSameFile(at(path), at(`proc/1/root/${path}`)));
  return answers.includes(null) ? null : !answers.includes(false);
}

function isSameFile(one: string, other: string): boolean | null {
  try {
    const [a, b] = [statSync(one), statSync(other)];
    return a.dev === b.dev && a.ino === b.ino;
  } catch {
    return null;
  }
}

/** A link counts, wherever it leads, and so does what cannot be looked at. */
function exists(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    return !['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '');
  }
}

function readText(path: string): string | null {
  try {
    // Byte for byte: variables of the firmware are no text.
    return readFileSync(path, 'latin1');
  } catch {
    return null;
  }
}

function readLink(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

function listFolder(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
