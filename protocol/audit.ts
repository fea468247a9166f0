// The audit as it is shown to others: rows in a chain of hashes, each sealed by the command key of its time. Whoever has the
// first root, or any later one, can check all of it with public keys alone.

import * as z from 'zod/mini';
import { bytes32, compactToken, counter, operationId, operatorName, seconds, text } from './schema.ts';

/** `prev` of the first row. */
export const AUDIT_GENESIS = '';

export const auditRow = z.strictObject({
  /** Counts rows from 1. */
  n: z.int().check(z.gte(1)),
  at: seconds,
  kind: text(/^[a-z_]{1,32}\.[a-z_]{1,32}$/),
  op: z.nullable(operationId),
  operator: z.nullable(operatorName),
  /** JSON, as it was written: what the hash covers is this text. */
  data: z.string(),
  /** The hash of the row before. */
  prev: z.union([bytes32, z.literal(AUDIT_GENESIS)]),
  hash: bytes32,
  /** An `lk-audit+jws`; `null` in rows of a version that sealed none, which can come first only. */
  sig: z.nullable(compactToken),
});
export type AuditRow = z.infer<typeof auditRow>;

/** The seal of one row, or of the end of an export. */
export const auditSeal = z.strictObject({
  v: z.literal(1),
  is: z.enum(['row', 'end']),
  n: z.int().check(z.gte(1)),
  hash: bytes32,
  /** Of a row, its own time; of an end, that of the export. */
  at: seconds,
});

/** The last line of an export. */
export const auditEnd = z.strictObject({ end: compactToken });

/** What a row's hash covers: everything in it but the hash and its seal. */
export function auditText({ n, at, kind, op, operator, data, prev }: Omit<AuditRow, 'hash' | 'sig'>): string {
  return JSON.stringify([n, at, kind, op, operator, data, prev]);
}

/** The data of `root.published`: the roots since the one before, in order; `version` is that of the last. */
export const rootData = z.strictObject({ version: counter, documents: z.array(z.unknown()) });
