// The answer of a gateway to another program's question: what was found, or the code of why not.

import { type Code, isCode } from '../../protocol/codes.ts';
import { codeOf, Failure } from '../../protocol/failure.ts';

export type Answer<T> = Readonly<{ found: T } | { failed: Readonly<{ code: Code; details: Failure['details'] }> }>;

export async function answerOf<T>(work: () => Promise<T>): Promise<Answer<T>> {
  try {
    return { found: await work() };
  } catch (error) {
    const code = codeOf(error);
    if (!code || !isCode(code)) throw error;
    return { failed: { code, details: (error as Failure).details } };
  }
}

/** Throws what failed there. */
export function foundIn<T>(answer: Answer<T>): T {
  if ('found' in answer) return answer.found;
  throw new Failure(answer.failed.code, answer.failed.details);
}
