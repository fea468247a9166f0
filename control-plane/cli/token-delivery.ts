// A join token's way into its machine, as far as this program goes: written to a file or a folder with mode 0600, and what to do
// with it then.

import { join } from 'node:path';
import type { Delivery, Material } from '../core/join-material.ts';
import { writePrivate } from './client/private-files.ts';

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
