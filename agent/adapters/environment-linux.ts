// Gathers the facts by which a machine that was led into another root is told from one that booted normally. Never
// judges them, and turns "could not be read" into `null`, never into a reassuring answer.

import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Environment, EnvironmentFacts } from '../ports/environment.ts';
import { errnoOf } from './errno.ts';
import { parseMountinfo, topMount } from './mountinfo.ts';

/** What systemd-logind writes for the next boot alone. */
const REBOOT_ARGUMENTS = [
  'run/systemd/reboot-param',
  'run/systemd/reboot-to-firmware-setup',
  'run/systemd/reboot-to-boot-loader-menu',
  'run/systemd/reboot-to-boot-loader-entry',
];
/** EFI variables that a boot loader or the firmware obeys once. */
const ONE_SHOT_VARIABLES = [
  'LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f',
  'LoaderConfigTimeoutOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f',
  'BootNext-8be4df61-93ca-11d2-aa0d-00e098032b8c',
];
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
      return {
        // The one fact without which nothing can be said of a reboot: no answer is a defect of the machine.
        bootId: readFileSync(at('proc/sys/kernel/random/boot_id'), 'utf8').trim(),
        kernelCommandLine: readText(at('proc/cmdline'))?.trimEnd() ?? null,
        initPath: readLink(at('proc/1/exe')),
        rootIsInits: isSameFile(at('.'), at('proc/1/root/.')),
        rootFilesystem: mounts === null ? null : (topMount(parseMountinfo(mounts), '/')?.type ?? null),
        initrd: existsSync(at('etc/initrd-release')),
        nextRoot: existsSync(at('run/nextroot')),
        bootOverride: hasBootOverride(at),
        marker: compareMarker(at(MARKER_PATH), options.marker),
      };
    },
  };
}

function hasBootOverride(at: (path: string) => string): boolean {
  if (REBOOT_ARGUMENTS.some((path) => existsSync(at(path)))) return true;
  if (readText(at('sys/kernel/kexec_loaded'))?.trim() === '1') return true;
  const variables = listFolder(at('sys/firmware/efi/efivars'));
  if (ONE_SHOT_VARIABLES.some((name) => variables.includes(name))) return true;
  return GRUB_ENVIRONMENTS.some((path) => /^next_entry=./m.test(readText(at(path)) ?? ''));
}

function compareMarker(path: string, remembered: string): EnvironmentFacts['marker'] {
  try {
    return readFileSync(path, 'utf8').trim() === remembered.trim() ? 'same' : 'other';
  } catch (error) {
    // One that is there and cannot be read is not the one that enrolment wrote.
    return errnoOf(error) === 'ENOENT' ? 'missing' : 'other';
  }
}

function isSameFile(one: string, other: string): boolean | null {
  try {
    const [a, b] = [statSync(one), statSync(other)];
    return a.dev === b.dev && a.ino === b.ino;
  } catch {
    return null;
  }
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
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
