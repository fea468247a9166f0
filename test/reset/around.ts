// An executor with something around it: each executor of such a guest is started by a script of the test's, which can put it
// into another root, under another first process, or under strace.

import { existsSync } from 'node:fs';
import type { Guest } from '../lab/guest.ts';
import { PRODUCT_SERVICES, type Service } from '../lab/services.ts';

const START = '/srv/start-executor';
const AROUND = '/srv/around';
const TRACES = '/var/traces';

/** The product's services, with the script in front of the executor. */
export const servicesAround: readonly Service[] = PRODUCT_SERVICES.map((service) =>
  service.name === 'executor' ? { ...service, argv: [START, ...service.argv] } : service,
);

/** Before the guest's first boot. */
export function putStart(guest: Guest): Promise<void> {
  return guest.writeFile(START, `#!/bin/sh\n[ -x ${AROUND} ] && exec ${AROUND} "$@"\nexec "$@"\n`, 0o755);
}

/** Runs while executors are started by these lines of shell, which get the executor's words as their own. */
export async function around(guest: Guest, lines: string, act: () => Promise<void>): Promise<void> {
  await guest.writeFile(AROUND, `#!/bin/sh\nset -e\n${lines}\n`, 0o755);
  try {
    await act();
  } finally {
    await guest.exec(['rm', AROUND]);
  }
}

export const strace = {
  name: 'strace',
  command: 'apt-get install strace',
  met: existsSync('/usr/bin/strace'),
} as const;

/** System calls that start a program, change a file or its name, mount something, or end the machine. */
const TRACED =
  'execve,execveat,openat,open,openat2,creat,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,mknod,mknodat,' +
  'link,linkat,symlink,symlinkat,truncate,ftruncate,chmod,fchmod,fchmodat,chown,fchown,fchownat,lchown,utimensat,setxattr,' +
  'mount,umount2,move_mount,pivot_root,chroot,reboot,kexec_load,kexec_file_load';

/** Executors write down what they do from now on. */
export async function traceExecutors(guest: Guest): Promise<void> {
  // A file for each thread: in one file, calls of several would be cut in two.
  const line = `exec strace -ff --seccomp-bpf -qqq -s 200 -o ${TRACES}/trace -e signal=none -e trace=${TRACED} "$@"`;
  await guest.exec(['mkdir', TRACES]);
  await guest.writeFile(AROUND, `#!/bin/sh\n${line}\n`, 0o755);
}

export type Trace = Readonly<{
  /** Programs that were started, each as often as it was. */
  programs: readonly string[];
  /** Calls that could change something and did not fail, without those that only read. */
  changes: readonly string[];
}>;

export async function readTrace(guest: Guest): Promise<Trace> {
  const { stdout } = await guest.exec(['sh', '-c', `cat ${TRACES}/*`]);
  const calls = stdout.split('\n').filter((line) => / = \d/.test(line));
  const [programs, others] = [calls.filter(isStart), calls.filter((call) => !isStart(call))];
  return {
    programs: programs.map((call) => /"([^"]*)"/.exec(call)?.[1] ?? call),
    changes: others.filter((call) => !/^open/.test(call) || /O_(?:WRONLY|RDWR|CREAT|TRUNC|TMPFILE)/.test(call)),
  };
}

const isStart = (call: string) => call.startsWith('execve');
