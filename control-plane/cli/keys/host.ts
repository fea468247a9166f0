// `latchkey keys rotate`, `publish`, `show` and `export`: on the control plane's own host, where the online keys are. A
// running control plane goes by a new root at its next look; nothing has to be restarted.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, Failure } from '../../../protocol/failure.ts';
import { type SigningKey, signingKeyFromSeed } from '../../../protocol/keys.ts';
import type { RootPayload } from '../../../protocol/root.ts';
import { keyFiles, laterKeyFile, type OnlineRole, roleFolder } from '../../config/authority.ts';
import { readIfThere } from '../../config/files.ts';
import { readKey, writeKey } from '../../config/key-file.ts';
import { type Paths, pathsIn } from '../../config/paths.ts';
import { randomKernel } from '../../config/random-kernel.ts';
import { TrustChain } from '../../config/trust-chain.ts';
import { adminClient } from '../../signer/client.ts';
import { readConfigured } from '../client/private-files.ts';
import { dataFolder } from '../connection.ts';
import { writeJson, writeLine } from '../view/text.ts';
import { show, text, writeFresh } from './ceremony.ts';
import { complete, type Draft, draftOf, nextRoot, readDraft, sign } from './root-draft.ts';

const DAY_S = 86_400;
const ROLES: readonly OnlineRole[] = ['command', 'session'];

type Json = Readonly<{ json?: boolean }>;

export async function showRoot(options: Json): Promise<void> {
  const { root, signed } = await (await openChain()).chain.newest();
  show(root, signed, options);
}

export async function exportRoot({ output, json }: Json & Readonly<{ output?: string }>): Promise<void> {
  const { root, signed } = await (await openChain()).chain.newest();
  if (output === undefined) return writeLine(JSON.stringify(signed));
  await writeFresh(output, text(signed));
  if (json) writeJson({ event: 'exported', file: output, version: root.version });
  else writeLine(`Wrote ${output}: root version ${root.version} of ${root.iss}.`);
}

export type RotateOptions = Json &
  Readonly<{
    days: number;
    output?: string;
    /** Name the key that a key program or a credential holds, instead of making one. */
    held?: boolean;
  }>;

/**
 * Makes a new key for a role and the root that names it alone. Where the root keys lie on this host the root is published
 * at once; where they are offline, a draft is written for their keepers, and nothing changes until it is published.
 */
export async function rotateKey(role: OnlineRole, options: RotateOptions): Promise<void> {
  const house = await openHouse(options);
  const { paths, current } = house;
  if (options.held) return nameHeldKey(role, house, options);
  const seed = randomKernel()(32);
  const { kid, jwk } = await signingKeyFromSeed(Uint8Array.from(seed));
  const expires = Math.floor(Date.now() / 1000) + options.days * DAY_S;
  const next = await nextRoot(current, { expires, [role]: jwk });
  // The key is on the disk before anything names it.
  writeKey(join(roleFolder(paths, role), laterKeyFile(role, kid)), seed);
  seed.fill(0);
  await handOn(house, next, options);
}

/** The running signer says what it could sign with; it goes on with the key before until the root is published. */
async function nameHeldKey(role: OnlineRole, house: House, options: RotateOptions): Promise<void> {
  if (role !== 'command') throw new Failure('CONFIG_INVALID', { field: 'held', reason: 'the command key alone' });
  const { keys } = await adminClient(house.paths.adminSocket)('keys.held', {});
  const fresh = keys.filter(({ kid }) => !house.current.roles.command.kids.includes(kid));
  const [key] = fresh;
  if (!key || fresh.length > 1) {
    throw new Failure('CONFIG_INVALID', { field: 'held', reason: 'not exactly one new key', count: fresh.length });
  }
  const expires = Math.floor(Date.now() / 1000) + options.days * DAY_S;
  await handOn(house, await nextRoot(house.current, { expires, command: key.jwk }), options);
}

/**
 * Names the keys and passkeys that operators have now, and those alone: machines check proofs with them. One that was taken
 * from an operator proves nothing to a machine from then on.
 */
export async function rotateOperators(options: RotateOptions): Promise<void> {
  const house = await openHouse(options);
  const { operators } = await adminClient(house.paths.adminSocket)('operator.keys', {});
  const expires = Math.floor(Date.now() / 1000) + options.days * DAY_S;
  await handOn(house, await nextRoot(house.current, { expires, operators }), options);
}

type House = Readonly<{ paths: Paths; chain: TrustChain; current: RootPayload; embedded: SigningKey | null }>;

