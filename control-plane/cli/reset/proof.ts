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

export function proveAndSubmit(
  { api }: Client,
  { op, operation, operator }: ToProve,
  submission: Submission,
): Promise<OperationView> {
  const door: Door<OperationView> = {
    mail: async () => (await api.mailCode(op)).sent_to,
    submit: (body) => api.submit(op, body),
    look: () => api.operation(op),
    isIn: ({ approved }) => approved,
    isOver: ({ ended }) => ended,
  };
  return proveThrough(door, { operation, operator }, submission);
}

/** Where a proof is handed in, and where it is seen whether it arrived. */
export type Door<T> = Readonly<{
  mail(): Promise<string>;
  submit(body: SubmitRequest): Promise<T>;
  look(): Promise<T>;
  isIn(view: T): boolean;
  isOver(view: T): boolean;
}>;

export async function proveThrough<T>(
  door: Door<T>,
  { operation, operator }: Readonly<{ operation: Pick<OperationView, 'vm_name'>; operator: string }>,
  { observer, checked, methods }: Submission,
): Promise<T> {
  if (methods.length === 0) throw new Failure('FACTOR_UNKNOWN', { operator });
  const mail = () => door.mail();
  for (let attempt = 1; ; attempt += 1) {
    const proof = await observer.prove({ operation, intentHash: checked.hash, methods, attempt, mail });
    if (!methods.includes(proof.method)) throw new Failure('FACTOR_UNKNOWN', { method: proof.method });
    try {
      return await submit(door, await proofBody(proof, checked));
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
async function submit<T>(door: Door<T>, body: SubmitRequest): Promise<T> {
  try {
    return await door.submit(body);
  } catch (error) {
    if (codeOf(error) !== 'SERVER_UNREACHABLE') throw error;
    for (let tries = 0; tries < LOST_ANSWER_TRIES; tries += 1) {
      await sleep(LOST_ANSWER_PAUSE_MS);
      const view = await door.look().catch(() => undefined);
      if (view !== undefined && door.isIn(view)) return view;
      if (view !== undefined && door.isOver(view)) break;
    }
    throw error;
  }
}
