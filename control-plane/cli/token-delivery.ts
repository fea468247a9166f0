// How a join token gets into its machine: as a file, as a systemd credential in SMBIOS, or on a NoCloud config drive. Written with
// mode 0600, because until it was used the token is a secret, also on the host that makes the machine. A kernel's command line is
// no way: everybody in the machine can read it there, and agents do not.

import { join } from 'node:path';
import { writePrivate } from './client/private-files.ts';

export const deliveries = ['file', 'smbios', 'nocloud'] as const;
export type Delivery = (typeof deliveries)[number];

type Created = Readonly<{ id: string; token: string }>;
/** One text, or the files of a folder, the one that matters most first. */
export type Material = readonly Readonly<{ name?: string; text: string }>[];

export function materialOf(delivery: Delivery, { id, token }: Created): Material {
  switch (delivery) {
    case 'file':
      return [{ text: `${token}\n` }];
    case 'smbios':
      // An OEM string (DSP0134, type 11) as systemd reads it. No newline: QEMU would take it into the string.
      return [{ text: `io.systemd.credential:latchkey.join-token=${token}` }];
    case 'nocloud':
      return [
        { name: 'user-data', text: userData(token) },
        // cloud-init goes by it to know that this is a new instance.
        { name: 'meta-data', text: `instance-id: ${id}\n` },
        // For images without cloud-init: latchkey-seed.service takes this file from the drive.
        { name: 'latchkey-join-token', text: `${token}\n` },
      ];
  }
}

/** As JSON, which is YAML as well. */
function userData(token: string): string {
  const file = {
    path: '/etc/latchkey-agent/join-token',
    owner: 'root:root',
    permissions: '0600',
    content: `${token}\n`,
  };
  return `#cloud-config\n${JSON.stringify({ write_files: [file] }, null, 2)}\n`;
}

/** Writes it to that file or into that folder, and gives the files' paths. */
export async function writeMaterial(material: Material, output: string): Promise<string[]> {
  const files = material.map(({ name, text }) => ({ path: name === undefined ? output : join(output, name), text }));
  for (const { path, text } of files) await writePrivate(path, text);
  return files.map(({ path }) => path);
}

/** What to do with it. */
export function instructions(delivery: Delivery, output: string | undefined): string[] {
  const place = output ?? 'FILE';
  switch (delivery) {
    case 'file':
      return ['Put it into /etc/latchkey-agent/join-token of the machine, owner root, mode 0600.'];
    case 'smbios':
      return [
        `QEMU: -smbios type=11,path=${shellWord(place.replaceAll(',', ',,'))}`,
        'Not value=…, which every user of the host sees in its list of processes. The machine needs systemd 252 or later.',
      ];
    case 'nocloud':
      return [
        `ISO 9660: xorriso -as mkisofs -quiet -V cidata -J -r -o seed.iso ${shellWord(output ?? 'FOLDER')}`,
        'Attach it as a disk or CD for the first boot. cloud-init takes user-data; without it, the agent takes latchkey-join-token.',
      ];
  }
}

function shellWord(text: string): string {
  return /^[A-Za-z0-9_./,:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
