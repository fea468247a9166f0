// The list of steps is about the code as it is: each stands there exactly once, and what is left without it is a program. That
// tests catch each step's absence is what `npm run test:mutate` finds out.

import { existsSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { steps, testsOf } from './steps.ts';

const at = (path: string) => join(import.meta.dirname, '../..', path);

test.each(steps.map(({ step, ...mutation }) => [step, mutation] as const))('%s', (_, { file, words, instead }) => {
  const parts = readFileSync(at(file), 'utf8').split(words);
  expect(parts, `code that changes takes its step in test/mutate along: ${words}`).toHaveLength(2);
  expect(instead).not.toBe(words);
  expect(stripTypeScriptTypes(parts.join(instead))).not.toBe('');
  expect(testsOf).toHaveProperty([file]);
});

test('no two have one name', () => {
  expect(new Set(steps.map(({ step }) => step)).size).toBe(steps.length);
});

test('the tests in which each is looked for are there', () => {
  for (const path of Object.values(testsOf).flat()) expect(existsSync(at(path)), path).toBe(true);
});
