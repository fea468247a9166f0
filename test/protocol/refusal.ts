// How a test asks for a refusal: by its code, and by nothing else. Any other error is a defect and fails the test.

import { expect } from 'vitest';
import type { Code } from '../../protocol/codes.ts';
import { Failure } from '../../protocol/failure.ts';

/** The code with which `act` fails; the failure itself where it is not a `Failure`; `undefined` where it succeeds. */
export async function codeFrom(act: () => unknown): Promise<unknown> {
  try {
    await act();
    return undefined;
  } catch (error) {
    return error instanceof Failure ? error.code : error;
  }
}

export async function expectRefused(code: Code, act: () => unknown): Promise<void> {
  expect(await codeFrom(act)).toBe(code);
}
