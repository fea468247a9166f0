// The list of steps is about the code as it is: each stands there exactly once. That tests catch each step's absence is what
// `npm run test:mutate` finds out.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { mutations } from './steps.ts';

const ROOT = join(import.meta.dirname, '../..');

test.each(mutations.map(({ step, ...mutation }) => [step, mutation] as const))('%s', (_, { file, words, instead }) => {
  expect(readFileSync(join(ROOT, file), 'utf8').split(words)).toHaveLength(2);
  expect(instead).not.toBe(words);
});

test('no two have one name', () => {
  expect(new Set(mutations.map(({ step }) => step)).size).toBe(mutations.length);
});
