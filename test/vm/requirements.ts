// What this machine needs to run virtual machines, and, where it has not got it, the one thing to install. Machines are
// always emulated (TCG): a /dev/kvm that is there may still not work, and emulation does everywhere.

import { userInfo } from 'node:os';
import type { TestContext } from 'vitest';
import { isProgram } from '../lab/requirements.ts';
import { findDebian } from '../lab/tree.ts';
import { unavailable } from '../requirements.ts';

const PACKAGES: Readonly<Record<string, string>> = {
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-img': 'qemu-utils',
  mmdebstrap: 'mmdebstrap',
  mke2fs: 'e2fsprogs',
  debugfs: 'e2fsprogs',
  setpriv: 'util-linux',
};

export type Debian = NonNullable<ReturnType<typeof findDebian>>;

/** The Debian to build machines from; ends the test where this machine cannot run one. */
export function demandMachines(context: Pick<TestContext, 'skip'>): Debian {
  const lack = (hint: string) => unavailable(context, 'a virtual machine', hint);
  if (process.platform !== 'linux' || process.arch !== 'x64') return lack('Linux on x86-64');
  if (userInfo().uid !== 0) return lack('run as root: the files of a disk have owners');
  const missing = Object.keys(PACKAGES).filter((program) => !isProgram(program));
  if (missing.length > 0) return lack(`apt-get install ${missing.map((name) => PACKAGES[name]).join(' ')}`);
  return findDebian() ?? lack('needs Debian with its own packages in apt: apt-get update');
}
