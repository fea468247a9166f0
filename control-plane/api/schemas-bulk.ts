// What the HTTP API takes and gives of bulk submissions. Passwords are generated on each machine: what is typed is sealed to one
// executor, and has no place here.

import { z } from 'zod';
import { states } from '../../protocol/lifecycle.ts';
import { GRACE_S_MAX, INTENT_TTL_S_MAX, TARGETS_MAX } from '../../protocol/limits.ts';
import {
  accountName,
  agentId,
  bytes32,
  codeName,
  operationId,
  operatorName,
  projectName,
  vmId,
  vncServerId,
  x25519Jwk,
} from '../../protocol/schema.ts';
import { bulkStates } from '../core/bulk.ts';
import { next, pageQuery } from './pages.ts';
import { proofMethods, time, vmName } from './schemas.ts';
import { labelSelector } from './schemas-lists.ts';

export const CONCURRENCY_MAX = 100;
export const CONCURRENCY = 10;

export const bulkParams = z.strictObject({ bulk: operationId });

/** `POST /v1/bulk`: machines of one project, by their labels or one by one, and what is to be reset on each of them. */
export const bulkRequest = z
  .strictObject({
    project: z.optional(projectName),
    label: labelSelector.optional(),
    /** Ids or names. */
    vms: z.array(z.string().min(1).max(80)).min(1).max(TARGETS_MAX).optional(),
    account: z
      .strictObject({
        /** Absent or `null`: the default administrator of each. */
        name: z.nullable(accountName).optional(),
        unlock: z.boolean().optional(),
      })
      .optional(),
    vnc: z.strictObject({ server: z.nullable(vncServerId).optional(), restart: z.boolean().optional() }).optional(),
    reboot: z.strictObject({ grace_s: z.number().int().min(0).max(GRACE_S_MAX).optional() }).optional(),
    /** So many machines may be at work at a time. One that does not come back keeps its place. */
    concurrency: z.number().int().min(1).max(CONCURRENCY_MAX).optional(),
  })
  .refine(({ label, vms }) => (label === undefined) !== (vms === undefined), { path: ['label'] })
  .refine(({ account, vnc }) => account !== undefined || vnc !== undefined, { path: ['account'] });
export type BulkRequest = z.infer<typeof bulkRequest>;

const slot = z.strictObject({
  secret: z.strictObject({ mode: z.literal('generated'), recipient_jwk: x25519Jwk }),
});

/** `POST /v1/bulk/{bulk}/intent`: the slots are those of the draft; every machine seals to the same recipient. */
export const bulkIntentRequest = z.strictObject({
  account: slot.optional(),
  vnc: slot.optional(),
  /** How long the proof may wait for machines that are away or whose turn has not come, from now. */
  valid_s: z.number().int().min(60).max(INTENT_TTL_S_MAX).optional(),
});
export type BulkIntentRequest = z.infer<typeof bulkIntentRequest>;

/** `POST` and `GET /v1/bulk/{bulk}/intent` */
export const bulkIntent = z.strictObject({
  /** The intent's bytes, base64url: they name every machine. */
  intent: z.string().regex(/^[A-Za-z0-9_-]+$/),
  intent_hash: bytes32,
  not_after: time,
  awaits: z.enum(['first', 'second']).nullable(),
  /** What this operator may prove it with. */
  methods: z.array(proofMethods),
});
export type BulkIntent = z.infer<typeof bulkIntent>;

const bulkHead = {
  bulk: operationId,
  project: projectName,
  operator: operatorName,
  state: z.enum(bulkStates),
  account: z.strictObject({ name: z.nullable(accountName), unlock: z.boolean() }).nullable(),
  vnc: z.strictObject({ server: z.nullable(vncServerId), restart: z.boolean() }).nullable(),
  grace_s: z.number().int().min(0),
  concurrency: z.number().int().min(1),
  /** How many the intent names, and how many of them have not ended. */
  machines: z.number().int().min(0),
  working: z.number().int().min(0),
  intent_hash: z.nullable(bytes32),
  not_after: time.nullable(),
  awaits_second: z.boolean(),
  /** Why nothing can prove it any more. */
  code: z.nullable(codeName),
  created_at: time,
  approved_at: time.nullable(),
  stopped_at: time.nullable(),
  stopped_by: z.nullable(operatorName),
};

/** One for each machine that was chosen. Without an operation it was left out, or nothing was proven yet. */
export const bulkResult = z.strictObject({
  vm: vmId,
  vm_name: vmName,
  agent: z.nullable(agentId),
  op: z.nullable(operationId),
  state: z.enum(states).nullable(),
  ended: z.boolean(),
  code: z.nullable(codeName),
  warnings: z.array(codeName),
});
export type BulkResult = z.infer<typeof bulkResult>;

export const bulkView = z.strictObject({ ...bulkHead, results: z.array(bulkResult) });
export type BulkView = z.infer<typeof bulkView>;
export const bulkSummary = z.strictObject(bulkHead);

/** `GET /v1/bulk` */
export const bulkQuery = z.strictObject({ project: z.optional(projectName), ...pageQuery });
export const bulkList = z.strictObject({ items: z.array(bulkSummary), next });
