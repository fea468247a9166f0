// The journal's lines: how a record becomes one and how the hash chain over them is read. Pure.
//
// A line is `{"prev":HASH,"record":{…}}`, where HASH is SHA-256, in base64url, of the bytes of the line before it without
// its newline; of no bytes for the first line. The head is the hash that the next line will carry.

import { createHash } from 'node:crypto';
import { Failure } from '../../protocol/failure.ts';
import type { JournalRecord } from '../ports/journal.ts';

export const GENESIS = hashLine(new Uint8Array());
/** A record is a receipt and a few facts; a longer line was not written by this program. */
export const LINE_BYTES_MAX = 65_536;
const NEWLINE = 0x0a;

export type Chain = Readonly<{
  records: readonly JournalRecord[];
  head: string;
  /** The bytes that hold whole lines; what is beyond them was being written when the machine stopped. */
  bytes: number;
  torn: boolean;
}>;

export function formatLine(prev: string, record: JournalRecord): Buffer {
  const line = Buffer.from(`${JSON.stringify({ prev, record })}\n`);
  if (line.length > LINE_BYTES_MAX) throw new RangeError('record');
  return line;
}

export function hashLine(line: Uint8Array): string {
  return createHash('sha256').update(line).digest('base64url');
}

/** Throws `JOURNAL_UNSAFE` for a break anywhere but in an unfinished last line. */
export function readChain(content: Uint8Array): Chain {
  const records: JournalRecord[] = [];
  let head = GENESIS;
  let start = 0;
  for (let end = content.indexOf(NEWLINE); end !== -1; end = content.indexOf(NEWLINE, start)) {
    const line = content.subarray(start, end);
    const parsed = parseLine(line);
    // A last line may have reached its length before its bytes: then nobody was ever told of it.
    if (parsed === undefined && end + 1 === content.length) break;
    if (parsed === undefined || parsed.prev !== head) throw unsafe('chain', records.length);
    records.push(parsed.record);
    head = hashLine(line);
    start = end + 1;
  }
  return { records, head, bytes: start, torn: start !== content.length };
}

function parseLine(line: Uint8Array): { prev: string; record: JournalRecord } | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(line));
    if (!isObject(value) || typeof value.prev !== 'string' || !isObject(value.record)) return undefined;
    return { prev: value.prev, record: value.record };
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function unsafe(reason: string, line: number): Failure {
  return new Failure('JOURNAL_UNSAFE', { reason, line });
}
