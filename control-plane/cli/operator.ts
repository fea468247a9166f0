// Adding an operator on the control plane's host: a factor with the signer, over a socket that only this host's owner can
// reach, and an API key over HTTP. Each secret is printed this once.

import { randomBytes } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import * as z from 'zod/mini';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { signingKeyFromSeed, thumbprint, toBase64url } from '../../protocol/keys.ts';
import { type Ed25519Jwk, ed25519Jwk, operatorName } from '../../protocol/schema.ts';
import { pathsIn } from '../config/paths.ts';
import { adminClient } from '../signer/client.ts';
import type { CommonOptions } from './action.ts';
import type { Client } from './client/client.ts';
import { readConfigured } from './client/private-files.ts';
import { dataFolder } from './connection.ts';
import { UsageError } from './prompts.ts';
import { writeJson, writeLine } from './view/text.ts';

export type OperatorOptions = CommonOptions & Readonly<{ totp?: boolean; key?: string; generateKey?: string }>;

type Added = Readonly<{ totpUri: string | null; kid: string | null; apiKey: string | null }>;

export async function addOperator({ api }: Client, name: string, options: OperatorOptions): Promise<void> {
  if (!z.safeParse(operatorName, name).success) throw new UsageError('NAME is lower-case letters, digits, . _ -');
  // Asked first: a control plane that is away must not leave a factor without an API key.
  await api.whoami();
  const key = await keyOf(options);
  const factor = await addFactor(name, key).catch(async (error) => {
    if (options.generateKey !== undefined) await rm(options.generateKey, { force: true });
    throw error;
  });
  const apiKey = await createApiKey(() => api.createOperator(name));
  if (factor === null && apiKey === null) throw new Failure('ALREADY_EXISTS', { operator: name });
  print(name, { totpUri: factor?.totp_uri ?? null, kid: factor?.kid ?? null, apiKey }, options);
}

async function addFactor(name: string, key: Ed25519Jwk | undefined) {
  const admin = adminClient(pathsIn(dataFolder()).adminSocket);
  try {
    return await admin('operator.add', { name, ...(key ? { key } : {}) });
  } catch (error) {
    // An earlier run may have stopped half-way: the API key may still be missing.
    if (codeOf(error) === 'ALREADY_EXISTS') return null;
    throw error;
  }
}

async function createApiKey(create: () => Promise<{ api_key: string }>): Promise<string | null> {
  try {
    return (await create()).api_key;
  } catch (error) {
    // The operator has one, and this run added a factor to them.
    if (codeOf(error) === 'ALREADY_EXISTS') return null;
    throw error;
  }
}

async function keyOf({ key, generateKey }: OperatorOptions): Promise<Ed25519Jwk | undefined> {
  if (generateKey !== undefined) return makeKeyFile(generateKey);
  if (key === undefined) return undefined;
  try {
    // The public half alone leaves this process, also where the file holds both.
    const { kty, crv, x } = JSON.parse(await readConfigured(key, 'key')) as Record<string, unknown>;
    return z.parse(ed25519Jwk, { kty, crv, x });
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure('CONFIG_INVALID', { field: 'key', path: key, reason: 'not an Ed25519 JWK' });
  }
}

/** Never overwrites a file: it may be the only copy of another key. */
async function makeKeyFile(path: string): Promise<Ed25519Jwk> {
  const seed = randomBytes(32);
  const { jwk } = await signingKeyFromSeed(seed);
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(`${JSON.stringify({ ...jwk, d: toBase64url(seed), kid: await thumbprint(jwk) })}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'unknown';
    throw new Failure(reason === 'EEXIST' ? 'ALREADY_EXISTS' : 'PATH_UNWRITABLE', { path, reason }, cause);
  } finally {
    seed.fill(0);
  }
  return jwk;
}

function print(name: string, { totpUri, kid, apiKey }: Added, { json, generateKey }: OperatorOptions): void {
  if (json) {
    writeJson({ event: 'operator', name, totpUri, kid, keyFile: generateKey ?? null, apiKey });
    return;
  }
  if (totpUri !== null) {
    writeLine(`Enter this into the authenticator of ${name}:`);
    writeLine(`  ${totpUri}`);
  }
  if (kid !== null) writeLine(`Registered the key ${kid}${generateKey ? `, written to ${generateKey}` : ''}.`);
  if (apiKey === null) writeLine(`${name} keeps the API key that they have.`);
  else {
    writeLine(`API key of ${name}:`);
    writeLine(`  ${apiKey}`);
  }
  if (totpUri !== null || apiKey !== null) writeLine('Shown this once.');
}
