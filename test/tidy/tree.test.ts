// The whole tree held to the rules of the house, and each rule shown to see what it is there for.

import { matchesGlob } from 'node:path';
import { describe, expect, test } from 'vitest';
import config from '../../vitest.config.ts';
import { importCycles, wrongImports } from './imports.ts';
import {
  bannedNames,
  bannedWordsIn,
  impureCores,
  longFiles,
  longFunctions,
  sleepingTests,
  unopenedFiles,
} from './rules.ts';
import { readTree, type SourceFile } from './tree.ts';

const tree = readTree();
const file = (path: string, text = ''): SourceFile => ({ path, text });
const lines = (count: number, line = '  a();') => `${line}\n`.repeat(count);

test('the tree is there', () => {
  for (const path of ['package.json', 'protocol/token.ts', 'test/tidy/tree.test.ts', '.npmrc']) {
    expect(tree.map((found) => found.path)).toContain(path);
  }
});

describe('imports follow the arrows', () => {
  test('in this tree', () => expect(wrongImports(tree)).toEqual([]));

  test.each([
    ['protocol/a.ts', 'node:fs'],
    ['protocol/a.ts', 'zod'],
    ['protocol/a.ts', '../agent/core/b.ts'],
    ['agent/core/a.ts', 'node:crypto'],
    ['agent/core/a.ts', '../ports/b.ts'],
    ['agent/core/a.ts', 'jose'],
    ['agent/ports/a.ts', '../core/b.ts'],
    ['agent/ports/a.ts', '../adapters/b.ts'],
    ['agent/adapters/a.ts', '../core/b.ts'],
    ['agent/adapters/a.ts', '../executor/b.ts'],
    ['agent/adapters/a.ts', 'fastify'],
    ['agent/executor/a.ts', '../adapters/b.ts'],
    ['agent/executor/a.ts', '../link/b.ts'],
    ['agent/link/a.ts', '../executor/b.ts'],
    ['agent/link/a.ts', './main.ts'],
    ['agent/config.ts', './adapters/b.ts'],
    ['agent/main.ts', '../control-plane/core/b.ts'],
    ['agent/link/a.ts', 'kysely'],
    ['control-plane/core/a.ts', '../store/b.ts'],
    ['control-plane/core/a.ts', 'kysely'],
    ['control-plane/cli/a.ts', '../../agent/version.ts'],
    ['control-plane/cli/a.ts', '../main.ts'],
    ['control-plane/cli/a.ts', '../../test/lab/b.ts'],
  ])('%s may not import %s', (path, target) => {
    for (const text of [
      `import { b } from '${target}';`,
      `import type { B } from '${target}';`,
      `import {\n  b,\n} from '${target}';`,
      `export * from '${target}';`,
      `import '${target}';`,
      `const b = await ${'im'}port('${target}');`,
    ]) {
      expect(wrongImports([file(path, text)]), text).toHaveLength(1);
    }
  });

  test.each([
    ['protocol/a.ts', './b.ts'],
    ['agent/core/a.ts', '../../protocol/b.ts'],
    ['agent/adapters/a.ts', 'node:fs'],
    ['agent/adapters/a.ts', 'node-pty'],
    ['agent/executor/main.ts', '../adapters/b.ts'],
    ['agent/main.ts', './link/main.ts'],
    ['control-plane/store/a.ts', 'kysely'],
    ['test/agent/a.test.ts', '../../agent/adapters/b.ts'],
  ])('%s may import %s', (path, target) => {
    expect(wrongImports([file(path, `import { b } from '${target}';`)])).toEqual([]);
  });

  test('there is no cycle', () => expect(importCycles(tree)).toEqual([]));
  test('a cycle is seen', () => {
    const cycle = [
      file('protocol/a.ts', "import { b } from './b.ts';"),
      file('protocol/b.ts', "import { c } from './c.ts';"),
      file('protocol/c.ts', "import type { A } from './a.ts';"),
    ];
    expect(importCycles(cycle)).toEqual(['protocol/a.ts → protocol/b.ts → protocol/c.ts → protocol/a.ts']);
    expect(importCycles([file('protocol/a.ts', "import { a } from './a.ts';")])).toHaveLength(1);
  });
});

