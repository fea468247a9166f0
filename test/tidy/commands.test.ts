// Every command of `latchkey`, as it is added: described, with `--json`, and with an example in control-plane/cli/examples.ts.

import { describe, expect, test } from 'vitest';
import { examplesOf } from '../../control-plane/cli/examples.ts';
import { leavesOf } from '../../control-plane/cli/tree.ts';
import { latchkeyProgram } from '../../control-plane/program.ts';

const leaves = leavesOf(latchkeyProgram('main.ts'));

test('the commands are there', () => expect(leaves.length).toBeGreaterThan(50));

describe.each(leaves.map((leaf) => [leaf.path, leaf] as const))('%s', (path, { command, options }) => {
  test('is described, and so are its options', () => {
    expect(command.description()).toMatch(/\S{3}/);
    for (const { flags, description, argChoices } of options) expect(description || argChoices, flags).toBeTruthy();
  });

  test('has --json', () => expect(options.map(({ long }) => long)).toContain('--json'));
  test('has an example', () => expect(examplesOf(path)).not.toEqual([]));
});
