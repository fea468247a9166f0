// The lines of a file of any size, one at a time: what is in memory is one line, and a line has a limit.

import { createReadStream } from 'node:fs';
import { Failure } from '../../../protocol/failure.ts';

/** More than any row needs: the longest holds every root that was published while a signer was away. */
const LINE_CHARACTERS_MAX = 4_194_304;

/** Throws `CONFIG_INVALID` where the file cannot be read. A line that is too long comes cut, and so as what it is not. */
export async function* linesOf(path: string): AsyncGenerator<string> {
  let rest = '';
  try {
    for await (const chunk of createReadStream(path, { encoding: 'utf8' })) {
      const parts = `${rest}${chunk}`.split('\n');
      rest = (parts.pop() ?? '').slice(0, LINE_CHARACTERS_MAX);
      yield* parts;
    }
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code;
    if (reason === undefined) throw cause;
    throw new Failure('CONFIG_INVALID', { file: path, reason }, cause);
  }
  if (rest !== '') yield rest;
}
