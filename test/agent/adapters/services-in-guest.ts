// Services of a lab guest with systemd, arranged as a rule asks. Never runs outside a guest.

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { procAt } from '../../../agent/adapters/proc.ts';
import { servicesSystemd } from '../../../agent/adapters/services-systemd.ts';
import type { Arrangement, ServicesSubject } from '../contracts/services.ts';

const PATIENCE_MS = 20_000;
const proc = procAt();

/** Commands, and the seconds that tell their `sleep` from all others. */
const commands: Readonly<Partial<Record<Arrangement, readonly [command: string, seconds: number]>>> = {
  main: ['/usr/bin/sleep 1001', 1001],
  through_shell: ["/bin/sh -c 'sleep 1002; true'", 1002],
  child: ['/usr/bin/timeout 2000 sleep 1003', 1003],
};
const seconds: Readonly<Partial<Record<Arrangement, number>>> = { scope: 1004, nobody: 1005 };

function pidOfSleep(length: number): number | undefined {
  const argv = `sleep\0${length}\0`;
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number)
    .find((pid) => cmdlineOf(pid).endsWith(argv) && cmdlineOf(pid).split('\0').length === 3);
}

function cmdlineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

async function untilFound(find: () => number | undefined): Promise<number> {
  const deadlineMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const pid = find();
    if (pid !== undefined) return pid;
    if (performance.now() > deadlineMs) throw new Error('no such process came');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const pidOf = (arrangement: Arrangement): Promise<number> => {
  const length = commands[arrangement]?.[1] ?? seconds[arrangement];
  const find = () => (length === undefined ? proc.running(['Xtigervnc'])[0]?.pid : pidOfSleep(length));
  return untilFound(find);
};

export function servicesInGuest(): ServicesSubject {
  return {
    services: servicesSystemd(),
    async given(arrangement) {
      const [command] = commands[arrangement] ?? [];
      const service = arrangement === 'login' ? 'tigervncserver@:1.service' : `rule-${arrangement}.service`;
      if (command !== undefined) {
        writeFileSync(`/run/systemd/system/${service}`, `[Service]\nExecStart=${command}\n`);
        execFileSync('systemctl', ['daemon-reload']);
        execFileSync('systemctl', ['start', service]);
      }
      if (arrangement === 'scope') startAside(['systemd-run', '--scope', '--quiet', 'sleep', '1004']);
      if (arrangement === 'nobody') startAside(['sleep', '1005']);
      return { pid: await pidOf(arrangement), service };
    },
    pidNow: pidOf,
  };
}

function startAside(argv: readonly string[]): void {
  execFileSync('sh', ['-c', '"$@" >/dev/null 2>&1 &', 'sh', ...argv]);
}
