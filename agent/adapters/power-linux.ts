// A normal reboot through the machine's own init, and words to those who are signed in. Never forces anything, never
// calls reboot(2), and never passes an argument that could lead into another root, kernel or target.

import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Failure } from '../../protocol/failure.ts';
import type { Power } from '../ports/power.ts';
import { errnoOf } from './errno.ts';

/** Programs that run as the first process and obey their own `/sbin/reboot`. */
const INITS = ['init', 'busybox', 'openrc-init', 'runit', 'runit-init', 's6-svscan', 'dinit', 'finit'];
const REQUEST_TIMEOUT_MS = 30_000;
const WARN_TIMEOUT_MS = 5_000;

export type PowerLinuxOptions = Readonly<{ root?: string; requestTimeoutMs?: number }>;

export function powerLinux(options: PowerLinuxOptions = {}): Power {
  const root = options.root ?? '/';
  return {
    async available() {
      rebootCommand(root);
    },
    async reboot() {
      const outcome = await run(rebootCommand(root), '', options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS);
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

/** Runs to its end: `accepted`, or why not. */
function run(command: readonly string[], input: string, timeoutMs: number): Promise<string> {
  const [program = '', ...args] = command;
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: '/',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
      stdio: ['pipe', 'ignore', 'ignore'],
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
