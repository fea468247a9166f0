// The lines of a file of any size, one at a time: what is in memory is one line, and a line has a limit.

import { isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { Failure } from '../../../protocol/failure.ts';

/** More than any row needs: the longest holds every root that was published while a signer was away. */
const LINE_BYTES_MAX = 4_194_304;

/**
 * Throws `CONFIG_INVALID` where the file cannot be read. A line that is too long comes cut, and nothing after it; one that is
 * no UTF-8 comes as other letters. So neither is what it would have been taken for.
 */
export async function* linesOf(path: string): AsyncGenerator<string> {
  let rest = '';
  try {
    // A character for each byte, so that none is exchanged before it was looked at.
    for await (const chunk of createReadStream(path, { encoding: 'latin1' })) {
      const parts = `${rest}${chunk}`.split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts) yield textOf(part);
      if (rest.length > LINE_BYTES_MAX) return yield rest;
    }
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code;
    if (reason === undefined) throw cause;
    throw new Failure('CONFIG_INVALID', { file: path, reason }, cause);
  }
  if (rest !== '') yield textOf(rest);
}

function textOf(latin1: string): string {
  const bytes = Buffer.from(latin1, 'latin1');
  return isUtf8(bytes) ? bytes.toString() : latin1;
}
