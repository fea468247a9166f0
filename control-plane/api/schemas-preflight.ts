// What the HTTP API gives of a preflight: the agent's rows with their codes in words, and the signed token that they are
// read from.

import { z } from 'zod';
import { verdicts } from '../../protocol/preflight.ts';
import { codeName, ed25519Jwk, operatorName, receiptToken, vmId } from '../../protocol/schema.ts';
import { vmName } from './schemas.ts';

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
export type PreflightView = z.infer<typeof preflightView>;
