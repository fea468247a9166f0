// The tripwire against "reroot": requests to reset a password by booting into, or editing, another root. It looks at exact
// names before any schema, so that such a request is refused by its own name and not as a misspelt field. No option, proof
// or policy switches it off.

import type { JsonValue } from './canonical.ts';
import { Failure } from './failure.ts';

/** Values of `method` that name a way around the running system. */
export const rerootMethods: readonly string[] = [
  'reroot',
  're-root',
  'init-shell',
  'rd.break',
  'single',
  'rescue',
  'emergency',
  'soft-reboot',
  'switch-root',
  'nextroot',
  'kexec',
  'chroot',
  'offline',
  'rescue-disk',
];

/** Members that would point at another root, another init, other kernel arguments, or a raw entry. */
export const rerootMembers: readonly string[] = [
  'root',
  'chroot',
  'prefix',
  'sysroot',
  'init',
  'kernelArgs',
  'bootArgs',
  'nextroot',
  'shadow',
  'hash',
];

/** Kinds of reboot that are not a normal one. */
export const rerootReboots: readonly string[] = ['soft', 'kexec', 'firmware', 'recovery'];

/** Throws `REROOT_REFUSED` where a value, at any depth, asks for a reset by reroot. Names are compared exactly. */
export function refuseReroot(value: JsonValue): void {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    for (const item of value) refuseReroot(item);
    return;
  }
  for (const [name, member] of Object.entries(value)) {
    if (rerootMembers.includes(name)) throw new Failure('REROOT_REFUSED', { reason: name });
    if (name === 'method' && isOneOf(rerootMethods, member))
      throw new Failure('REROOT_REFUSED', { reason: `method:${member}` });
    if ((name === 'reboot' || name === 'kind') && isOneOf(rerootReboots, member)) {
      throw new Failure('REROOT_REFUSED', { reason: `reboot:${member}` });
    }
    refuseReroot(member);
  }
}

function isOneOf(list: readonly string[], value: JsonValue): value is string {
  return typeof value === 'string' && list.includes(value);
}
