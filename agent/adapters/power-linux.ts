// A normal reboot through the machine's own init, and words to those who are signed in. Never forces anything, never
// calls reboot(2), never passes an argument that could lead into another root, kernel or target, and obeys whoever asked
// the machine not to go down.

import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import * as z from 'zod/mini';
import { Failure } from '../../protocol/failure.ts';
import type { Power } from '../ports/power.ts';
import { errnoOf } from './errno.ts';

/** Programs that run as the first process and obey their own `/sbin/reboot`. */
const INITS = ['init', 'busybox', 'openrc-init', 'runit', 'runit-init', 's6-svscan', 'dinit', 'finit'];
const REQUEST_TIMEOUT_MS = 30_000;
const LOOK_TIMEOUT_MS = 5_000;
/** More inhibitors than a machine has. */
const OUTPUT_BYTES_MAX = 262_144;
const WARN_TIMEOUT_MS = 5_000;

export type PowerLinuxOptions = Readonly<{ root?: string; requestTimeoutMs?: number }>;

export function powerLinux(options: PowerLinuxOptions = {}): Power {
  const root = options.root ?? '/';
  return {
    async available() {
      rebootCommand(root);
    },
    async reboot() {
      const command = rebootCommand(root);
      if (await isInhibited(root)) throw denied('inhibited');
      const { outcome } = await run(command, '', options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS);
      if (outcome !== 'accepted') throw denied(outcome);
    },
    async warn(message) {
      const program = findProgram(root, ['/usr/bin/wall', '/bin/wall']);
      if (program !== undefined) await run([program], `${printable(message)}\n`, WARN_TIMEOUT_MS);
    },
  };
}

function rebootCommand(root: string): readonly string[] {
  // sd_booted(3): this folder is there exactly when systemd is the running init.
  if (existsSync(join(root, 'run/systemd/system'))) {
    const systemctl = findProgram(root, ['/usr/bin/systemctl', '/bin/systemctl']);
    if (systemctl === undefined) throw denied('systemctl_missing');
    return [systemctl, 'reboot'];
  }
  if (!INITS.includes(basename(readInit(root)))) throw denied('init_unknown');
  const reboot = findProgram(root, ['/sbin/reboot', '/usr/sbin/reboot']);
  if (reboot === undefined) throw denied('reboot_missing');
  return [reboot];
}

/** What logind's `ListInhibitors` says, as busctl(1) prints it: what, who, why, mode, uid, pid. */
const inhibitors = z.object({
  data: z.tuple([z.array(z.tuple([z.string(), z.string(), z.string(), z.string(), z.number(), z.number()]))]),
});

/**
 * Whether a program asked that the machine does not go down (systemd-inhibit(1)). logind does not refuse root because of
 * them, and `systemctl` looks only for a person at a terminal, so that is done here. Without logind nobody can have asked.
 */
async function isInhibited(root: string): Promise<boolean> {
  const busctl = findProgram(root, ['/usr/bin/busctl', '/bin/busctl']);
  if (busctl === undefined) return false;
  const address = ['org.freedesktop.login1', '/org/freedesktop/login1', 'org.freedesktop.login1.Manager'];
  const { outcome, output } = await run(
    [busctl, '--json=short', 'call', ...address, 'ListInhibitors'],
    '',
    LOOK_TIMEOUT_MS,
  );
  if (outcome !== 'accepted') return false;
  return parseInhibitors(output).some(([what, , , mode]) => mode === 'block' && what.split(':').includes('shutdown'));
}

function parseInhibitors(text: string) {
  try {
    return z.parse(inhibitors, JSON.parse(text)).data[0];
  } catch (error) {
    // Somebody may have asked, in words that are not understood.
    throw denied('inhibitors_unreadable', error);
  }
}

function readInit(root: string): string {
  try {
    return readlinkSync(join(root, 'proc/1/exe')).replace(/ \(deleted\)$/, '');
  } catch (error) {
    throw denied('init_unknown', error);
  }
}

function findProgram(root: string, paths: readonly string[]): string | undefined {
  return paths.map((path) => join(root, path)).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Runs to its end: `accepted`, or why not, and what it printed. */
function run(
  command: readonly string[],
  input: string,
  timeoutMs: number,
): Promise<Readonly<{ outcome: string; output: string }>> {
  const [program = '', ...args] = command;
  let output = '';
  return new Promise((done) => {
    const resolve = (outcome: string): void => done({ outcome, output });
    const child = spawn(program, args, {
      cwd: '/',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    child.stdout.on('data', (bytes: Buffer) => {
      output = (output + bytes.toString('latin1')).slice(0, OUTPUT_BYTES_MAX);
    });
    const timer = setTimeout(() => {
      resolve('timeout');
      child.kill('SIGKILL');
    }, timeoutMs);
    child.once('error', (error) => resolve(errnoOf(error) ?? 'not_started'));
    child.once('close', (status, signal) => {
      clearTimeout(timer);
      // The shutdown that was asked for ends everything, the program that asked for it included.
      if (status === 0 || signal === 'SIGTERM') resolve('accepted');
      else resolve(status === null ? 'killed' : `exit_${status}`);
    });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

/** Terminals obey control characters. */
function printable(message: string): string {
  return message.replace(/[^\x20-\x7e\n]/g, ' ');
}

function denied(reason: string, cause?: unknown): Failure {
  return new Failure('REBOOT_DENIED', { reason }, cause);
}