describe('files', () => {
  test('are short', () => expect(longFiles(tree)).toEqual([]));
  test('have short functions', () => expect(longFunctions(tree)).toEqual([]));
  test('open with a comment', () => expect(unopenedFiles(tree)).toEqual([]));
  test('are named by their subject', () => expect(bannedNames(tree)).toEqual([]));
  test('speak of this project alone', () => expect(bannedWordsIn(tree)).toEqual([]));
  test('of tests all run', () => expect(sleepingTests(tree)).toEqual([]));
  test('of a core are pure', () => expect(impureCores(tree)).toEqual([]));
  test('of tests belong to one project each', () => {
    const projects = (config as { test: { projects: { test: { include: string[]; exclude?: string[] } }[] } }).test
      .projects;
    const belongs = (path: string, globs: readonly string[] = []) => globs.some((glob) => matchesGlob(path, glob));
    for (const { path } of tree.filter((found) => found.path.endsWith('.test.ts'))) {
      const homes = projects.filter(
        (project) => belongs(path, project.test.include) && !belongs(path, project.test.exclude),
      );
      expect(homes.length, path).toBe(1);
    }
  });
});

describe('the rules see', () => {
  test('a long file', () => {
    expect(longFiles([file('a.ts', lines(401))])).toHaveLength(1);
    expect(longFiles([file('a.c', lines(401))])).toHaveLength(1);
    expect(longFiles([file('a.ts', lines(400)), file('a.json', lines(500))])).toEqual([]);
  });

  test('a long function of any form', () => {
    for (const head of [
      'function f() {',
      'export async function f(',
      'const f = () => {',
      '  #f(a: A): B {',
      '  async f(a: A): Promise<B> {',
    ]) {
      const indent = /^\s*/.exec(head)?.[0] ?? '';
      expect(longFunctions([file('a.ts', `${head}\n${lines(69, `${indent}  a();`)}${indent}}\n`)]), head).toHaveLength(
        1,
      );
      expect(longFunctions([file('a.ts', `${head}\n${lines(68, `${indent}  a();`)}${indent}}\n`)]), head).toEqual([]);
    }
    const factory = `function f() {\n${`  function g() {\n${lines(30, '    a();')}  }\n`.repeat(3)}}\n`;
    expect(longFunctions([file('a.ts', factory)])).toEqual([]);
    expect(longFunctions([file('a.c', `int f(void)\n{\n${lines(69)}}\n`)])).toHaveLength(1);
    expect(longFunctions([file('a.c', `int f(void) {\n${lines(69)}}\n`)])).toHaveLength(1);
  });

  test('a file without an opening comment', () => {
    for (const text of ['', 'import a;', '//\nimport a;', '#!/usr/bin/env node\nimport a;']) {
      expect(unopenedFiles([file('a.ts', text)]), text).toHaveLength(1);
    }
    for (const text of ['// What.\n', '/* What. */', '/** What. */', '#!/usr/bin/env node\n// What.\n']) {
      expect(unopenedFiles([file('a.ts', text)]), text).toEqual([]);
    }
  });

  test('a name that says nothing', () => {
    for (const path of [
      'agent/utils.ts',
      'agent/link/helpers.ts',
      'protocol/lib/a.ts',
      'agent/vnc-manager.ts',
      'test/Common.ts',
    ]) {
      expect(bannedNames([file(path)]), path).toEqual([path]);
    }
    expect(bannedNames([file('agent/library.ts'), file('agent/common-passwords.ts'), file('test/lab/lab.h')])).toEqual(
      [],
    );
  });

  test('a word for somebody else', () => {
    const words = [
      'TO' + 'DO',
      'FIX' + 'ME',
      `see issue ${'#'}12`,
      `fixes ${'#'}3`,
      `/${'wo'}rk/main/a`,
      `../${'sha'}red/x`,
    ];
    for (const word of [...words, `https://${'regis'}try.npmjs.org/a`, `github.com/a/b/${'iss'}ues/7`]) {
      expect(bannedWordsIn([file('a.md', `text\n${word}\n`)]), word).toHaveLength(1);
    }
    expect(bannedWordsIn([file('a.css', 'color: #123456; a network/of/work #ended')])).toEqual([]);
  });

  test('a test that does not run', () => {
    const asleep = [
      'test.on' + 'ly(',
      'describe.sk' + 'ip(',
      'test.to' + 'do(',
      'test.concurrent.sk' + 'ip(',
      'it.sk' + 'ipIf(',
      'ctx.sk' + 'ip(',
    ];
    for (const text of asleep) expect(sleepingTests([file('test/a.test.ts', `${text}'x')`)]), text).toHaveLength(1);
    expect(sleepingTests([file('test/a.test.ts', "test('only', () => {})")])).toEqual([]);
  });

  test('a core that waits or looks at a clock', () => {
    for (const line of [
      'export async function a() {}',
      'const t = Date.now();',
      'setTimeout(a, 1);',
      'performance.now()',
    ]) {
      expect(impureCores([file('agent/core/a.ts', line)]), line).toHaveLength(1);
      expect(impureCores([file('agent/link/a.ts', line)])).toEqual([]);
    }
    expect(impureCores([file('agent/core/a.ts', '// async is not needed\n/** await nothing */')])).toEqual([]);
  });
});
