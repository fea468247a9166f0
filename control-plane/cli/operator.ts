// Adding an operator on the control plane's host: a factor with the signer, over a socket that only this host's owner can
// reach, and an API key over HTTP. Each secret is printed this once.

import { open, rm } from 'node:fs/promises';
import * as z from 'zod/mini';
import { codeOf, Failure } from '../../protocol/failure.ts';
import { signingKeyFromSeed, thumbprint, toBase64url } from '../../protocol/keys.ts';
import { type Ed25519Jwk, ed25519Jwk, operatorName } from '../../protocol/schema.ts';
import { pathsIn } from '../config/paths.ts';
import { randomKernel } from '../config/random-kernel.ts';
import type { Role } from '../core/rights.ts';
import { adminClient } from '../signer/client.ts';
import type { AdminMethods, Params } from '../signer/requests.ts';
import type { CommonOptions } from './action.ts';
import type { Client } from './client/client.ts';
import { readConfigured } from './client/private-files.ts';
import { dataFolder } from './connection.ts';
import { writeFresh } from './keys/ceremony.ts';
import { UsageError } from './prompts.ts';
import { writeJson, writeLine } from './view/text.ts';

export type OperatorOptions = CommonOptions &
  Readonly<{
    totp?: boolean;
    key?: string;
    generateKey?: string;
    email?: string;
    passkey?: boolean;
    recoveryCodes?: boolean;
    role?: Role;
    project?: string;
  }>;

type Added = Readonly<{
  totpUri: string | null;
  kid: string | null;
  codes: readonly string[];
  invitation: string | null;
  apiKey: string | null;
}>;
type Factor = Params<AdminMethods, 'operator.add'>;

export async function addOperator({ api }: Client, name: string, options: OperatorOptions): Promise<void> {
  const { role, project } = options;
  if (!z.safeParse(operatorName, name).success) throw new UsageError('NAME is lower-case letters, digits, . _ -');
  // Asked first: a control plane that is away must not leave a factor without an API key.
  await api.whoami();
  const factor = await addFactor(await factorOf(name, options)).catch(async (error) => {
    if (options.generateKey !== undefined) await rm(options.generateKey, { force: true });
    throw error;
  });
  const apiKey = await createApiKey(() =>
    api.createOperator({
      name,
      ...(role === undefined ? {} : { role }),
      ...(project === undefined ? {} : { project }),
    }),
  );
  if (factor === null && apiKey === null) throw new Failure('ALREADY_EXISTS', { operator: name });
  const { totp_uri: totpUri = null, kid = null, recovery_codes: codes = [] } = factor ?? {};
  const invitation = factor?.passkey_invitation ?? null;
  print(name, { totpUri, kid, codes, invitation, apiKey }, options);
}

/** Replaces all that the operator proves with: for one who has lost it, by whoever may use this host. */
export async function recoverOperator(name: string, { json }: Readonly<{ json?: boolean }>): Promise<void> {
  const { totp_uri: totpUri, recovery_codes: codes } = await adminClient(pathsIn(dataFolder()).adminSocket)(
    'operator.recover',
    { name },
  );
  if (json) return writeJson({ event: 'recovered', name, totpUri, recoveryCodes: codes });
  writeLine(`Everything that ${name} proved with is gone. This was recorded, and told to the address that was known.`);
  showFactor(name, { totpUri, kid: null, codes, invitation: null });
  writeLine('Shown this once.');
}

/** Keys and passkeys of all operators: public, and the only factors that a machine can check. */
export async function exportOperators({ output, json }: Readonly<{ output: string; json?: boolean }>): Promise<void> {
  const { operators } = await adminClient(pathsIn(dataFolder()).adminSocket)('operator.keys', {});
  await writeFresh(output, `${JSON.stringify(operators)}\n`);
  const names = Object.keys(operators);
  if (json) writeJson({ event: 'exported', file: output, operators: names });
  else writeLine(`Wrote ${output}: ${names.length === 0 ? 'nobody has a key or a passkey' : names.join(', ')}.`);
}

async function factorOf(name: string, options: OperatorOptions): Promise<Factor> {
  if (options.email !== undefined) return { name, email: options.email };
  if (options.passkey) return { name, passkey: true };
  if (options.recoveryCodes) return { name, recovery: true };
  const key = await keyOf(options);
  return { name, ...(key ? { key } : {}) };
}

async function addFactor(factor: Factor) {
  const admin = adminClient(pathsIn(dataFolder()).adminSocket);
  try {
    return await admin('operator.add', factor);
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
  const seed = randomKernel()(32);
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

function print(
  name: string,
  { totpUri, kid, codes, invitation, apiKey }: Added,
  { json, generateKey, email }: OperatorOptions,
): void {
  if (json) {
    const keyFile = generateKey ?? null;
    writeJson({ event: 'operator', name, totpUri, kid, keyFile, recoveryCodes: codes, invitation, apiKey });
    return;
  }
  showFactor(name, { totpUri, kid, codes, invitation }, generateKey);
  if (email !== undefined) writeLine(`Codes for ${name} go to ${email}.`);
  if (apiKey === null) writeLine(`${name} keeps the API key that they have.`);
  else {
    writeLine(`API key of ${name}:`);
    writeLine(`  ${apiKey}`);
  }
  if (totpUri !== null || codes.length > 0 || invitation !== null || apiKey !== null) writeLine('Shown this once.');
}

function showFactor(name: string, { totpUri, kid, codes, invitation }: Omit<Added, 'apiKey'>, keyFile?: string): void {
  if (totpUri !== null) {
    writeLine(`Enter this into the authenticator of ${name}:`);
    writeLine(`  ${totpUri}`);
  }
  if (kid !== null) writeLine(`Registered the key ${kid}${keyFile ? `, written to ${keyFile}` : ''}.`);
  if (invitation !== null) {
    writeLine(`Invitation of ${name} to register a passkey, for 15 minutes (POST /v1/passkeys/options, /v1/passkeys):`);
    writeLine(`  ${invitation}`);
  }
  if (codes.length > 0) writeLine(`Recovery codes of ${name}, each for one use:`);
  for (const code of codes) writeLine(`  ${code}`);
}
