// The executor's own folder: its key, the key of its keyed hashes, and who this machine is to the control plane. All of it
// is root's alone; files are made once, at enrolment, and never changed.

import { lstat, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { Failure } from '../../protocol/failure.ts';
import { fromBase64url, type SigningKey, signingKeyFromSeed, toBase64url } from '../../protocol/keys.ts';
import { agentId, bytes32, parseSchema, projectName } from '../../protocol/schema.ts';
import { writeNewFile } from '../durable-file.ts';
import { demandOwn, fingerprint } from '../machine.ts';
import type { Machine } from '../ports/host.ts';
import type { Random } from '../ports/random.ts';

const identityFile = z.strictObject({
  v: z.literal(1),
  agent: agentId,
  project: projectName,
  marker: bytes32,
  /** The machine that it was made in: `fingerprintOf`. */
  machine: z.optional(bytes32),
  /** SHA-256 of the join token that it was made with. */
  join: z.optional(bytes32),
});
const keysFile = z.strictObject({ v: z.literal(1), ek: bytes32, mac: bytes32 });

export type ExecutorKeys = Readonly<{ ek: SigningKey; macKey: Uint8Array }>;
export type EnrolledIdentity = z.infer<typeof identityFile>;

/** Keys of this machine; made from the kernel's randomness where there are none yet. */
export async function makeKeys(folder: string, random: Random): Promise<ExecutorKeys> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, 'keys.json');
  await writeNewFile(
    path,
    JSON.stringify({ v: 1, ek: toBase64url(random.bytes(32)), mac: toBase64url(random.bytes(32)) }),
  );
  return readKeys(folder);
}

export async function readKeys(folder: string): Promise<ExecutorKeys> {
  const { ek, mac } = parseSchema(keysFile, await readPrivate(folder, 'keys.json'));
  return { ek: await signingKeyFromSeed(fromBase64url(ek)), macKey: fromBase64url(mac) };
}

/** Keyed, so that the file tells nobody what the machine's ids are. */
export function fingerprintOf(macKey: Uint8Array, { id, uuid }: Machine): string {
  return fingerprint(macKey, 'executor', id, uuid);
}

/** Before anything is signed or opened with keys that may be another machine's: throws `CLONE_SUSPECTED`. */
export function demandMadeHere({ machine }: EnrolledIdentity, macKey: Uint8Array, here: Machine): void {
  demandOwn(machine, fingerprintOf(macKey, here));
}

export async function readIdentity(folder: string): Promise<EnrolledIdentity> {
  return parseSchema(identityFile, await readPrivate(folder, 'identity.json'));
}

export async function writeIdentity(folder: string, identity: EnrolledIdentity): Promise<void> {
  await writeNewFile(join(folder, 'identity.json'), JSON.stringify(parseSchema(identityFile, identity)));
}

/**
 * Reads a file that must be this user's alone; a missing one means that the machine is not enrolled. On Windows, where users
 * have no numbers, the access list of the whole folder is demanded before anything in it is read (`Host.demandPrivate`).
 */
async function readPrivate(folder: string, name: string): Promise<unknown> {
  const path = join(folder, name);
  try {
    const { uid, mode } = await lstat(path);
    const isOthers = process.platform !== 'win32' && (uid !== process.getuid?.() || (mode & 0o077) !== 0);
    if (isOthers) throw new Failure('JOURNAL_UNSAFE', { path });
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') throw new Failure('NOT_ENROLLED', { path });
    throw new Failure('JOURNAL_UNSAFE', { path }, cause);
  }
}
