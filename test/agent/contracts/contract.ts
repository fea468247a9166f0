// What a contract is: rules of a port, each with the way to see that it is kept. The same rules run on the fake and on
// the real adapter; a rule asserts with node:assert alone, because inside a guest there is no test runner.

import { rejects } from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { Code } from '../../../protocol/codes.ts';
import { Failure } from '../../../protocol/failure.ts';
import { Secret } from '../../../protocol/secret.ts';

/** `of`: the one system that has what the rule is about. */
export type Rule<S> = Readonly<{ title: string; run(subject: S): Promise<void>; of?: 'linux' }>;

/** Passes when the promise fails with this code and, where given, this reason. */
export async function refuses(act: Promise<unknown>, code: Code, reason?: string): Promise<void> {
  await rejects(act, (error: unknown) => {
    if (!(error instanceof Failure)) throw error;
    const seen = { code: error.code, reason: error.details.reason };
    if (seen.code !== code || (reason !== undefined && seen.reason !== reason)) {
      throw new Error(`expected ${code} ${reason ?? ''}, got ${seen.code} ${String(seen.reason)}`, { cause: error });
    }
    return true;
  });
}

/** A new password each time, with a letter and a digit among its first eight characters. */
export function drawSecret(extra = ''): Secret {
  return Secret.ofText(`q7${randomBytes(6).toString('base64url')}${extra}`);
}
