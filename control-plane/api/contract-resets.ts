// The contract of operations and of bulk submissions.

import { type Entry, madeOnce, onCeremony, onOperation, onProof, throughSigner } from './contract-entry.ts';

export const operations = {
  'POST /v1/operations': {
    id: 'createOperation',
    tag: 'operations',
    summary: 'Drafts a reset. Nothing is done before an operator has proven it.',
    codes: ['NOT_FOUND', 'BUSY', 'AGENT_QUARANTINED', 'NOT_ENROLLED', 'REROOT_REFUSED', ...madeOnce],
  },
  'GET /v1/operations': {
    id: 'listOperations',
    tag: 'operations',
    summary: 'The operations, newest first.',
    codes: ['NOT_FOUND'],
  },
  'GET /v1/operations/:op': {
    id: 'getOperation',
    tag: 'operations',
    summary: 'One operation, with its receipts.',
    codes: ['NOT_FOUND'],
  },
  'POST /v1/operations/:op/intent': {
    id: 'buildIntent',
    tag: 'operations',
    summary: 'Writes the bytes that the operator will prove; a new intent voids the one before.',
    codes: [...onOperation, 'AGENT_QUARANTINED', 'AGENT_OFFLINE', 'READY_EXPIRED', 'FACTOR_LOCKED', ...throughSigner],
  },
  'GET /v1/operations/:op/intent': {
    id: 'getIntent',
    tag: 'operations',
    summary: 'The intent, for whoever has to prove it.',
    codes: ['NOT_FOUND', 'AUTHZ_INVALID', ...throughSigner],
  },
  'POST /v1/operations/:op/factors/email': {
    id: 'mailCode',
    tag: 'operations',
    summary: 'Mails the operator a code that proves this intent and nothing else.',
    codes: [...onOperation, ...onCeremony, 'MAIL_UNAVAILABLE'],
  },
  'POST /v1/operations/:op/factors/passkey': {
    id: 'beginPasskeyProof',
    tag: 'operations',
    summary: 'Options for `navigator.credentials.get`, bound to this intent.',
    codes: [...onOperation, ...onCeremony],
  },
  'POST /v1/operations/:op/submit': {
    id: 'submitOperation',
    tag: 'operations',
    summary: 'Proves the intent. With every proof that policy asks for, the reset begins.',
    codes: [...onOperation, ...onProof, 'BUSY', 'AGENT_QUARANTINED', 'READY_EXPIRED'],
  },
  'POST /v1/operations/:op/cancel': {
    id: 'cancelOperation',
    tag: 'operations',
    summary: 'Ends what has not begun to change the machine.',
    codes: onOperation,
  },
  'POST /v1/operations/:op/collected': {
    id: 'markCollected',
    tag: 'operations',
    summary: 'Says that the sealed secrets were received; they are deleted here.',
    codes: onOperation,
  },
} as const satisfies Record<string, Entry>;

export const bulk = {
  'POST /v1/bulk': {
    id: 'createBulk',
    tag: 'bulk',
    summary: 'Drafts a reset of many machines of one project.',
    codes: ['NOT_FOUND', 'AGENT_QUARANTINED', 'NOT_ENROLLED', 'REROOT_REFUSED', ...madeOnce],
  },
  'GET /v1/bulk': { id: 'listBulks', tag: 'bulk', summary: 'Bulk submissions, newest first.', codes: ['NOT_FOUND'] },
  'GET /v1/bulk/:bulk': {
    id: 'getBulk',
    tag: 'bulk',
    summary: 'One bulk submission, with one result for each machine.',
    codes: ['NOT_FOUND'],
  },
  'POST /v1/bulk/:bulk/intent': {
    id: 'buildBulkIntent',
    tag: 'bulk',
    summary: 'Writes the bytes that the operator will prove, once for all machines.',
    codes: [...onOperation, 'EXPIRED', 'FACTOR_LOCKED', 'AUTHZ_INVALID', ...throughSigner],
  },
  'GET /v1/bulk/:bulk/intent': {
    id: 'getBulkIntent',
    tag: 'bulk',
    summary: 'The intent, for whoever has to prove it.',
    codes: ['NOT_FOUND', 'AUTHZ_INVALID', ...throughSigner],
  },
  'POST /v1/bulk/:bulk/factors/email': {
    id: 'mailBulkCode',
    tag: 'bulk',
    summary: 'Mails the operator a code that proves this intent and nothing else.',
    codes: [...onOperation, ...onCeremony, 'MAIL_UNAVAILABLE'],
  },
  'POST /v1/bulk/:bulk/factors/passkey': {
    id: 'beginBulkPasskeyProof',
    tag: 'bulk',
    summary: 'Options for `navigator.credentials.get`, bound to this intent.',
    codes: [...onOperation, ...onCeremony],
  },
  'POST /v1/bulk/:bulk/submit': {
    id: 'submitBulk',
    tag: 'bulk',
    summary: 'Proves the intent, once. Then each machine has an operation, and so many are at work at a time.',
    codes: [...onOperation, ...onProof],
  },
  'POST /v1/bulk/:bulk/stop': {
    id: 'stopBulk',
    tag: 'bulk',
    summary: 'Ends what has not been sent to its machine; what was sent goes on.',
    codes: onOperation,
  },
} as const satisfies Record<string, Entry>;
