// A Linux machine as the agent finds it: machine-id(5), the UUID that its platform gave it (SMBIOS), the kernel's boot id,
// and proc(5). Looks only.

import { readFile } from 'node:fs/promises';
import { Failure } from '../../protocol/failure.ts';
import type { Host, Machine, Owner } from '../ports/host.ts';
import { procAt } from './proc.ts';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';
const MACHINE_ID = '/etc/machine-id';
/** Readable by root alone. */
const SYSTEM_UUID = '/sys/class/dmi/id/product_uuid';
const LINK_USER = 'latchkey-agent';

export function hostLinux(): Host {
  return {
    bootId: async () => (await readFile(BOOT_ID, 'utf8')).trim(),
    machine: readMachine,
    processStart: async (pid) => procAt().startTime(pid) ?? null,
    demandPrivate: async () => {},
    linkOwner,
    environment: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin' },
  };
}

async function readMachine(): Promise<Machine> {
  const [id = '', uuid = ''] = await Promise.all(
    [MACHINE_ID, SYSTEM_UUID].map(async (path) => (await readFile(path, 'utf8').catch(() => '')).trim()),
  );
  return { id, uuid };
}

/** From the machine's own database; without it there is nobody to give the link's key to. */
async function linkOwner(): Promise<Owner> {
  const line = (await readFile('/etc/passwd', 'utf8')).split('\n').find((entry) => entry.startsWith(`${LINK_USER}:`));
  const [, , uid, gid] = line?.split(':').map(Number) ?? [];
  if (uid === undefined || gid === undefined || !Number.isInteger(uid) || !Number.isInteger(gid)) {
    throw new Failure('CONFIG_INVALID', { field: 'user', reason: LINK_USER });
  }
  return { uid, gid };
}
