// A private Ed25519 key in a file of its own, readable by its owner alone.

import { z } from 'zod';
import { Failure } from '../../protocol/failure.ts';
import { fromBase64url, type SigningKey, signingKeyFromSeed, toBase64url } from '../../protocol/keys.ts';
import { parseJson, readIfThere, writePrivateFile } from './files.ts';
import type { RandomBytes } from './random-kernel.ts';

const keyFile = z.strictObject({ v: z.literal(1), seed: z.string().regex(/^[A-Za-z0-9_-]{43}$/) });

/** The key in that file, made where there is none yet. */
export async function createKey(path: string, randomBytes: RandomBytes): Promise<SigningKey> {
  if (readIfThere(path) === null) writeKey(path, randomBytes(32));
  return readKey(path);
}

export function writeKey(path: string, seed: Uint8Array): void {
  writePrivateFile(path, `${JSON.stringify({ v: 1, seed: toBase64url(seed) })}\n`);
}

/** Reads a private key that must be there; throws `CONFIG_INVALID`. */
export async function readKey(path: string): Promise<SigningKey> {
  const text = readIfThere(path);
  if (text === null) throw new Failure('CONFIG_INVALID', { file: path, reason: 'missing' });
  const parsed = keyFile.safeParse(parseJson(text, path));
  if (!parsed.success) throw new Failure('CONFIG_INVALID', { file: path, field: 'seed' });
  const seed = fromBase64url(parsed.data.seed);
  const key = await signingKeyFromSeed(seed);
  seed.fill(0);
  return key;
}
