// A proof of an intent that was compared before: asks the operator for it, hands it in for that intent alone, and asks again
// for a code that was mistyped. It is never sent twice.

import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, Failure } from '../../../protocol/failure.ts';
import { toBase64url } from '../../../protocol/keys.ts';
import type { IntentResponse, OperationView, SubmitRequest } from '../../api/schemas.ts';
import type { Client } from '../client/client.ts';
import type { CheckedIntent } from './intent-check.ts';
import type { Proof, ResetObserver } from './request.ts';

/** How long a lost answer to a submission is looked for before the submission counts as failed. */
const LOST_ANSWER_TRIES = 12;
const LOST_ANSWER_PAUSE_MS = 2_500;
/** Wrong codes allowed before the signer locks the operation: it counts itself, this only ends the loop. */
const ATTEMPTS_MAX = 5;

export type ToProve = Readonly<{ op: string; operation: OperationView; operator: string }>;
type Submission = Readonly<{
  observer: Pick<ResetObserver, 'prove' | 'retryProof'>;
  checked: Pick<CheckedIntent, 'hash' | 'hashBytes'>;
  methods: IntentResponse['methods'];
}>;

export async function proveAndSubmit(
  client: Client,
  { op, operation, operator }: ToProve,
  { observer, checked, methods }: Submission,
): Promise<OperationView> {
  if (methods.length === 0) throw new Failure('FACTOR_UNKNOWN', { operator });
  const mail = async () => (await client.api.mailCode(op)).sent_to;
  for (let attempt = 1; ; attempt += 1) {
    const proof = await observer.prove({ operation, intentHash: checked.hash, methods, attempt, mail });
    if (!methods.includes(proof.method)) throw new Failure('FACTOR_UNKNOWN', { method: proof.method });
    try {
      return await submit(client, op, await proofBody(proof, checked));
    } catch (error) {
      const again = codeOf(error) === 'FACTOR_REFUSED' && observer.retryProof && attempt < ATTEMPTS_MAX;
      if (!again) throw error;
    }
  }
}

export async function proofBody(proof: Proof, { hash, hashBytes }: Submission['checked']): Promise<SubmitRequest> {
  if (proof.method !== 'key') return { method: proof.method, code: proof.code, intent_hash: hash };
  const signature = await crypto.subtle.sign('Ed25519', proof.key.privateKey, Uint8Array.from(hashBytes));
  return { method: 'key', kid: proof.key.kid, sig: toBase64url(new Uint8Array(signature)), intent_hash: hash };
}

/** A lost answer does not mean a lost submission: whether it arrived is looked up. */
async function submit(client: Client, op: string, body: SubmitRequest): Promise<OperationView> {
  try {
    return await client.api.submit(op, body);
  } catch (error) {
    if (codeOf(error) !== 'SERVER_UNREACHABLE') throw error;
    for (let tries = 0; tries < LOST_ANSWER_TRIES; tries += 1) {
      await sleep(LOST_ANSWER_PAUSE_MS);
      const view = await client.api.operation(op).catch(() => undefined);
      if (view?.approved) return view;
      if (view?.ended) break;
    }
    throw error;
  }
}
