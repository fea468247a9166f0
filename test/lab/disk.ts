// A guest's disk as it is before its first boot: a built /etc, homes, and the layer that the lab lays over the runner's
// /usr. Of the runner's /etc only the files listed here are copied; its account files, private keys and password
// histories must never be.
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type Account, buildGroups, groupText, gshadowText, passwdText, shadowText } from './accounts.ts';
import { type Service, servicesText } from './services.ts';

const COPIED = [
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'alternatives',
  'ssl/certs',
  'ssl/openssl.cnf',
  'fonts',
  'X11',
  'tigervnc',
  'vnc.conf',
  'perl',
  'localtime',
  'protocols',
  'services',
  'os-release',
  'debian_version',
  'terminfo',
];

const LOGIN_DEFS = `MAIL_DIR /var/mail
PASS_MAX_DAYS 99999
PASS_MIN_DAYS 0
PASS_WARN_AGE 7
UID_MIN 1000
UID_MAX 60000
LOGIN_RETRIES 5
LOGIN_TIMEOUT 60
TTYGROUP tty
TTYPERM 0600
ENCRYPT_METHOD YESCRYPT
UMASK 022
`;

const UNIX_AUTH = 'auth required pam_unix.so\naccount required pam_unix.so\n';
const UNIX_PASSWORD = 'password required pam_unix.so obscure yescrypt\n';
const UNIX_SESSION = 'session required pam_unix.so\n';
const ROOT_AUTH = `auth sufficient pam_rootok.so\n${UNIX_AUTH}`;

const PAM: Readonly<Record<string, string>> = {
  login: `${UNIX_AUTH}${UNIX_PASSWORD}${UNIX_SESSION}`,
  passwd: UNIX_PASSWORD,
  chpasswd: UNIX_PASSWORD,
  newusers: UNIX_PASSWORD,
  su: `${ROOT_AUTH}${UNIX_SESSION}`,
  'su-l': `${ROOT_AUTH}${UNIX_SESSION}`,
  runuser: `${ROOT_AUTH}${UNIX_SESSION}`,
  'runuser-l': `${ROOT_AUTH}${UNIX_SESSION}`,
  chfn: ROOT_AUTH,
  chsh: ROOT_AUTH,
  tigervnc: UNIX_AUTH,
  other: ['auth', 'account', 'password', 'session'].map((kind) => `${kind} required pam_deny.so\n`).join(''),
};

/** A path whose owner is not the guest's root. */
export type Owned = { path: string; uid: number; gid: number; mode: number };

export type DiskOptions = {
  folder: string;
  name: string;
  hostname: string;
  accounts: readonly Account[];
  services: readonly Service[];
  vncPasswordFile?: Buffer;
};

export function put(path: string, content: string | Uint8Array, mode = 0o644): void {
  makeFolder(dirname(path));
  writeFileSync(path, content);
  chmodSync(path, mode);
}

export function makeFolder(path: string, mode = 0o755): void {
  if (existsSync(path)) return;
  makeFolder(dirname(path));
  mkdirSync(path);
  chmodSync(path, mode);
}

/** Links stay links; what we may not read is left out, as is everything that is neither file, folder nor link. */
function copyTree(source: string, target: string): void {
  makeFolder(dirname(target));
  const facts = lstatSync(source, { throwIfNoEntry: false });
  if (facts?.isSymbolicLink()) symlinkSync(readlinkSync(source), target);
  else if (facts?.isDirectory()) {
    if ((facts.mode & 0o005) !== 0o005) return;
    makeFolder(target);
    for (const name of readdirSync(source)) copyTree(join(source, name), join(target, name));
  } else if (facts?.isFile() && (facts.mode & 0o004) !== 0) {
    copyFileSync(source, target);
    chmodSync(target, facts.mode & 0o755);
  }
}

function writeAccounts(etc: string, accounts: readonly Account[]): Owned[] {
  const groups = buildGroups(accounts);
  put(join(etc, 'passwd'), passwdText(accounts));
  put(join(etc, 'group'), groupText(groups));
  put(join(etc, 'shadow'), shadowText(accounts), 0o640);
  put(join(etc, 'gshadow'), gshadowText(groups), 0o640);
  put(join(etc, 'security/opasswd'), '', 0o600);
  const gid = groups.find(({ name }) => name === 'shadow')?.gid ?? 0;
  return ['/etc/shadow', '/etc/gshadow'].map((path) => ({ path, uid: 0, gid, mode: 0o640 }));
}

