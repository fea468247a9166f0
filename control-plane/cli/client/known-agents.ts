// Which executor key each agent had when it was first seen from here. Trust on first use: the control plane names an
// agent's key, and from then on it cannot name another one without this program noticing.

import { join } from 'node:path';
import * as z from 'zod/mini';
import { Failure } from '../../../protocol/failure.ts';
import { thumbprint } from '../../../protocol/keys.ts';
import { agentId, type Ed25519Jwk, ed25519Jwk, vmId } from '../../../protocol/schema.ts';
import { namesIn, readIfThere, writePrivate } from './private-files.ts';

const knownAgent = z.strictObject({
  v: z.literal(1),
  agent: agentId,
  vm: vmId,
  ek: ed25519Jwk,
  first_seen: z.string(),
});
type KnownAgent = z.infer<typeof knownAgent>;

/** `replaced`: this machine was known under another agent, so it was enrolled anew since. */
export type Acquaintance = 'new' | 'known' | 'replaced';

export type Sighting = Readonly<{ agent: string; vm: string; ek: Ed25519Jwk }>;

/**
 * Compares the key that the control plane names with the one known from before, and remembers a new agent's.
 * Throws `CLONE_SUSPECTED` where the same agent has another key than before.
 */
export async function meetAgent(stateFolder: string, { agent, vm, ek }: Sighting, now: Date): Promise<Acquaintance> {
  const folder = join(stateFolder, 'agents');
  const path = join(folder, `${agent}.json`);
  const known = await readKnown(path);
  if (known) {
    if (known.agent === agent && known.ek.x === ek.x) return 'known';
    const [was, is] = await Promise.all([thumbprint(known.ek), thumbprint(ek)]);
    throw new Failure('CLONE_SUSPECTED', {
      agent,
      reason: 'the executor’s key is not the one known from before',
      known: was.slice(0, 12),
      offered: is.slice(0, 12),
      file: path,
    });
  }
  const earlier = await knownMachines(folder);
  const value: KnownAgent = { v: 1, agent, vm, ek, first_seen: now.toISOString() };
  await writePrivate(path, `${JSON.stringify(value)}\n`);
  return earlier.has(vm) ? 'replaced' : 'new';
}

async function knownMachines(folder: string): Promise<ReadonlySet<string>> {
  const machines = new Set<string>();
  for (const name of await namesIn(folder)) {
    if (!name.endsWith('.json')) continue;
    const known = await readKnown(join(folder, name));
    if (known) machines.add(known.vm);
  }
  return machines;
}

/** A damaged file is not "never seen": it must not let another key pass as new. */
async function readKnown(path: string): Promise<KnownAgent | undefined> {
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  try {
    return z.parse(knownAgent, JSON.parse(text));
  } catch (cause) {
    throw new Failure('CONFIG_INVALID', { path, reason: 'damaged' }, cause);
  }
}
