// What the contract says of one request, and codes that requests have in common.

import type { Code } from '../../protocol/codes.ts';

export type Entry = Readonly<{
  /** Unique, and never changed: generated clients name their functions by it. */
  id: string;
  tag: Tag;
  summary: string;
  /** Beside those that every request may meet. */
  codes: readonly Code[];
  /** Without an API key. */
  open?: true;
  /** Of an answer that no schema describes. */
  type?:
    | 'text/event-stream'
    | 'application/x-ndjson'
    | 'text/html'
    | 'text/css'
    | 'text/javascript'
    | 'application/json';
  /** It sends a browser on, and answers nothing else. */
  moves?: true;
}>;

export const tags = {
  machines: 'Virtual machines, whether they can be reset now, and letting a held identity in again.',
  operations: 'Resets: draft, intent, proof, and what became of them.',
  webhooks: 'What happens, sent to receivers as signed messages (Standard Webhooks), and what became of each.',
  bulk: 'One proof for many machines: at most 500, so many at a time, with a stop and one result for each.',
  events: 'What happens, as server-sent events that a client may take up again where it stopped.',
  enrolment: 'Join tokens, with which machines enrol, and what they trust.',
  operators: 'Those who approve resets, and their passkeys.',
  people:
    'Signing in and out, and coming by invitation. What is here is for browsers: it sets and reads the cookie of a session.',
  service: 'This service itself.',
} as const;
export type Tag = keyof typeof tags;

/** Of what takes an idempotency key. */
export const madeOnce = ['IDEMPOTENCY_KEY_REUSED', 'IDEMPOTENCY_RUNNING'] as const satisfies readonly Code[];
export const throughSigner = ['SIGNER_UNAVAILABLE'] as const satisfies readonly Code[];
export const onOperation = ['NOT_FOUND', 'STATE_CONFLICT', 'REROOT_REFUSED'] as const satisfies readonly Code[];
/** What the signer may say of a proof. */
export const onProof = [
  ...throughSigner,
  'AUTHZ_INVALID',
  'EXPIRED',
  'FACTOR_LOCKED',
  'FACTOR_NOT_ALLOWED',
  'FACTOR_REFUSED',
  'FACTOR_UNKNOWN',
  'STATE_CONFLICT',
] as const satisfies readonly Code[];
export const onCeremony = [
  ...throughSigner,
  'AUTHZ_INVALID',
  'EXPIRED',
  'FACTOR_LOCKED',
  'FACTOR_NOT_ALLOWED',
  'FACTOR_UNKNOWN',
] as const satisfies readonly Code[];
