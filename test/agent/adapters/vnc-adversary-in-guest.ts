// What users of a machine may try with a program that looks like a VNC server, or with a true one that they lead astray:
// nothing outside what they may write themselves is written, and no other process learns anything of a new password. Never
// runs outside a guest.

import { deepEqual, equal, ok } from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { defaultWriter } from '../../../agent/adapters/owner-file.ts';
import { procAt } from '../../../agent/adapters/proc.ts';
import { servicesSystemd } from '../../../agent/adapters/services-systemd.ts';
import { type VncServersOptions, vncServers } from '../../../agent/adapters/vnc-servers.ts';
import { obfuscate } from '../../../agent/adapters/vncauth.ts';
import type { Vnc } from '../../../agent/ports/vnc.ts';
import type { Secret } from '../../../protocol/secret.ts';
import { drawSecret, type Rule, refuses } from '../contracts/contract.ts';
import { only, verdict } from '../contracts/vnc-subject.ts';

const ADA = 1000;
const AS_ADA = ['setpriv', '--reuid', '1000', '--regid', '1000', '--clear-groups', '--reset-env'];
const HOME = '/home/ada/adversary';
const FILE = `${HOME}/keys/passwd`;
const DECOY = '/srv/decoy/passwd';
const TIGER = ['Xtigervnc', ':6', '-localhost=1', '-SecurityTypes', 'VncAuth'];
const proc = procAt();
const children: ChildProcess[] = [];

const vncWith = (options: Partial<VncServersOptions> = {}): Vnc =>
  vncServers({ macKey: randomBytes(32), services: servicesSystemd(), ...options });

