// The executor, run from its sources or from a bundle beside them, is somebody developing it: it acts inside a lab guest and
// nowhere else. The installed program has no such rule.

import { readFileSync, readlinkSync } from 'node:fs';
import { Failure } from '../protocol/failure.ts';

/** Where an installation lies, and nothing else; a lab guest finds the project here, whose sources stay sources. */
const INSTALLED =
  process.platform === 'win32'
    ? `${process.env['ProgramFiles'] ?? 'C:\\Program Files'}\\latchkey-agent\\`
    : '/usr/lib/latchkey-agent/';
const MARKER = '/run/latchkey-lab-guest';
/** What /proc/PID/ns/* links to (namespaces(7)). */
const NAMESPACE = /^[a-z]+:\[[0-9]+\]$/;

/**
 * Throws `OUTSIDE_GUEST` unless the lab's marker is here and names namespaces of its runner that are not this process's
 * own. The marker alone would not do: somebody may have left one on a real machine.
 */
export function demandGuestForSources(marker: string = MARKER, file: string = import.meta.filename): void {
  if (file.startsWith(INSTALLED) && !file.endsWith('.ts')) return;
  const runner = readRunner(marker);
  for (const kind of ['pid', 'mnt'] as const) {
    const named = runner?.[kind];
    const isNamespace = typeof named === 'string' && NAMESPACE.test(named) && named.startsWith(`${kind}:`);
    if (!isNamespace || named === readlinkSync(`/proc/self/ns/${kind}`)) throw new Failure('OUTSIDE_GUEST');
  }
}

function readRunner(marker: string): { pid?: unknown; mnt?: unknown } | null {
  try {
    return (JSON.parse(readFileSync(marker, 'utf8')) as { runner?: { pid?: unknown; mnt?: unknown } }).runner ?? null;
  } catch {
    return null;
  }
}
