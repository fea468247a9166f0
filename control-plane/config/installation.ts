// The installation in a data folder: made at the first start, opened at every other. `installation.json` is written last
// and says that all of it is there; a first start that was cut off is carried on by the next one with the keys it made.

import { existsSync, readdirSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { Failure } from '../../protocol/failure.ts';
import { type SigningKey, thumbprint, toBase64url } from '../../protocol/keys.ts';
import { type RootPayload, signRoot } from '../../protocol/root.ts';
import { type Ed25519Jwk, installationId, newId, projectName } from '../../protocol/schema.ts';
import { WIRE_VERSION_MIN } from '../../protocol/version.ts';
import { makePrivateFolder, parseJson, readIfThere, syncFolder, writePrivateFile } from './files.ts';
import { createKey } from './key-file.ts';
import type { Paths } from './paths.ts';
import type { RandomBytes } from './random-kernel.ts';
import { TrustChain } from './trust-chain.ts';

const YEAR_S = 365 * 24 * 3_600;
const PROJECT = 'default';
/** This program is not older than that. */
const CLOCK_FLOOR = Date.UTC(2026, 0, 1);
/** What a first start may have left behind; anything else in the folder belongs to someone else. */
const OWN_NAMES =
  /^(lock(-journal)?|(installation\.json|api-key|address)(\.new)?|keys|trust|gateway|signer|run|tls|latchkey\.db(-wal|-shm|-journal)?)$/;

const record = z.strictObject({
  v: z.literal(1),
  iss: installationId,
  project: projectName,
  created_at: z.iso.datetime(),
});

export type Installation = Readonly<{ iss: string; project: string; chain: TrustChain }>;
export type Surroundings = Readonly<{
  randomBytes: RandomBytes;
  nowMs: () => number;
  /** The command key that a first root names, where something else holds it; `null`: it is made here. */
  commandKey?: () => Promise<Ed25519Jwk | null>;
}>;

/**
 * A folder that this program may use: made private, or refused where it holds somebody else's files. Its mode is that of a
 * control plane which may be running in it, and goes on.
 */
export function claimFolder(paths: Paths, mode = 0o700): void {
  if (readIfThereFolder(paths.data).some((name) => !OWN_NAMES.test(name)) && readIfThere(paths.installation) === null) {
    throw new Failure('CONFIG_INVALID', { field: 'data', reason: 'folder_not_empty' });
  }
  makePrivateFolder(paths.data, mode);
}

/** What an earlier version kept elsewhere, before anything else is opened. */
export function moveIn({ databaseBefore, database }: Paths): void {
  if (existsSync(database)) return;
  if (!existsSync(databaseBefore)) return;
  // What was not merged yet goes first: a database without it would be an older one.
  for (const part of ['-journal', '-wal', '-shm', '']) {
    if (existsSync(databaseBefore + part)) renameSync(databaseBefore + part, database + part);
  }
  for (const folder of [dirname(database), dirname(databaseBefore)]) syncFolder(folder);
}

/** Opens the installation or makes it; throws `CONFIG_INVALID`, `CLOCK_WRONG` or `PATH_UNWRITABLE`. */
export async function openInstallation(paths: Paths, around: Surroundings): Promise<Installation> {
  demandClock(around.nowMs());
  if (readIfThere(paths.installation) === null) return createInstallation(paths, around);
  return readInstallation(paths, around.nowMs());
}

/** Opens it where it is; throws `CONFIG_INVALID`, `CLOCK_WRONG` or `PATH_UNWRITABLE`. */
export async function readInstallation(paths: Paths, nowMs: number): Promise<Installation> {
  demandClock(nowMs);
  const text = readIfThere(paths.installation);
  if (text === null) throw new Failure('CONFIG_INVALID', { field: 'data', reason: 'no_installation' });
  const known = record.safeParse(parseJson(text, 'installation.json'));
  if (!known.success) {
    const field = known.error.issues[0]?.path.map(String).join('.') ?? '';
    throw new Failure('CONFIG_INVALID', { file: 'installation.json', field });
  }
  const { iss, project, created_at } = known.data;
  if (nowMs < Date.parse(created_at)) throw new Failure('CLOCK_WRONG', { created_at });
  const chain = await TrustChain.open(paths);
  const { root } = await chain.newest();
  if (root.iss !== iss) throw new Failure('CONFIG_INVALID', { file: 'trust/root.json', field: 'iss' });
  return { iss, project, chain };
}

function demandClock(nowMs: number): void {
  if (nowMs < CLOCK_FLOOR) throw new Failure('CLOCK_WRONG', { now: new Date(nowMs).toISOString() });
}

async function createInstallation(paths: Paths, around: Surroundings): Promise<Installation> {
  const { rootKeyFolder, trustFolder, gatewayFolder, signerFolder, runFolder } = paths;
  for (const folder of [rootKeyFolder, trustFolder, gatewayFolder, signerFolder, runFolder]) makePrivateFolder(folder);
  if (readIfThere(paths.apiKey) === null) {
    writePrivateFile(paths.apiKey, `lk_${toBase64url(around.randomBytes(32))}\n`);
  }
  if (readIfThere(paths.trustRoot) === null) await createTrustRoot(paths, around);
  const chain = await TrustChain.open(paths);
  const { root } = await chain.newest();
  const created_at = new Date(around.nowMs()).toISOString();
  writePrivateFile(paths.installation, `${JSON.stringify({ v: 1, iss: root.iss, project: PROJECT, created_at })}\n`);
  return { iss: root.iss, project: PROJECT, chain };
}

/** A 1-of-1 root; `latchkey keys ceremony` moves it to offline keys. */
async function createTrustRoot(paths: Paths, { randomBytes, nowMs, commandKey: held }: Surroundings): Promise<void> {
  const rootKey = await createKey(paths.rootKey, randomBytes);
  const elsewhere = (await held?.()) ?? null;
  const commandKey =
    elsewhere === null
      ? await createKey(paths.commandKey, randomBytes)
      : { kid: await thumbprint(elsewhere), jwk: elsewhere };
  const sessionKey = await createKey(paths.sessionKey, randomBytes);
  const expires = Math.floor(nowMs() / 1000) + YEAR_S;
  const role = ({ kid }: Pick<SigningKey, 'kid'>) => ({ kids: [kid], threshold: 1 });
  const root: RootPayload = {
    v: 1,
    iss: newId('ins', randomBytes),
    version: 1,
    expires,
    keys: Object.fromEntries([rootKey, commandKey, sessionKey].map(({ kid, jwk }) => [kid, { jwk, expires }])),
    roles: { root: role(rootKey), command: role(commandKey), session: role(sessionKey) },
    policy: { min_v: WIRE_VERSION_MIN, cb: 'off', require_operator_proof: false },
  };
  writePrivateFile(paths.trustRoot, `${JSON.stringify(await signRoot(root, [rootKey]))}\n`);
}

function readIfThereFolder(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'error';
    if (reason === 'ENOENT') return [];
    throw new Failure('PATH_UNWRITABLE', { path, reason }, cause);
  }
}
