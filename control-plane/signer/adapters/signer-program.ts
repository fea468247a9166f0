// The command key behind a program of the operator's own (`--command-key-program`): one process a question, one line of JSON in,
// one out. Whatever it talks to, a KMS, an HSM, a smart card, its answers are checked before they are believed.
//
//   {"v":1,"do":"keys"}                                                        → {"v":1,"keys":[<public JWK>, …]}
//   {"v":1,"do":"sign","kid":…,"purpose":"lk-command+jws","bytes":<base64url>} → {"v":1,"sig":<base64url>}
//
// Any other exit status than 0 means that it could not; its standard error goes to the log of the signer.

import { spawnSync } from 'node:child_process';
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { z } from 'zod';
import { Failure } from '../../../protocol/failure.ts';
import { fromBase64url, thumbprint, toBase64url } from '../../../protocol/keys.ts';
import { ed25519Jwk } from '../../../protocol/schema.ts';
import type { ProcessUser } from '../../config/users.ts';
import type { HeldKey, Signer } from '../ports/signer.ts';

/** Twice this is shorter than whoever asked the signer waits: a signature, and the row that records it. */
const ANSWER_MS_MAX = 2_000;
const ANSWER_BYTES_MAX = 16_384;

const keysAnswer = z.strictObject({ v: z.literal(1), keys: z.array(ed25519Jwk).min(1).max(16) });
const signAnswer = z.strictObject({ v: z.literal(1), sig: z.string().regex(/^[A-Za-z0-9_-]{86}$/) });

/** `user`: who the program is to be, where this process is still root. */
export function programSigner(program: string, user: ProcessUser | null = null, answerMsMax = ANSWER_MS_MAX): Signer {
  const ask = <S extends z.ZodType>(schema: S, request: object): z.output<S> => {
    const parsed = schema.safeParse(
      parse(run(program, user, answerMsMax, `${JSON.stringify({ v: 1, ...request })}\n`)),
    );
    if (!parsed.success) throw new Failure('KEY_UNAVAILABLE', { reason: 'answer' });
    return parsed.data;
  };
  const known = new Map<string, KeyObject>();
  return {
    async keys(): Promise<readonly HeldKey[]> {
      const { keys } = ask(keysAnswer, { do: 'keys' });
      const held = new Map<string, HeldKey>();
      for (const jwk of keys) {
        const kid = await thumbprint(jwk);
        held.set(kid, { kid, jwk });
        known.set(kid, createPublicKey({ key: jwk, format: 'jwk' }));
      }
      return [...held.values()];
    },
    sign(kid, purpose, bytes) {
      const key = known.get(kid);
      if (!key) throw new Failure('KID_UNKNOWN', { kid: kid.slice(0, 8) });
      const { sig } = ask(signAnswer, { do: 'sign', kid, purpose, bytes: toBase64url(bytes) });
      const signature = fromBase64url(sig);
      if (!verify(null, bytes, key, signature)) throw new Failure('KEY_UNAVAILABLE', { reason: 'signature' });
      return signature;
    },
  };
}

function run(program: string, user: ProcessUser | null, timeout: number, input: string): string {
  const { error, status, stdout } = spawnSync(program, [], {
    input,
    stdio: ['pipe', 'pipe', 'inherit'],
    encoding: 'utf8',
    cwd: '/',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    timeout,
    killSignal: 'SIGKILL',
    maxBuffer: ANSWER_BYTES_MAX,
    ...(user ?? {}),
  });
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  // It need not read all of what it is asked.
  if (error && code !== 'EPIPE') throw new Failure('KEY_UNAVAILABLE', { reason: code ?? 'error' }, error);
  if (status !== 0) throw new Failure('KEY_UNAVAILABLE', { reason: 'exit', status });
  return stdout;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
