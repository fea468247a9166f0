// Services of a machine whose manager is systemd, through systemctl alone. A service is a process's own only where both its
// control group and its main process say so: restarting anything wider would end what nobody agreed to end.

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { Failure } from '../../protocol/failure.ts';
import type { Services } from '../ports/services.ts';
import { type Proc, procAt } from './proc.ts';

const SYSTEMCTL = '/usr/bin/systemctl';
const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
const ASK_TIMEOUT_MS = 10_000;
/** systemd's own for a stop and a start, and some more. */
const RESTART_TIMEOUT_MS = 200_000;
const ANSWER_BYTES_MAX = 4_194_304;
/** Programs that do nothing but start another one and wait for it. */
const STARTERS = ['sh', 'bash', 'dash', 'perl', 'runuser', 'su', 'sudo', 'setpriv', 'tigervncsession'];
const DEPTH_MAX = 8;

export type ServicesSystemdOptions = Readonly<{ root?: string; proc?: Proc }>;

const run = promisify(execFile);

export function servicesSystemd({ root = '/', proc = procAt() }: ServicesSystemdOptions = {}): Services {
  async function mainProcesses(): Promise<readonly MainProcess[]> {
    const argv = ['show', '--property=Id', '--property=MainPID', '--', '*.service'];
    const options = { cwd: '/', env: ENVIRONMENT, timeout: ASK_TIMEOUT_MS, maxBuffer: ANSWER_BYTES_MAX };
    return parseMainProcesses((await run(join(root, SYSTEMCTL), argv, options)).stdout);
  }

  /** The process, and those above it for as long as they are there for its sake. */
  function startersOf(pid: number): readonly number[] {
    const pids = [pid];
    for (let at = proc.process(pid)?.parent; at !== undefined && pids.length < DEPTH_MAX; ) {
      const above = proc.process(at);
      if (!above || !STARTERS.includes(basename(above.exe))) break;
      pids.push(at);
      at = above.parent;
    }
    return pids;
  }

  return {
    async serviceOf(pid) {
      // sd_booted(3).
      if (!existsSync(join(root, 'run/systemd/system')) || !proc.sameRoot(pid)) return null;
      const place = placeOfGroup(proc.controlGroup(pid) ?? '');
      if (place === null) return null;
      const pids = startersOf(pid);
      const found = (await mainProcesses().catch(() => [])).filter((each) => pids.includes(each.pid));
      const [only, ...others] = found;
      if (only === undefined || others.length > 0) return null;
      return place === 'session' || place === only.service ? only.service : null;
    },
    async restart(service) {
      const argv = ['restart', '--no-ask-password', '--', service];
      try {
        await run(join(root, SYSTEMCTL), argv, { cwd: '/', env: ENVIRONMENT, timeout: RESTART_TIMEOUT_MS });
      } catch (error) {
        throw new Failure('VNC_FAILED', { reason: 'restart_failed' }, error);
      }
    },
  };
}

/**
 * What a control group's path says: the system's own service that it is, `session` where a login took the process over (as
 * Debian's unit of TigerVNC has it), or `null` for all else: what a service keeps below itself, containers, users' managers.
 */
export function placeOfGroup(path: string): string | null {
  const units = path.split('/').filter((part) => /\.(?:service|scope|slice)$/.test(part));
  const kept = units.filter((unit) => !unit.endsWith('.slice'));
  const unit = kept[0];
  if (kept.length !== 1 || unit === undefined || !path.endsWith(`/${unit}`)) return null;
  if (/^session-[A-Za-z0-9]+\.scope$/.test(unit) && path.startsWith('/user.slice/')) return 'session';
  return unit.endsWith('.service') && !path.startsWith('/user.slice/') ? unit : null;
}

type MainProcess = Readonly<{ service: string; pid: number }>;

/** Blocks of `Id=` and `MainPID=`, parted by empty lines. */
export function parseMainProcesses(text: string): readonly MainProcess[] {
  return text.split('\n\n').flatMap((block) => {
    const service = /^Id=(.+\.service)$/m.exec(block)?.[1];
    const pid = Number(/^MainPID=([0-9]+)$/m.exec(block)?.[1] ?? 0);
    return service === undefined || pid === 0 ? [] : [{ service, pid }];
  });
}
