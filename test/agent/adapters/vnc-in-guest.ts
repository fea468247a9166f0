// VNC servers of a lab guest, started as a rule wants them and troubled as it asks. Never runs outside a guest.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
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
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { procAt } from '../../../agent/adapters/proc.ts';
import { obfuscate } from '../../../agent/adapters/vncauth.ts';
import type { Secret } from '../../../protocol/secret.ts';
import { drawSecret } from '../contracts/contract.ts';
import type { VncSetting, VncSubject, VncTrouble } from '../contracts/vnc-subject.ts';
import { HOME_OF_WAYLAND, PASSWORD_FILE, type VncStand, wayvncConfiguration } from './vnc-stands.ts';

const ADA = 1000;
const FOLDER = dirname(PASSWORD_FILE);
const AS_ADA = ['--reuid', '1000', '--regid', '1000', '--clear-groups', '--reset-env'];

/** Keeps one server, and the display that it may need. */
export function vncInGuest({ vnc, program, traits, display, stopSignal, argv }: VncStand): VncSubject {
  const proc = procAt();
  let shown: ChildProcess | undefined;
  let child: ChildProcess | undefined;
  let command: readonly string[] = [];

  const startAsAda = (words: readonly string[]): ChildProcess =>
    spawn('setpriv', [...AS_ADA, ...words], { cwd: '/home/ada', stdio: 'ignore' });

  async function stop(): Promise<void> {
    if (child?.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      child.kill(stopSignal);
      await ended;
    }
    child = undefined;
    await until(() => proc.running([program]).length === 0);
    rmSync('/tmp/.X1-lock', { force: true });
    rmSync('/tmp/.X11-unix/X1', { force: true });
  }

  async function start(): Promise<void> {
    if (display && !shown) {
      if (program === 'wayvnc') prepareWayland();
      shown = startAsAda(display.argv);
      await until(() => existsSync(display.up));
    }
    const started = startAsAda(command);
    child = started;
    const listens = () =>
      proc.running([program]).some(({ pid }) => proc.listeners(pid).some(({ port }) => port === traits.port));
    await until(() => {
      if (started.exitCode !== null || started.signalCode !== null) throw new Error(`${program} ended early`);
      return listens();
    });
  }

  return {
    async given(setting, trouble) {
      await stop();
      const [password, other] = [drawSecret(), drawSecret()];
      const content =
        program === 'wayvnc' ? wayvncConfiguration(setting, password) : contentFor(setting, password, other);
      writePassword(content);
      command = argv(setting, password);
      if (setting !== 'none') await start();
      if (trouble) troubles[trouble]();
      return { vnc, password, other };
    },
    stop,
    async restart() {
      await stop();
      await start();
    },
    contentOf: async (path) => readFileSync(path, 'latin1'),
    async factsOf({ path }) {
      const { uid, mode, size } = statSync(path);
      return { uid, mode: mode & 0o7777, bytes: size };
    },
  };
}

function contentFor(setting: VncSetting, password: Secret, other: Secret): string | Uint8Array {
  const isPlain = setting === 'plain' || setting === 'at_start' || setting === 'unclear';
  return isPlain ? inClear(password, other) : inBlocks(password);
}

/** Where a compositor and wayvnc have what they need: a folder of their own, and a certificate. */
function prepareWayland(): void {
  mkdirSync(HOME_OF_WAYLAND, { mode: 0o700 });
  const files = ['-keyout', `${HOME_OF_WAYLAND}/key.pem`, '-out', `${HOME_OF_WAYLAND}/cert.pem`];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=ada', ...files], {
    stdio: 'ignore',
  });
  for (const path of [HOME_OF_WAYLAND, ...files.filter((each) => each.startsWith('/'))]) chownSync(path, ADA, ADA);
}

function writePassword(content: string | Uint8Array): void {
  for (const path of [FOLDER, `${FOLDER}.away`]) rmSync(path, { recursive: true, force: true });
  mkdirSync(FOLDER, { mode: 0o700 });
  writeFileSync(PASSWORD_FILE, content, { mode: 0o600 });
  for (const path of [FOLDER, PASSWORD_FILE]) chownSync(path, ADA, ADA);
  // x11vnc takes a file for unchanged whose time differs by less than a second.
  const anHourAgoS = Date.now() / 1000 - 3_600;
  utimesSync(PASSWORD_FILE, anHourAgoS, anHourAgoS);
}

function inClear(password: Secret, other: Secret): string {
  return `# remark\n${password.reveal()}__COMM__ mine\n\n${other.reveal()}\n__BEGIN_VIEWONLY__\n`;
}

/** Sixteen bytes: with a view-only password, which a change must not keep. */
function inBlocks(password: Secret): Uint8Array {
  return Buffer.concat([password, drawSecret()].map((each) => obfuscate(each.revealBytes())));
}

/** Each after the server has started, as a user could do it. */
const troubles: Readonly<Record<VncTrouble, () => void>> = {
  folder_is_link() {
    const content = readFileSync(PASSWORD_FILE);
    // Renamed, not removed: the wrapper may still be writing its log into it.
    renameSync(FOLDER, `${FOLDER}.away`);
    mkdirSync('/srv/other', { recursive: true, mode: 0o755 });
    writeFileSync('/srv/other/passwd', content, { mode: 0o600 });
    // The server itself may still read it; who may change the folder is what counts.
    chownSync('/srv/other/passwd', ADA, ADA);
    symlinkSync('/srv/other', FOLDER);
  },
  folder_writable: () => chmodSync(FOLDER, 0o770),
  file_is_link() {
    writeFileSync('/srv/passwd', readFileSync(PASSWORD_FILE));
    rmSync(PASSWORD_FILE);
    symlinkSync('/srv/passwd', PASSWORD_FILE);
  },
  file_of_other() {
    chownSync(PASSWORD_FILE, 0, 0);
    chmodSync(PASSWORD_FILE, 0o644);
  },
  source_gone: () => rmSync(PASSWORD_FILE),
  live_unwritable() {
    for (const name of readdirSync('/tmp')) if (name.startsWith('tigervnc.')) chmodSync(`/tmp/${name}`, 0o500);
  },
};

/** So that one rule fails, and not all that come after it. */
const PATIENCE_MS = 15_000;

async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + PATIENCE_MS;
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`never so: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
