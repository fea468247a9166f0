// How an operator proves an intent at this command line: the method that was chosen, and the code or key that it takes. A
// passkey needs a browser, and is said to.

import { readFileSync, statSync } from 'node:fs';
import * as z from 'zod/mini';
import { type FactorMethod, factorMethods } from '../../protocol/command.ts';
import { Failure } from '../../protocol/failure.ts';
import { fromBase64url, type SigningKey, signingKeyFromSeed } from '../../protocol/keys.ts';
import { bytes32 } from '../../protocol/schema.ts';
import type { Secret } from '../../protocol/secret.ts';
import { askCode, canAsk, choose, normalCode, UsageError } from './prompts.ts';
import type { CodeMethod, Proof, ProofQuestion, ResetObserver } from './reset/request.ts';
import { printable, writeNote } from './view/text.ts';

/** `method`: absent where it is to be chosen among those that the intent allows. */
export type ProofOptions = Readonly<{ method?: FactorMethod; code?: string; codeStdin?: boolean; keyFile?: string }>;
/** As given on the command line. */
export type ProofFlags = Readonly<{ verify?: string; code?: string; codeStdin?: boolean; keyFile?: string }>;

const names: Readonly<Record<FactorMethod, string>> = {
  totp: 'Code of your authenticator',
  email: 'Code by mail',
  key: 'Key in a file (--key-file)',
  recovery: 'Recovery code',
  passkey: 'Passkey (in a browser)',
};

/** Throws a usage error for what contradicts itself, before anything is asked of the server. */
export function readProofFlags({ verify, code: given, codeStdin, keyFile }: ProofFlags): ProofOptions {
  if (verify !== undefined && !(factorMethods as readonly string[]).includes(verify)) {
    throw new UsageError(`--verify is one of ${factorMethods.join(', ')}`);
  }
  if ([given, codeStdin, keyFile].filter((way) => way !== undefined).length > 1) {
    throw new UsageError('--code, --code-stdin and --key-file exclude each other');
  }
  const method = (verify ?? (keyFile === undefined ? undefined : 'key')) as FactorMethod | undefined;
  if (method === 'passkey') throw new Failure('PASSKEY_NEEDS_BROWSER');
  if ((method === 'key') !== (keyFile !== undefined)) throw new UsageError('--verify key goes with --key-file');
  if (given !== undefined && method === 'email') {
    throw new UsageError('a code by mail is sent when the operation is known: give --code-stdin');
  }
  const codeMethod: CodeMethod = method === 'recovery' || method === 'email' ? method : 'totp';
  const code = given === undefined ? undefined : normalCode(given, codeMethod);
  if (given !== undefined && code === undefined) throw new UsageError(`--code has no such form (${names[codeMethod]})`);
  return {
    ...(method === undefined && code !== undefined ? { method: 'totp' as const } : {}),
    ...(method === undefined ? {} : { method }),
    ...(code === undefined ? {} : { code }),
    ...(codeStdin ? { codeStdin } : {}),
    ...(keyFile === undefined ? {} : { keyFile }),
  };
}

/** Where nobody can be asked, the proof must be there already. */
export function demandProof({ code, codeStdin, keyFile }: ProofOptions): void {
  if (code === undefined && !codeStdin && keyFile === undefined) {
    throw new UsageError('nobody can be asked here: give --code, --code-stdin or --key-file');
  }
}

/** `nextLine` reads a line of standard input. */
export async function openProver(
  options: ProofOptions,
  nextLine: () => Promise<Secret>,
): Promise<Pick<ResetObserver, 'prove' | 'retryProof'>> {
  const key = options.keyFile === undefined ? undefined : await readKeyFile(options.keyFile);
  let chosen = options.method;
  return {
    retryProof: options.code === undefined && !options.codeStdin && key === undefined,
    async prove(question): Promise<Proof> {
      if (key) return { method: 'key', key };
      chosen ??= await chooseMethod(question, options);
      const method = codeMethodOf(chosen);
      if (method === 'email' && question.attempt === 1) {
        if (!question.methods.includes('email')) throw new Failure('FACTOR_UNKNOWN', { method });
        writeNote(`A code was mailed to ${printable(await question.mail())}.`);
      }
      return { method, code: await readCode(question, method, options, nextLine) };
    },
  };
}

function codeMethodOf(method: FactorMethod): CodeMethod {
  if (method === 'passkey') throw new Failure('PASSKEY_NEEDS_BROWSER');
  if (method === 'key') throw new UsageError('this operator proves with a key: give --key-file');
  return method;
}

/** What was not said and cannot be asked is the authenticator's code, as it always was. */
async function chooseMethod({ methods }: ProofQuestion, { code, codeStdin }: ProofOptions): Promise<FactorMethod> {
  const here = methods.filter((method) => method !== 'passkey' && method !== 'key');
  const [only] = here;
  if (only === undefined) return methods.includes('key') ? 'key' : 'passkey';
  if (here.length === 1) return only;
  if (code !== undefined || codeStdin || !canAsk()) return here.includes('totp') ? 'totp' : only;
  return choose<FactorMethod>(
    'How do you verify this?',
    Object.fromEntries(here.map((method) => [method, names[method]])),
  );
}

async function readCode(
  { attempt, operation }: ProofQuestion,
  method: CodeMethod,
  { code, codeStdin }: ProofOptions,
  nextLine: () => Promise<Secret>,
): Promise<string> {
  if (code !== undefined) return code;
  if (codeStdin) {
    const line = await nextLine();
    const read = normalCode(line.reveal(), method);
    line.wipe();
    if (read === undefined) throw new UsageError(`standard input has no such code (${names[method]})`);
    return read;
  }
  const again = attempt === 1 ? '' : 'That code was not accepted. ';
  return askCode(`${again}${names[method]} for ${printable(operation.vm_name)}`, method);
}

const privateJwk = z.object({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), d: bytes32 });

/** A private Ed25519 JWK that nobody else on this machine can read. */
async function readKeyFile(path: string): Promise<SigningKey> {
  const refuse = (reason: string, cause?: unknown) =>
    new Failure('CONFIG_INVALID', { field: 'key-file', path, reason }, cause);
  let text: string;
  try {
    if ((statSync(path).mode & 0o077) !== 0) throw refuse('others may read it: chmod 600');
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw refuse((cause as NodeJS.ErrnoException).code ?? 'unreadable', cause);
  }
  try {
    return await signingKeyFromSeed(fromBase64url(z.parse(privateJwk, JSON.parse(text)).d));
  } catch {
    // Without the cause: a parser quotes what it read.
    throw refuse('not a private Ed25519 JWK');
  }
}