/** Throws where the root keys are offline and no draft is named: before anything was made. */
async function openHouse({ output }: RotateOptions): Promise<House> {
  const { paths, chain } = await openChain();
  const { root: current } = await chain.newest();
  const key = await rootKeyOf(paths, current);
  const embedded = current.roles.root.threshold === 1 ? key : null;
  if (embedded === null && output === undefined) {
    throw new Failure('CONFIG_INVALID', {
      field: 'output',
      reason: 'the root keys are offline: name a file for the draft',
    });
  }
  return { paths, chain, current, embedded };
}

/** Published where the root's one key lies here; else a draft for the keepers of its keys. */
async function handOn(
  { paths, chain, current, embedded }: House,
  next: RootPayload,
  options: RotateOptions,
): Promise<void> {
  const { output, json = false } = options;
  if (embedded === null) {
    const draft = draftOf(next);
    await writeFresh(output as string, text(draft));
    show(next, draft, { json });
    if (!json) writeLine(`Wrote ${output}: have its root keys sign it, then run: latchkey keys publish ${output}`);
    return;
  }
  const draft = await sign(draftOf(next), next, embedded);
  await publish(paths, chain, current, draft);
  show(next, draft, { json });
  if (!json) writeLine(`Published. Machines learn of it at once, or when they connect.`);
}

export async function publishDraft(path: string, { json }: Json): Promise<void> {
  const { paths, chain } = await openChain();
  const { draft: given, root } = readDraft(await readConfigured(path, 'draft'));
  const { root: current } = await chain.newest();
  // Whoever may publish here may use the root key that lies here; it counts where the root in force names it.
  const embedded = await rootKeyOf(paths, current);
  const draft = embedded === null ? given : await sign(given, root, embedded);
  const removed = await publish(paths, chain, current, draft);
  show(root, draft, { json: json ?? false });
  if (json) return;
  if (removed) writeLine('The root key that lay on this host was removed: it signs nothing any more.');
  writeLine('Published. Machines learn of it at once, or when they connect.');
}

/** Whether the root key of this host was retired with it. */
async function publish(paths: Paths, chain: TrustChain, current: RootPayload, draft: Draft): Promise<boolean> {
  const signed = await complete(current, draft);
  const { root } = readDraft(JSON.stringify(draft));
  for (const role of ROLES) await demandKey(paths, role, root);
  await chain.publish(signed);
  for (const role of ROLES) await removeOldKeys(paths, role, root);
  if (readIfThere(paths.rootKey) === null) return false;
  const { kid } = await readKey(paths.rootKey);
  if (root.roles.root.kids.includes(kid)) return false;
  rmSync(paths.rootKey);
  return true;
}

/** A root whose online keys are not here would stop this control plane. */
async function demandKey(paths: Paths, role: OnlineRole, root: RootPayload): Promise<void> {
  const folder = roleFolder(paths, role);
  for (const name of keyFiles(folder, role)) {
    if (root.roles[role].kids.includes((await readKey(join(folder, name))).kid)) return;
  }
  const held = role === 'command' ? await heldBySigner(paths) : [];
  if (held.some((kid) => root.roles.command.kids.includes(kid))) return;
  throw new Failure('CONFIG_INVALID', { role, reason: 'its key is not on this host' });
}

/** Keys that lie in no file here; a signer that does not run holds none that could be counted on. */
async function heldBySigner({ adminSocket }: Paths): Promise<string[]> {
  try {
    return (await adminClient(adminSocket)('keys.held', {})).keys.map(({ kid }) => kid);
  } catch (error) {
    if (codeOf(error) === 'SIGNER_UNAVAILABLE') return [];
    throw error;
  }
}

/** What a withdrawn key could still sign, nobody believes; the file is only a temptation. */
async function removeOldKeys(paths: Paths, role: OnlineRole, root: RootPayload): Promise<void> {
  const folder = roleFolder(paths, role);
  for (const name of keyFiles(folder, role)) {
    const { kid } = await readKey(join(folder, name));
    if (!root.roles[role].kids.includes(kid)) rmSync(join(folder, name));
  }
}

/** The root key of this host, where the root in force names it. */
async function rootKeyOf(paths: Paths, { roles }: RootPayload): Promise<SigningKey | null> {
  if (readIfThere(paths.rootKey) === null) return null;
  const key = await readKey(paths.rootKey);
  return roles.root.kids.includes(key.kid) ? key : null;
}

async function openChain(): Promise<Readonly<{ paths: Paths; chain: TrustChain }>> {
  const paths = pathsIn(dataFolder());
  return { paths, chain: await TrustChain.open(paths) };
}
