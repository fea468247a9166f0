// What the HTTP API gives of a preflight: the agent's rows with their codes in words, and the signed token that they are
// read from.

import { z } from 'zod';
import { TARGETS_MAX } from '../../protocol/limits.ts';
import { verdicts } from '../../protocol/preflight.ts';
import { codeName, ed25519Jwk, operatorName, projectName, receiptToken, vmId } from '../../protocol/schema.ts';
import { vmName } from './schemas.ts';
import { CONCURRENCY_MAX } from './schemas-bulk.ts';
import { labelSelector } from './schemas-lists.ts';

export const preflightCheckView = z.strictObject({
  name: z.string(),
  verdict: z.enum(verdicts),
  code: z.nullable(codeName),
  reason: z.string().nullable(),
  about: z.string().nullable(),
  title: z.string(),
  sentence: z.string(),
  hint: z.string(),
});

/** `GET` and `POST /v1/vms/{vm}/preflight`: the newest answer to "can this machine be reset now". */
export const preflightView = z.strictObject({
  vm: vmId,
  vm_name: vmName,
  at: z.iso.datetime(),
  /** Who asked. */
  operator: operatorName,
  /** Why the agent gave no signed answer; `null` where it did. */
  code: z.nullable(codeName),
  /** Whether a reset of the account's password, and one of the VNC password, would go through for what was found. */
  can: z.strictObject({ account: z.boolean(), vnc: z.boolean() }),
  checks: z.array(preflightCheckView),
  left_out: z.number().int().min(0),
  /** The agent's signed `lk-preflight+jws`: verify it with `ek`. */
  token: z.nullable(receiptToken),
  ek: ed25519Jwk,
});
/** `POST /v1/preflights`: machines of one project, by their labels or one by one. */
export const preflightsRequest = z
  .strictObject({
    project: z.optional(projectName),
    label: labelSelector.optional(),
    vms: z.array(z.string().min(1).max(80)).min(1).max(TARGETS_MAX).optional(),
    concurrency: z.number().int().min(1).max(CONCURRENCY_MAX).optional(),
  })
  .refine(({ label, vms }) => (label === undefined) !== (vms === undefined), { path: ['label'] });

/** One line of its answer, for one machine; without an `answer` the code says what kept it from one. */
export type PreflightLine = Readonly<
  Pick<PreflightView, 'vm' | 'vm_name' | 'code' | 'can'> & { answer: PreflightView | null }
>;
export type PreflightView = z.infer<typeof preflightView>;
