// Other agents that live in machines, where they are installed on this one: run inside the lab guest, never outside it.

import { existsSync } from 'node:fs';
import type { Program } from './resident.ts';

const peers: Readonly<Record<string, Program & { program: string }>> = {
  'qemu-ga': {
    program: '/usr/sbin/qemu-ga',
    argv: ['/usr/sbin/qemu-ga', '-m', 'unix-listen', '-p', '/run/qemu-ga.sock', '-t', '/run'],
  },
  waagent: { program: '/usr/sbin/waagent', argv: ['/usr/bin/python3', '-u', '/usr/sbin/waagent', '-daemon'] },
  'google-guest-agent': { program: '/usr/bin/google_guest_agent', argv: ['/usr/bin/google_guest_agent'] },
};

export const installedPeers = (): readonly (readonly [string, Program])[] =>
  Object.entries(peers).filter(([, { program }]) => existsSync(program));

/** Names of those that are not installed. */
export const absentPeers = (): readonly string[] =>
  Object.entries(peers).flatMap(([name, { program }]) => (existsSync(program) ? [] : [name]));
