// An expected failure as a value, for what goes on after it: the code, and what stood beside it.

import type { Code } from '../../protocol/codes.ts';
import type { Details } from '../../protocol/failure.ts';

export type Trouble = Readonly<{ code: Code; details: Details }>;
export type Tried<T> = Readonly<{ value: T }> | Trouble;

/** The word of reason in a failure's details, where a receipt may carry it. */
export function reasonOf({ reason }: Details): { reason?: string } {
  return typeof reason === 'string' && /^[A-Za-z0-9_.:-]{1,64}$/.test(reason) ? { reason } : {};
}
