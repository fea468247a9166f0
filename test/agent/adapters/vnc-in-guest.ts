// VNC servers of a lab guest, started as a rule wants them. Debian's own wrapper starts those that read a copy. Never
// runs outside a guest.

import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { procAt } from '../../../agent/adapters/proc.ts';
import { vncTigervnc } from '../../../agent/adapters/vnc-tigervnc.ts';
import { obfuscate } from '../../../agent/adapters/vncauth.ts';
import type { Secret } from '../../../protocol/secret.ts';
import { drawSecret } from '../contracts/contract.ts';
import type { VncSetting, VncSubject, VncTrouble } from '../contracts/vnc.ts';

const ADA = 1000;
const FOLDER = '/home/ada/.vnc';
const FILE = `${FOLDER}/passwd`;
const PORT = 5901;
const AS_ADA = ['--reuid', '1000', '--regid', '1000', '--clear-groups', '--reset-env'];
const SECURITY: Readonly<Record<VncSetting, string>> = {
  wrapper: 'VncAuth',
  direct: 'VncAuth',
  account: 'Plain',
  inline: 'VncAuth',
  none: '',
};

export function vncInGuest(): VncSubject {
  const vnc = vncTigervnc({ macKey: randomBytes(32) });
  let child: ChildProcess | undefined;
  let command: readonly string[] = [];

  async function stop(): Promise<void> {
    if (child?.exitCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    }
    child = undefined;
    await until(() => procAt().running(['Xtigervnc']).length === 0);
    rmSync('/tmp/.X1-lock', { force: true });
    rmSync('/tmp/.X11-unix/X1', { force: true });
  }

  async function start(): Promise<void> {
    child = spawn('setpriv', [...AS_ADA, ...command], { cwd: '/home/ada', stdio: 'ignore' });
    await until(() =>
      procAt()
        .running(['Xtigervnc'])
        .some(({ pid }) => procAt().listeningPorts(pid).includes(PORT)),
    );
  }

  return {
    async given(setting, trouble) {
      await stop();
      const password = drawSecret();
      writePassword(obfuscate(password.revealBytes()));
      command = commandFor(setting, password);
      if (setting !== 'none') await start();
      if (trouble) troubles[trouble]();
      return { vnc, password };
    },
    stop,
    async restart() {
      await stop();
      await start();
    },
    async factsOf({ path }) {
      const { uid, mode, size } = statSync(path);
      return { uid, mode: mode & 0o7777, bytes: size };
    },
  };
}

function commandFor(setting: VncSetting, password: Secret): readonly string[] {
  const security = ['-SecurityTypes', SECURITY[setting]];
  const direct = ['Xtigervnc', ':1', '-localhost=1', `-rfbauth=${FILE}`, ...security];
  if (setting === 'inline') {
    return [...direct, `Password=${Buffer.from(obfuscate(password.revealBytes())).toString('hex')}`];
  }
  if (setting !== 'wrapper') return direct;
  return [
    'tigervncserver',
    ':1',
    '-fg',
    '-localhost',
    'yes',
    ...security,
    '-xstartup',
    '/usr/lib/latchkey-lab/session',
  ];
}

function writePassword(content: Uint8Array): void {
  for (const path of [FOLDER, `${FOLDER}.away`]) rmSync(path, { recursive: true, force: true });
  mkdirSync(FOLDER, { mode: 0o700 });
  // Sixteen bytes: with a view-only password, which a change must not keep.
  writeFileSync(FILE, Buffer.concat([content, obfuscate(drawSecret().revealBytes())]), { mode: 0o600 });
  for (const path of [FOLDER, FILE]) chownSync(path, ADA, ADA);
}

/** Each after the server has started, as a user could do it. */
const troubles: Readonly<Record<VncTrouble, () => void>> = {
  folder_is_link() {
    const content = readFileSync(FILE);
    // Renamed, not removed: the wrapper may still be writing its log into it.
    renameSync(FOLDER, `${FOLDER}.away`);
    mkdirSync('/srv/other', { recursive: true, mode: 0o755 });
    writeFileSync('/srv/other/passwd', content, { mode: 0o600 });
    symlinkSync('/srv/other', FOLDER);
  },
  folder_writable: () => chmodSync(FOLDER, 0o770),
  file_is_link() {
    writeFileSync('/srv/passwd', readFileSync(FILE));
    rmSync(FILE);
    symlinkSync('/srv/passwd', FILE);
  },
  file_of_other: () => chownSync(FILE, 0, 0),
  source_gone: () => rmSync(FILE),
  live_unwritable() {
    for (const name of readdirSync('/tmp')) if (name.startsWith('tigervnc.')) chmodSync(`/tmp/${name}`, 0o500);
  },
};

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** For a test that asks whether rules can run at all. */
export function hasTigervnc(): boolean {
  return existsSync('/usr/bin/Xtigervnc') && existsSync('/usr/bin/tigervncserver');
}