function writeEtc({ folder, name, hostname, accounts, services }: DiskOptions): Owned[] {
  const etc = join(folder, 'disk/etc');
  makeFolder(etc);
  for (const path of COPIED) copyTree(join('/etc', path), join(etc, path));
  put(join(etc, 'hostname'), `${hostname}\n`);
  put(join(etc, 'hosts'), `127.0.0.1 localhost\n127.0.1.1 ${hostname}.lab ${hostname}\n::1 ip6-localhost\n`);
  put(join(etc, 'nsswitch.conf'), 'passwd: files\ngroup: files\nshadow: files\ngshadow: files\nhosts: files\n');
  put(join(etc, 'machine-id'), `${randomBytes(16).toString('hex')}\n`, 0o444);
  put(join(etc, 'login.defs'), LOGIN_DEFS);
  put(join(etc, 'shells'), '/bin/sh\n/bin/bash\n');
  put(join(etc, 'issue'), `${name}\n`);
  for (const [service, text] of Object.entries(PAM)) put(join(etc, 'pam.d', service), text);
  put(join(etc, 'lab/services'), servicesText(services));
  symlinkSync('/proc/self/mounts', join(etc, 'mtab'));
  return writeAccounts(etc, accounts);
}

export function writeHomes({
  folder,
  accounts,
  vncPasswordFile,
}: Pick<DiskOptions, 'folder' | 'accounts' | 'vncPasswordFile'>): Owned[] {
  const disk = join(folder, 'disk');
  makeFolder(join(disk, 'home'));
  const owned: Owned[] = [];
  for (const { home, uid, gid } of accounts) {
    if (home !== '/root' && !home.startsWith('/home/')) continue;
    makeFolder(join(disk, home), 0o700);
    owned.push({ path: home, uid, gid, mode: 0o700 });
  }
  const owner = accounts.find(({ name }) => name === 'ada');
  if (vncPasswordFile && owner) {
    put(join(disk, owner.home, '.vnc/passwd'), vncPasswordFile, 0o600);
    owned.push({ path: `${owner.home}/.vnc`, uid: owner.uid, gid: owner.gid, mode: 0o700 });
    owned.push({ path: `${owner.home}/.vnc/passwd`, uid: owner.uid, gid: owner.gid, mode: 0o600 });
  }
  return owned;
}

function writeVar({ folder }: DiskOptions): Owned[] {
  const disk = join(folder, 'disk');
  for (const path of ['cache', 'lib', 'log/lab', 'mail', 'spool', 'tmp']) makeFolder(join(disk, 'var', path));
  for (const path of ['opt', 'srv', 'mnt', 'media', 'boot']) makeFolder(join(disk, path));
  for (const path of ['wtmp', 'btmp', 'lastlog']) put(join(disk, 'var/log', path), '', 0o640);
  symlinkSync('/run', join(disk, 'var/run'));
  symlinkSync('/run/lock', join(disk, 'var/lock'));
  return [{ path: '/var/tmp', uid: 0, gid: 0, mode: 0o1777 }];
}

/** What lies over the runner's /usr (and over /sbin, where that is a folder of its own): the lab's init and its names. */
function writeLayers(folder: string, native: string): void {
  const home = join(folder, 'layers/usr/lib/latchkey-lab');
  const sbin = join(folder, 'layers', realpathSync('/sbin'));
  const bin = join(folder, 'layers', realpathSync('/usr/bin'));
  makeFolder(home);
  makeFolder(join(folder, 'layers/usr/lib/latchkey-agent'));
  copyFileSync(native, join(home, 'init'));
  chmodSync(join(home, 'init'), 0o755);
  for (const name of ['lab-forward', 'lab-connect']) symlinkSync('init', join(home, name));
  put(join(home, 'session'), '#!/bin/sh\nexec sleep infinity\n', 0o755);
  makeFolder(sbin);
  for (const name of ['init', 'reboot', 'poweroff']) symlinkSync('/usr/lib/latchkey-lab/init', join(sbin, name));
  writeProgram(bin);
}

/** `latchkey-agent`, run from the sources by their own Node. */
export function writeProgram(bin: string): void {
  const node = `/usr/lib/latchkey-agent/node_modules/node-linux-${process.arch}/bin/node`;
  const agent = `#!/bin/sh\nexec ${node} /usr/lib/latchkey-agent/agent/main.ts "$@"\n`;
  put(join(bin, 'latchkey-agent'), agent, 0o755);
}

/** The tops of the tree that are links on the runner are the same links in the guest. */
function writeTops(disk: string): void {
  for (const name of ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32']) {
    if (lstatSync(`/${name}`, { throwIfNoEntry: false })?.isSymbolicLink()) {
      symlinkSync(readlinkSync(`/${name}`), join(disk, name));
    }
  }
}

/** Writes the disk below `folder` and tells what must be given to another owner than the guest's root. */
export function writeDisk(options: DiskOptions, native: string): Owned[] {
  const disk = join(options.folder, 'disk');
  for (const path of ['disk', 'work', 'empty', 'layers', 'usr', 'usr-work', 'sbin', 'sbin-work', 'boot', 'wire']) {
    makeFolder(join(options.folder, path));
  }
  writeTops(disk);
  writeLayers(options.folder, native);
  return [...writeEtc(options), ...writeHomes(options), ...writeVar(options)];
}
