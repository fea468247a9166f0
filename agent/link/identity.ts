// The link's own folder: its key `ik`, who it is, and how far it has come with the control plane.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { fromBase64url, type SigningKey, signingKeyFromSeed, toBase64url } from '../../protocol/keys.ts';
import { agentId, bytes32, counter, parseSchema, projectName, seconds } from '../../protocol/schema.ts';
import { replaceFile, writeNewFile } from '../durable-file.ts';
import { demandOwn, fingerprint } from '../machine.ts';
import type { Machine, Owner } from '../ports/host.ts';
import type { Random } from '../ports/random.ts';

const keyFile = z.strictObject({ v: z.literal(1), ik: bytes32 });
const identityFile = z.strictObject({
  v: z.literal(1),
  agent: agentId,
  project: projectName,
  /** The machine that it was made in, by its machine-id: the platform's UUID is for root's eyes. */
  machine: z.optional(bytes32),
});
const progressFile = z.strictObject({ v: z.literal(1), ctr: counter, now: seconds });

export type LinkIdentity = Readonly<{ agent: string; project: string; ik: SigningKey }>;
/** Welcomes stored so far, and the highest server time seen: neither ever goes down. */
export type Progress = Readonly<{ ctr: number; now: number }>;

export async function makeLinkKey(folder: string, random: Random, owner: Owner | null): Promise<SigningKey> {
  const content = JSON.stringify({ v: 1, ik: toBase64url(random.bytes(32)) });
  await writeNewFile(join(folder, 'key.json'), content, { owner });
  return readLinkKey(folder);
}

async function readLinkKey(folder: string): Promise<SigningKey> {
  return signingKeyFromSeed(await readSeed(folder));
}

async function readSeed(folder: string): Promise<Uint8Array> {
  return fromBase64url(parseSchema(keyFile, await readJson(folder, 'key.json')).ik);
}

/** Throws `NOT_ENROLLED`, or `CLONE_SUSPECTED` in another machine than the one that it was made in: then the key is not used. */
export async function readLinkIdentity(folder: string, here: Machine): Promise<LinkIdentity> {
  const { agent, project, machine } = parseSchema(identityFile, await readJson(folder, 'identity.json'));
  demandOwn(machine, await fingerprintOf(folder, here));
  return { agent, project, ik: await readLinkKey(folder) };
}

async function fingerprintOf(folder: string, { id }: Machine): Promise<string> {
  return fingerprint(await readSeed(folder), 'link', id);
}

export async function writeLinkIdentity(
  folder: string,
  identity: { agent: string; project: string },
  here: Machine,
  owner: Owner | null,
): Promise<void> {
  const machine = await fingerprintOf(folder, here);
  await writeNewFile(join(folder, 'identity.json'), JSON.stringify({ v: 1, ...identity, machine }), { owner });
}

export async function readProgress(folder: string): Promise<Progress> {
  try {
    const { ctr, now } = parseSchema(progressFile, await readJson(folder, 'progress.json'));
    return { ctr, now };
  } catch (error) {
    if (codeOf(error) === 'NOT_ENROLLED') return { ctr: 0, now: 0 };
    throw error;
  }
}

const troubles: Readonly<Record<string, 'DISK_FULL' | 'FS_READONLY'>> = {
  ENOSPC: 'DISK_FULL',
  EDQUOT: 'DISK_FULL',
  EROFS: 'FS_READONLY',
};

export async function writeProgress(folder: string, { ctr, now }: Progress): Promise<void> {
  const path = join(folder, 'progress.json');
  try {
    await replaceFile(path, JSON.stringify({ v: 1, ctr, now }));
  } catch (cause) {
    // A full disk must not end the resident process: it connects again when there is room.
    const code = troubles[(cause as NodeJS.ErrnoException).code ?? ''];
    throw code ? new Failure(code, { path }, cause) : cause;
  }
}

async function readJson(folder: string, name: string): Promise<unknown> {
  const path = join(folder, name);
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    const { code: reason = 'syntax' } = cause as NodeJS.ErrnoException;
    if (reason === 'ENOENT') throw new Failure('NOT_ENROLLED', { path }, cause);
    throw new Failure('CONFIG_INVALID', { path, reason }, cause);
  }
}
