// `latchkey keys init` and `latchkey keys ceremony`: what is done with root keys, on a machine that needs no network and
// no control plane. Everything is a file; the private ones never leave the machine that made them.

import { open } from 'node:fs/promises';
import * as z from 'zod/mini';
import { Failure } from '../../../protocol/failure.ts';
import { signingKeyFromSeed } from '../../../protocol/keys.ts';
import { type Operators, openRoot, operators, type RootPayload } from '../../../protocol/root.ts';
import { type Ed25519Jwk, ed25519Jwk, parseSchema } from '../../../protocol/schema.ts';
import { readKey, writeKey } from '../../config/key-file.ts';
import { randomKernel } from '../../config/random-kernel.ts';
import { readConfigured } from '../client/private-files.ts';
import { writeJson, writeLine } from '../view/text.ts';
import { fingerprintOf } from './fingerprint.ts';
import { complete, type Draft, draftOf, nextRoot, readDraft, sign } from './root-draft.ts';
import { describeRoot } from './root-text.ts';

const DAY_S = 86_400;
const publicFile = z.strictObject({ v: z.literal(1), kid: z.string(), jwk: ed25519Jwk });

type Json = Readonly<{ json?: boolean }>;

/** Makes an offline root key: FILE for its keeper alone, FILE.pub for the ceremony. */
export async function makeRootKey(path: string, { json }: Json): Promise<void> {
  const seed = randomKernel()(32);
  const { kid, jwk } = await signingKeyFromSeed(Uint8Array.from(seed));
  // Never over another key: it may be the only copy.
  await writeFresh(path, '');
  writeKey(path, seed);
  seed.fill(0);
  await writeFresh(`${path}.pub`, `${JSON.stringify({ v: 1, kid, jwk })}\n`);
  if (json) writeJson({ event: 'key', kid, file: path, public: `${path}.pub` });
  else {
    writeLine(`Made root key ${kid}.`);
    writeLine(
      `${path} is the private half: keep it offline, on encrypted media, with a copy. ${path}.pub is for the ceremony.`,
    );
  }
}

export type DraftOptions = Json &
  Readonly<{
    root: string;
    rootKey?: string[];
    threshold?: number;
    command?: string;
    session?: string;
    channelBinding?: 'off' | 'required';
    operators?: string;
    operatorProof?: 'off' | 'required';
    days: number;
    output: string;
  }>;

export async function draftRoot(options: DraftOptions): Promise<void> {
  const current = await readRoot(options.root);
  const root = await nextRoot(current, {
    expires: Math.floor(Date.now() / 1000) + options.days * DAY_S,
    ...(options.rootKey ? { rootKeys: await Promise.all(options.rootKey.map(readPublic)) } : {}),
    ...(options.threshold === undefined ? {} : { threshold: options.threshold }),
    ...(options.command === undefined ? {} : { command: await readPublic(options.command) }),
    ...(options.session === undefined ? {} : { session: await readPublic(options.session) }),
    ...(options.channelBinding ? { channelBinding: options.channelBinding } : {}),
    ...(options.operators === undefined ? {} : { operators: await readOperators(options.operators) }),
    ...(options.operatorProof ? { operatorProof: options.operatorProof === 'required' } : {}),
  });
  await writeFresh(options.output, text(draftOf(root)));
  show(root, draftOf(root), options);
  if (!options.json)
    writeLine(`Wrote ${options.output}. Sign it with: latchkey keys ceremony sign ${options.output} --key FILE`);
}

export async function signRootDraft(path: string, { key, json }: Json & Readonly<{ key: string }>): Promise<void> {
  const { draft, root } = readDraft(await readConfigured(path, 'draft'));
  const signer = await readKey(key);
  const signed = await sign(draft, root, signer);
  await replace(path, text(signed));
  show(root, signed, { json: json ?? false });
}

/** Says whether a draft may be published after `root`; throws `ROOT_THRESHOLD` and the like where it may not. */
export async function checkDraft(path: string, { root: file, json }: Json & Readonly<{ root: string }>): Promise<void> {
  const { draft, root } = readDraft(await readConfigured(path, 'draft'));
  const current = await readRoot(file);
  await complete(current, draft);
  show(root, draft, { json: json ?? false });
  if (!json) writeLine(`It follows version ${current.version} and is signed by enough keys of both.`);
}

/** A root as it was exported, proven by its own threshold. */
export async function readRoot(path: string): Promise<RootPayload> {
  return openRoot(parsed(await readConfigured(path, 'root'), path));
}

export function text(document: object): string {
  return `${JSON.stringify(document)}\n`;
}

export function show(root: RootPayload, draft: Draft, { json }: Json): void {
  const [fingerprint, signatures] = [fingerprintOf(draft), draft.signatures.length];
  if (json) writeJson({ event: 'root', version: root.version, expires: root.expires, fingerprint, signatures });
  else writeLine(describeRoot(root, draft));
}

async function readOperators(path: string): Promise<Operators> {
  try {
    return parseSchema(operators, parsed(await readConfigured(path, 'operators'), path));
  } catch (cause) {
    if (cause instanceof Failure && cause.code === 'CONFIG_INVALID') throw cause;
    throw new Failure('CONFIG_INVALID', { path, reason: 'not what `latchkey operator export` wrote' }, cause);
  }
}

async function readPublic(path: string): Promise<Ed25519Jwk> {
  try {
    return parseSchema(publicFile, parsed(await readConfigured(path, 'public key'), path)).jwk;
  } catch (cause) {
    if (cause instanceof Failure && cause.code === 'CONFIG_INVALID') throw cause;
    throw new Failure('CONFIG_INVALID', { path, reason: 'not the .pub file of a key' }, cause);
  }
}

function parsed(content: string, path: string): unknown {
  try {
    return JSON.parse(content);
  } catch (cause) {
    throw new Failure('CONFIG_INVALID', { path, reason: 'json' }, cause);
  }
}

export function writeFresh(path: string, content: string): Promise<void> {
  return write(path, content, 'wx');
}

function replace(path: string, content: string): Promise<void> {
  return write(path, content, 'w');
}

async function write(path: string, content: string, flag: 'w' | 'wx'): Promise<void> {
  try {
    const file = await open(path, flag, 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'unknown';
    if (reason === 'EEXIST') throw new Failure('ALREADY_EXISTS', { path }, cause);
    throw new Failure('PATH_UNWRITABLE', { path, reason }, cause);
  }
}
