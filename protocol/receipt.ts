// Receipts: what the executor says of an operation, signed by its own key and chained. An acknowledged receipt is one that
// the control plane has stored durably.

import * as z from 'zod/mini';
import { agentState } from './lifecycle.ts';
import {
  accountName,
  agentId,
  bootId,
  bytes32,
  codeName,
  counter,
  operationId,
  sealedSecret,
  vncServerId,
} from './schema.ts';

/** What was proven so far: by use before the reboot, by unchanged evidence and a handshake after it. */
export const verified = z.strictObject({
  account: z.nullable(z.boolean()),
  vnc: z.union([z.boolean(), z.literal('absent'), z.null()]),
  reboot: z.boolean(),
});
export type Verified = z.infer<typeof verified>;

/**
 * Where the VNC secret stands. `written`: in its files, and nothing more is known, since the process that wrote it was cut
 * off. `verified`: the server takes the new one and, where that could be asked, no longer the old one. `old_accepted`: the
 * server still takes the old one. `restart_required`: it reads its password at its start alone. `unverifiable`: it said
 * nothing that would tell; the reason says why.
 */
export const vncStates = ['written', 'verified', 'old_accepted', 'restart_required', 'unverifiable'] as const;
export type VncState = (typeof vncStates)[number];

const detail = z.strictObject({
  account: z.optional(accountName),
  vnc: z.optional(vncServerId),
  verified: z.optional(verified),
  vnc_state: z.optional(z.enum(vncStates)),
  /** How many bytes of a VNC password count, where that is fewer than it may have. */
  effective: z.optional(counter),
  boot_before: z.optional(bootId),
  boot_after: z.optional(bootId),
  /** When the grace period ends, in seconds from this receipt. */
  grace_s: z.optional(counter),
  /** How often the reboot was asked for. */
  attempt: z.optional(counter),
  /** A short word beside the code, such as `policy`. */
  reason: z.optional(z.string().check(z.regex(/^[A-Za-z0-9_.:-]{1,64}$/))),
});
export type ReceiptDetail = z.infer<typeof detail>;

export const receipt = z.strictObject({
  v: z.literal(1),
  op: operationId,
  agent: agentId,
  /** Counts this operation's receipts from 1. */
  n: z.int().check(z.gte(1)),
  /** SHA-256 of the previous receipt's payload; of the empty text for the first. */
  prev: bytes32,
  state: agentState,
  code: z.nullable(codeName),
  warnings: z.array(codeName).check(z.maxLength(16)),
  /** The command's payload hash. */
  cmd_sha256: bytes32,
  cn: bytes32,
  boot: bootId,
  /** Milliseconds of the guest's monotonic clock: orders receipts of one boot, and is no time of day. */
  mono: counter,
  detail,
  sealed: z.optional(z.strictObject({ account: z.optional(sealedSecret), vnc: z.optional(sealedSecret) })),
});
export type Receipt = z.infer<typeof receipt>;

/** `prev` of an operation's first receipt: SHA-256 of nothing. */
export const RECEIPT_GENESIS = '47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU';
