// The first line of a child process: that it listens, or why it cannot. Nothing else of what it prints is read or kept: what it
// becomes later may be nobody's to trust.

import type { ChildProcess } from 'node:child_process';
import { z } from 'zod';
import { type Code, isCode } from '../../protocol/codes.ts';
import { Failure } from '../../protocol/failure.ts';

/** It reads its sources first, on a machine that may have just been started. */
const START_TIMEOUT_MS = 60_000;

const WORD_CHARACTERS_MAX = 65_536;

const word = z.union([
  z.strictObject({ event: z.literal('listening'), url: z.string().optional() }),
  z.strictObject({
    event: z.literal('failed'),
    code: z.string(),
    details: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  }),
]);

/** Throws the code that the child names, or `otherwise` where it says nothing that counts. */
export function firstWord(child: ChildProcess, otherwise: Code): Promise<Readonly<{ url?: string | undefined }>> {
  return new Promise((resolve, reject) => {
    let text = '';
    const give = (error: Failure) => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(error);
    };
    const timer = setTimeout(() => give(new Failure(otherwise, { reason: 'start_timeout' })), START_TIMEOUT_MS);
    child.once('error', (cause) => give(new Failure(otherwise, { reason: 'spawn' }, cause)));
    const gone = (status: number | null) => give(new Failure(otherwise, { reason: 'exit', status }));
    child.once('exit', gone);
    const read = (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end === -1 && text.length <= WORD_CHARACTERS_MAX) return;
      child.stdout?.off('data', read).resume();
      const said = word.safeParse(parse(text.slice(0, end)));
      if (!said.success) return give(new Failure(otherwise, { reason: 'word' }));
      if (said.data.event === 'failed') {
        const { code, details } = said.data;
        return give(new Failure(isCode(code) ? code : otherwise, details));
      }
      clearTimeout(timer);
      child.off('exit', gone);
      resolve(said.data);
    };
    child.stdout?.setEncoding('utf8').on('data', read);
  });
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
