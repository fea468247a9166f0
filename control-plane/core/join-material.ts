// What brings a join token into its machine at the first boot: as a file, as a systemd credential in SMBIOS, or on a NoCloud
// config drive. Until it was used the token is a secret, so where it is written is nobody else's to read. A kernel's command line
// is no way: everybody in the machine can read it there, and agents do not.

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
