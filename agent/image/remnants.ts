// What of a machine the system itself leaves in an image: ids, keys, seeds, logs and histories. Looks only: it tells what is
// there and how to be rid of it. It knows the usual places of the usual distributions, and cannot know those of others.

import { ANY_TOKEN } from '../link/join-token.ts';
import type { ImageFiles } from '../ports/image-files.ts';

/** `what` is a name that a build may go by; it stays as it is. */
export type Remnant = Readonly<{ what: string; paths: readonly string[]; how: string }>;

type Rule = Readonly<{ what: string; how: string; find(image: Image): readonly string[] }>;
type Image = Readonly<{ files: ImageFiles; homes: readonly string[] }>;

const SMALL_BYTES_MAX = 1_048_576;
/** Of machine-id(5): what a first boot fills in. */
const NO_ID = ['', 'uninitialized'];

const HISTORIES = [
  '.bash_history',
  '.sh_history',
  '.ash_history',
  '.zsh_history',
  '.history',
  '.local/share/fish/fish_history',
  '.python_history',
  '.node_repl_history',
  '.mysql_history',
  '.mariadb_history',
  '.psql_history',
  '.sqlite_history',
  '.lesshst',
  '.viminfo',
  '.wget-hsts',
];

const SEEDS = [
  '/var/lib/systemd/random-seed',
  '/var/lib/urandom/random-seed',
  '/var/lib/random-seed',
  '/var/lib/seedrng',
  '/boot/loader/random-seed',
  '/boot/efi/loader/random-seed',
  '/efi/loader/random-seed',
];

const LEASES = ['/var/lib/dhcp', '/var/lib/dhcpcd', '/var/lib/dhclient', '/var/lib/NetworkManager'];

/** Where a boot loader keeps the kernel's command line. */
const BOOT_LINES = [
  '/etc/default/grub',
  '/etc/default/grub.d',
  '/etc/kernel/cmdline',
  '/boot/grub/grub.cfg',
  '/boot/grub2/grub.cfg',
  '/boot/loader/entries',
  '/boot/extlinux/extlinux.conf',
];
const CREDENTIALS = [
  '/etc/credstore',
  '/etc/credstore.encrypted',
  '/usr/lib/credstore',
  '/usr/lib/credstore.encrypted',
];

const rules: readonly Rule[] = [
  {
    what: 'machine_id',
    how: 'truncate -s0 /etc/machine-id; ln -sf /etc/machine-id /var/lib/dbus/machine-id',
    find: ({ files }) =>
      ['/etc/machine-id', '/var/lib/dbus/machine-id'].filter(
        (path) => files.look(path)?.kind === 'file' && !NO_ID.includes(textOf(files, path).trim()),
      ),
  },
  {
    what: 'ssh_host_key',
    how: 'rm /etc/ssh/ssh_host_*, and see that something makes them at the first boot (cloud-init, ssh-keygen -A)',
    find: ({ files }) => contents(files, '/etc/ssh').filter((path) => /\/ssh_host_[^/]*$/.test(path)),
  },
  { what: 'random_seed', how: 'rm FILE', find: ({ files }) => SEEDS.flatMap((path) => contents(files, path)) },
  {
    what: 'credential_secret',
    how: 'rm /var/lib/systemd/credential.secret',
    find: ({ files }) => contents(files, '/var/lib/systemd/credential.secret'),
  },
  {
    what: 'system_journal',
    how: 'rm -rf /var/log/journal/*',
    find: ({ files }) => contents(files, '/var/log/journal'),
  },
  {
    what: 'log',
    how: 'truncate -s0 FILE, or rm FILE',
    find: ({ files }) => contents(files, '/var/log').filter((path) => !path.startsWith('/var/log/journal/')),
  },
  {
    what: 'shell_history',
    how: 'rm FILE, and leave the last shell with HISTFILE unset',
    find: ({ files, homes }) =>
      homes.flatMap((home) => HISTORIES.flatMap((name) => contents(files, `${home}/${name}`))),
  },
  {
    what: 'cloud_init',
    how: 'cloud-init clean --logs --seed',
    find: ({ files }) => contents(files, '/var/lib/cloud'),
  },
  {
    what: 'dhcp_lease',
    how: 'rm FILE',
    find: ({ files }) => LEASES.flatMap((path) => contents(files, path)).filter((path) => /lease/.test(path)),
  },
  {
    what: 'network_key',
    how: 'rm FILE; NetworkManager makes another',
    find: ({ files }) => contents(files, '/var/lib/NetworkManager/secret_key'),
  },
  {
    what: 'join_token_elsewhere',
    how: 'take it out of there and revoke it: latchkey token revoke',
    find: ({ files }) => [
      ...CREDENTIALS.flatMap((folder) => contents(files, `${folder}/latchkey.join-token`)),
      ...BOOT_LINES.flatMap((path) => contents(files, path)).filter((path) => ANY_TOKEN.test(textOf(files, path))),
    ],
  },
  {
    what: 'operator_session',
    how: 'rm -r FOLDER: an operator’s pins and keys have no place in an image',
    find: ({ files, homes }) => homes.flatMap((home) => contents(files, `${home}/.local/state/latchkey`)),
  },
  {
    what: 'control_plane_data',
    how: 'rm -r FOLDER: it holds the keys of a control plane',
    find: ({ files, homes }) =>
      ['/var/lib/latchkey', ...homes.map((home) => `${home}/.local/share/latchkey`)].flatMap((path) =>
        contents(files, path),
      ),
  },
];

export function findRemnants(files: ImageFiles): Remnant[] {
  const image = { files, homes: homesIn(files) };
  return rules.flatMap(({ what, how, find }) => {
    const paths = [...new Set(find(image))];
    return paths.length === 0 ? [] : [{ what, paths, how }];
  });
}

/** A file with something in it, or all such files below a folder. */
function contents(files: ImageFiles, path: string): string[] {
  const found = files.find(path);
  const all = found?.kind === 'folder' ? files.below(path) : found ? [found] : [];
  return all.filter(({ kind, bytes }) => kind === 'file' && bytes > 0).map((file) => file.path);
}

function textOf(files: ImageFiles, path: string): string {
  return files.read(path, SMALL_BYTES_MAX)?.toString('latin1') ?? '';
}

/** Of every account, and of folders that are left of accounts. Ends in no slash. */
function homesIn(files: ImageFiles): readonly string[] {
  const accounts = textOf(files, '/etc/passwd').split('\n');
  const named = accounts.flatMap((line) => line.split(':')[5] ?? []).filter((home) => home.startsWith('/'));
  const lying = files
    .list('/home')
    .filter(({ kind }) => kind === 'folder')
    .map(({ path }) => path);
  return [...new Set(['/root', ...named, ...lying].map((home) => home.replace(/\/+$/, '')))];
}
