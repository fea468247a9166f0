// JSON payloads as bytes: read strictly, so that two readers can never understand the same bytes differently. What is
// read is used as read; nothing is ever serialised again to be verified.

import { Failure } from './failure.ts';
import { JSON_DEPTH_MAX } from './limits.ts';

export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };

/**
 * The value of a canonical payload: UTF-8 without a byte order mark, at most `JSON_DEPTH_MAX` deep, and equal to its own
 * `JSON.stringify`, which refuses duplicate keys, blanks, other escapes, `-0`, `1e3` and integers past 2^53 in one step.
 * Throws `NONCANONICAL`.
 */
export function parseCanonical(bytes: Uint8Array): JsonValue {
  const text = decodeUtf8(bytes);
  // Before the parser: a text nested 30,000 deep is valid JSON and overflows the stack of `JSON.stringify`.
  if (nestingDepth(text) > JSON_DEPTH_MAX) throw new Failure('NONCANONICAL', { reason: 'depth' });
  let value: JsonValue;
  try {
    value = JSON.parse(text) as JsonValue;
  } catch (cause) {
    throw new Failure('NONCANONICAL', { reason: 'syntax' }, cause);
  }
  if (JSON.stringify(value) !== text) throw new Failure('NONCANONICAL', { reason: 'form' });
  return value;
}

/** The canonical bytes of a value that this program made itself. */
export function canonicalBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    // `ignoreBOM: true` keeps the mark in the text, where the comparison above refuses it; the default drops it.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new Failure('NONCANONICAL', { reason: 'utf8' }, cause);
  }
}

/** How deep brackets nest outside strings. Works on any text in one pass and without recursion. */
export function nestingDepth(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at];
    if (character === '"') at = endOfString(text, at);
    else if (character === '{' || character === '[') {
      depth += 1;
      deepest = Math.max(deepest, depth);
    } else if (character === '}' || character === ']') depth -= 1;
  }
  return deepest;
}

/**
 * The quote that closes the string opened at `open`; the text's end where none does. Most of a message is base64url inside
 * strings: leapt over it costs nothing, walked through it makes the agent's resident half load an optimising compiler.
 */
function endOfString(text: string, open: number): number {
  for (let quote = text.indexOf('"', open + 1); quote >= 0; quote = text.indexOf('"', quote + 1)) {
    let backslashes = 0;
    while (text[quote - 1 - backslashes] === '\\') backslashes += 1;
    if (backslashes % 2 === 0) return quote;
  }
  return text.length;
}
