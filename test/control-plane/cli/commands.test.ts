// The tree of commands, walked: examples are in the help and are read as they stand, an error is JSON where JSON was asked for,
// and it is a client of the public API, or says that it is of the host.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { examplesOf, explained } from '../../../control-plane/cli/examples.ts';
import { leavesOf, treeOf } from '../../../control-plane/cli/tree.ts';
import { latchkeyProgram } from '../../../control-plane/program.ts';

const leaves = leavesOf(latchkeyProgram('main.ts'));
const paths = leaves.map(({ path }) => path);
const CLI = join(import.meta.dirname, '../../../control-plane/cli');

/** As a shell splits it, without what it does with the output. */
const wordsOf = (example: string) => example.replace(/ [<>] .*$/, '').split(' ');

afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = undefined;
});

describe.each(leaves.map((leaf) => [leaf.path, leaf] as const))('%s', (path, { command }) => {
  test('shows examples in its help', () => {
    let help = '';
    command.configureOutput({
      writeOut: (text) => {
        help += text;
      },
    });
    command.outputHelp();
    for (const example of examplesOf(path)) expect(help.split('Examples:')[1]).toContain(`  ${example}`);
  });

  test.each(examplesOf(path))('%s', async (example) => {
    const program = latchkeyProgram('main.ts');
    const ran: string[] = [];
    for (const node of treeOf(program)) {
      node.command.exitOverride((error) => {
        throw error;
      });
      node.command.configureOutput({ writeErr: () => undefined });
      if (node.children.length === 0) node.command.action(() => void ran.push(node.path));
    }
    await program.parseAsync(['node', ...wordsOf(example)]);
    expect(ran).toEqual([path]);
  });
});

test('no example is of a command that is not there', () => {
  expect(explained.filter((path) => !paths.includes(path))).toEqual([]);
});

test('an example with a slip is seen', async () => {
  const program = latchkeyProgram('main.ts');
  const list = treeOf(program).find(({ path }) => path === 'latchkey vm list')?.command as Command;
  list.exitOverride((error) => {
    throw error;
  });
  list.configureOutput({ writeErr: () => undefined });
  await expect(program.parseAsync(['node', ...wordsOf('latchkey vm list --stat online')])).rejects.toThrow('unknown');
});

describe('with --json an error is one object on standard output', () => {
  /** Those that ask a control plane, and need nothing but words. */
  const asking = leaves.filter(({ options }) => options.some(({ long }) => long === '--profile'));
  test('for most commands', () => expect(asking.length).toBeGreaterThan(25));

  test.each(asking.map(({ path, command }) => [path, command] as const))('%s', async (path, command) => {
    let out = '';
    vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
      out += String(text);
      return true;
    });
    vi.spyOn(process.stderr, 'write').mockImplementation(() => true);
    vi.spyOn(process, 'exit').mockImplementation(((code: number) => {
      throw new Error(`exit ${code}`);
    }) as never);
    const given = command.registeredArguments.filter(({ required }) => required).map(() => 'web-1');
    const demanded = command.options
      .filter(({ mandatory }) => mandatory)
      .flatMap(({ long, argChoices }) => [String(long), argChoices?.[0] ?? 'x']);
    const answers = command.options.some(({ long }) => long === '--yes') ? ['--yes', '--key-file', '/nonexistent'] : [];
    const nowhere = ['--url', 'http://127.0.0.1:1', '--api-key-file', '/nonexistent', '--json'];
    const words = [...path.split(' ').slice(1), ...given, ...demanded, ...answers, ...nowhere];
    await latchkeyProgram('main.ts').parseAsync(['node', 'latchkey', ...words]);
    expect(JSON.parse(out)).toMatchObject({ event: 'error', code: 'CONFIG_INVALID', detail: expect.any(String) });
    expect(process.exitCode).toBe(1);
  });
});

describe('the command line is a client of the public API', () => {
  /** Commands of the host that the control plane runs on: what these files do no API offers, and none shall. */
  const HOST: readonly string[] = [
    'audit/host.ts',
    'commands-host.ts',
    'host/doctor.ts',
    'host/migrate.ts',
    'keys/host.ts',
    'operator-policy.ts',
    'operator.ts',
  ];
  const inner = /from '(?:\.\.\/)+(?:store|signer|gateway|observability|webhooks)\/([^']+)'/g;

  test('and only commands of the host reach further in', () => {
    const files = readdirSync(CLI, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
    const reaching = files.filter((file) => {
      const text = readFileSync(join(CLI, file), 'utf8').replaceAll(/^import type .*$/gm, '');
      return [...text.matchAll(inner)].length > 0;
    });
    expect(reaching.toSorted()).toEqual(HOST);
  });
});
