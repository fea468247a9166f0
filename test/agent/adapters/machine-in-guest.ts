// Power and environment of a lab guest, as rules want them. Never runs outside a guest.

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { environmentLinux, MARKER_PATH } from '../../../agent/adapters/environment-linux.ts';
import { powerLinux } from '../../../agent/adapters/power-linux.ts';
import type { EnvironmentOddity, EnvironmentSubject } from '../contracts/environment.ts';
import type { PowerSubject } from '../contracts/power.ts';

export function powerInGuest(): PowerSubject {
  return {
    power(machine) {
      if (machine === 'normal') return powerLinux();
      const root = mkdtempSync('/tmp/root-');
      mkdirSync(`${root}/proc/1`, { recursive: true });
      symlinkSync('/usr/bin/bash', `${root}/proc/1/exe`);
      return powerLinux({ root });
    },
  };
}

const MARKER = `/${MARKER_PATH}`;
const REMEMBERED = 'remembered-since-enrolment';

const oddities: Readonly<Record<EnvironmentOddity, readonly [path: string, content: string | null]>> = {
  initrd: ['/etc/initrd-release', 'ID=any\n'],
  next_root: ['/run/nextroot', ''],
  reboot_argument: ['/run/systemd/reboot-param', 'any\n'],
  other_marker: [MARKER, 'another\n'],
  no_marker: [MARKER, null],
};

export function environmentInGuest(): EnvironmentSubject {
  return {
    async during(oddity, act) {
      put(MARKER, `${REMEMBERED}\n`);
      const [path, content] = oddity === null ? [MARKER, `${REMEMBERED}\n`] : oddities[oddity];
      put(path, content);
      try {
        await act(environmentLinux({ marker: REMEMBERED }));
      } finally {
        rmSync(path, { force: true });
      }
    },
  };
}

function put(path: string, content: string | null): void {
  mkdirSync(dirname(path), { recursive: true });
  if (content === null) rmSync(path, { force: true });
  else writeFileSync(path, content);
}