async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 15_000;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`never so: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function begin(argv: readonly string[], port?: number): Promise<ChildProcess> {
  const [program = '', ...rest] = argv;
  const child = spawn(program, rest, { cwd: HOME, stdio: ['ignore', 'ignore', 'pipe'] });
  children.push(child);
  let words = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    words = (words + chunk.toString()).slice(-500);
  });
  const listens = (): boolean => {
    if (child.exitCode !== null || child.signalCode !== null)
      throw new Error(`${argv.join(' ')} ended early: ${words}`);
    return everyone().some((pid) => proc.listeners(pid).some((listener) => listener.port === port));
  };
  if (port !== undefined) await until(listens);
  return child;
}

const everyone = (): number[] => proc.running(['Xtigervnc', 'x11vnc', 'Xtightvnc']).map(({ pid }) => pid);

async function endAll(): Promise<void> {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }
  // Those that a namespace's first process was left behind by.
  for (const pid of everyone()) process.kill(pid, 'SIGKILL');
  await until(() => everyone().length === 0);
  // A program that the server had just started may hold its sockets a little longer.
  await until(() => !/\.X11-unix\/X6/.test(readFileSync('/proc/net/unix', 'latin1')));
  for (const path of ['/tmp/.X6-lock', '/tmp/.X11-unix/X6']) rmSync(path, { force: true });
}

/** A folder of ada's with her password file in it, and a file of root's with the same name and content elsewhere. */
function layOut(password: Secret, owner = ADA): void {
  for (const path of [HOME, '/srv/decoy']) rmSync(path, { recursive: true, force: true });
  for (const path of [HOME, `${HOME}/keys`, '/srv/decoy']) mkdirSync(path, { mode: 0o755 });
  for (const path of [FILE, DECOY]) writeFileSync(path, obfuscate(password.revealBytes()), { mode: 0o600 });
  for (const path of [`${HOME}/keys`, FILE]) chownSync(path, owner, owner);
  chownSync(HOME, ADA, ADA);
}

/** Nobody's password file changed: neither root's own nor that of the server. */
function nothingWritten(password: Secret): void {
  equal(readFileSync(DECOY, 'hex'), Buffer.from(obfuscate(password.revealBytes())).toString('hex'));
}

const rule = (title: string, run: (password: Secret) => Promise<void>): Rule<null> => ({
  title,
  async run() {
    const password = drawSecret();
    layOut(password);
    try {
      await run(password);
      nothingWritten(password);
    } finally {
      await endAll();
    }
  },
});

/** Setting a password on ada's running server, whose file is by now something else, is refused, and soon. */
const refusedFile = (what: string, put: () => void, reason: string): Rule<null> =>
  rule(`${what} in place of the password file is refused, and nothing waits for it`, async () => {
    await begin([...AS_ADA, ...TIGER, '-rfbauth', FILE], 5906);
    rmSync(FILE);
    put();
    const vnc = vncWith();
    const server = await only(vnc);
    await refuses(vnc.setPassword(server, drawSecret()), 'VNC_FAILED', reason);
    equal(await verdict(vnc.probeStored(server)), 'unknown');
  });

const pretenders: readonly Rule<null>[] = [
  rule('a file of a user’s own with a server’s name is no server', async () => {
    execFileSync('cp', ['/usr/bin/sleep', `${HOME}/Xtigervnc`]);
    chownSync(`${HOME}/Xtigervnc`, ADA, ADA);
    const child = await begin([...AS_ADA, `${HOME}/Xtigervnc`, '600']);
    await until(() => everyone().includes(child.pid ?? 0));
    deepEqual(await vncWith().list(), []);
  }),
  rule('a program of the machine under a server’s name in a user’s folder is no server', async () => {
    // Root's own file, by a hard link as an old kernel lets users make them.
    execFileSync('cp', ['/usr/bin/sleep', `${HOME}/x11vnc`]);
    const child = await begin([...AS_ADA, `${HOME}/x11vnc`, '600']);
    await until(() => everyone().includes(child.pid ?? 0));
    deepEqual(await vncWith().list(), []);
  }),
  rule('a program that a user mounted over a server’s is no server', async () => {
    const script = 'mount --bind /usr/bin/sleep /usr/bin/Xtightvnc && exec /usr/bin/Xtightvnc 600';
    const child = await begin([...AS_ADA, 'unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', script]);
    await until(() => attemptExe(child.pid) === '/usr/bin/Xtightvnc');
    deepEqual(await vncWith().list(), []);
  }),
  rule('another process at the port of a server learns nothing of a password', async (password) => {
    const server = ['Xtigervnc', ':6', '-interface', '127.0.0.2', '-SecurityTypes', 'VncAuth', '-rfbauth', FILE];
    await begin([...AS_ADA, ...server], 5906);
    const heard: Buffer[] = [];
    const fake = createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', (bytes: Buffer) => heard.push(bytes));
      socket.write('RFB 003.008\n');
      setTimeout(() => socket.write(Uint8Array.of(1, 2)), 20);
      setTimeout(() => socket.write(randomBytes(16)), 40);
    }).listen(5906, '127.0.0.1');
    await once(fake, 'listening');
    const vnc = vncWith();
    const found = await only(vnc);
    // Asked where it listens, and not where anybody may.
    equal(await verdict(vnc.probe(found, password)), 'accepted');
    const fooled = vncWith({ proc: { ...proc, listeners: () => [{ port: 5906, address: '127.0.0.1' }] } });
    deepEqual(await fooled.probe(found, password), { verdict: 'unknown', reason: 'other_process' });
    fake.close();
    equal(Buffer.concat(heard).toString('latin1'), 'RFB 003.008\n\x02');
  }),
  rule('a server in a network of a user’s own does not take the name of another', async () => {
    await begin([...AS_ADA, ...TIGER, '-rfbauth', FILE], 5906);
    const apart = ['unshare', '--net', ...AS_ADA, 'Xtigervnc', ':7', '-rfbport', '5906', '-rfbauth', FILE];
    const child = await begin(apart);
    await until(() => proc.listeners(child.pid ?? 0).length > 0);
    deepEqual((await vncWith().list()).map(({ id }) => id).sort(), ['tigervnc:0', 'tigervnc:5906']);
  }),
];

function attemptExe(pid: number | undefined): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return undefined;
  }
}

const files: readonly Rule<null>[] = [
  refusedFile('a pipe', () => execFileSync('mkfifo', [FILE]), 'not_a_password_file'),
  refusedFile('a device', () => symlinkSync('/dev/zero', FILE), 'symlink'),
  refusedFile('a folder', () => mkdirSync(FILE), 'not_a_password_file'),
  refusedFile(
    'a huge file',
    () => {
      writeFileSync(FILE, '');
      chownSync(FILE, ADA, ADA);
      truncateSync(FILE, 2 ** 40);
    },
    'not_a_password_file',
  ),
  rule('a file of the kernel, which says that it is empty and is not, is refused', async () => {
    const large = `LARGE=${'x'.repeat(20_000)}`;
    const child = await begin([...AS_ADA, 'env', large, ...TIGER, '-rfbauth', 'environ'], 5906);
    // As seen from a server that stands in its own folder of /proc.
    const running: typeof proc.running = (programs) =>
      proc.running(programs).map((process) => ({ ...process, cwd: `/proc/${child.pid}` }));
    const vnc = vncWith({ proc: { ...proc, running } });
    await refuses(vnc.setPassword(await only(vnc), drawSecret()), 'VNC_FAILED', 'not_a_password_file');
  }),
  rule('a pipe where a copy of the password is looked for holds nobody up', async () => {
    const copy = `${HOME}/tigervnc.abcdef`;
    mkdirSync(copy);
    chownSync(copy, ADA, ADA);
    execFileSync('mkfifo', [`${copy}/passwd`]);
    await begin([...AS_ADA, ...TIGER, '-rfbauth', `${copy}/passwd`], 5906);
    await only(vncWith());
  }),
];

const ways: readonly Rule<null>[] = [
  rule('a folder that is exchanged before the writing is not followed', async (password) => {
    await begin([...AS_ADA, ...TIGER, '-rfbauth', FILE], 5906);
    const script = `mv ${HOME}/keys ${HOME}/moved && ln -s /srv/decoy ${HOME}/keys && exec "$@"`;
    const vnc = vncWith({ writer: ['/bin/sh', '-c', script, 'sh', ...defaultWriter] });
    const fresh = drawSecret();
    await vnc.setPassword(await only(vnc), fresh).catch(() => {});
    ok(existsSync(`${HOME}/moved/passwd`));
    nothingWritten(password);
  }),
  rule('root’s own server is not led through a folder of a user’s', async (password) => {
    // ada's folder holds one of root's, which she can move away and put a link in the place of.
    mkdirSync(`${HOME}/way`);
    chownSync(`${HOME}/way`, ADA, ADA);
    mkdirSync(`${HOME}/way/decoy`);
    writeFileSync(`${HOME}/way/decoy/passwd`, obfuscate(password.revealBytes()), { mode: 0o600 });
    await begin([...TIGER, '-rfbauth', `${HOME}/way/decoy/passwd`], 5906);
    const vnc = vncWith();
    const server = await only(vnc);
    await refuses(vnc.setPassword(server, drawSecret()), 'VNC_FAILED', 'wrong_owner');
    renameSync(`${HOME}/way`, `${HOME}/away`);
    symlinkSync('/srv', `${HOME}/way`);
    await refuses(vnc.setPassword(server, drawSecret()), 'VNC_FAILED');
  }),
  rule('root’s own server has its password changed where only root leads', async (password) => {
    mkdirSync('/srv/own', { recursive: true, mode: 0o755 });
    writeFileSync('/srv/own/passwd', obfuscate(password.revealBytes()), { mode: 0o600 });
    await begin([...TIGER, '-rfbauth', '/srv/own/passwd'], 5906);
    const vnc = vncWith();
    const server = await only(vnc);
    const fresh = drawSecret();
    await vnc.setPassword(server, fresh);
    equal(await verdict(vnc.probe(server, fresh)), 'accepted');
    chmodSync('/srv', 0o777);
    await refuses(vnc.setPassword(server, drawSecret()), 'VNC_FAILED', 'writable_by_others');
    chmodSync('/srv', 0o755);
  }),
  rule('a server with a /tmp of its own has no file that others can see in theirs', async (password) => {
    mkdirSync('/tmp/keys', { mode: 0o700 });
    writeFileSync('/tmp/keys/passwd', obfuscate(password.revealBytes()), { mode: 0o600 });
    for (const path of ['/tmp/keys', '/tmp/keys/passwd']) chownSync(path, ADA, ADA);
    const before = readFileSync('/tmp/keys/passwd', 'hex');
    const prepare = `mount -t tmpfs none /tmp && mkdir -m 700 /tmp/keys && cp ${FILE} /tmp/keys/passwd && chown -R 1000:1000 /tmp/keys`;
    const script = `${prepare} && exec "$@"`;
    const server = [...AS_ADA, ...TIGER, '-rfbauth', '/tmp/keys/passwd'];
    await begin(['unshare', '--mount', 'sh', '-c', script, 'sh', ...server], 5906);
    const vnc = vncWith();
    await refuses(vnc.setPassword(await only(vnc), drawSecret()), 'VNC_FAILED', 'source_unknown');
    equal(readFileSync('/tmp/keys/passwd', 'hex'), before);
    rmSync('/tmp/keys', { recursive: true });
  }),
  rule('a server in a container has no file that can be found again', async (password) => {
    const script = `mount -t tmpfs none /mnt && cd /mnt && mkdir mnt
for each in usr etc home proc tmp var dev; do mkdir $each && mount --rbind /$each $each; done
for each in bin sbin lib lib64; do cp -a /$each . ; done
pivot_root . mnt && exec "$@"`;
    await begin(['unshare', '--mount', 'sh', '-c', script, 'sh', ...AS_ADA, ...TIGER, '-rfbauth', FILE], 5906);
    const vnc = vncWith();
    const server = await only(vnc);
    equal(server.source, null);
    await refuses(vnc.setPassword(server, drawSecret()), 'VNC_FAILED', 'source_unknown');
    equal(await verdict(vnc.probe(server, password)), 'accepted');
  }),
];

export const adversaryRules: readonly Rule<null>[] = [...pretenders, ...files, ...ways];
