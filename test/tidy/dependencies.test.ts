// What is installed: exact versions, nothing unused, nothing undeclared, and a lock that names no host.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { importsOf, packageOf } from './imports.ts';
import { isTypeScript, ROOT, readTree } from './tree.ts';

type Manifest = {
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
};
type Lock = { packages: Record<string, { resolved?: string; integrity?: string; link?: boolean }> };

const read = <T>(path: string) => JSON.parse(readFileSync(join(ROOT, path), 'utf8')) as T;
const manifest = read<Manifest>('package.json');
const all = { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies };

const tree = readTree();
const imports = tree.filter(isTypeScript).flatMap(importsOf);
const inside = new Set(tree.map(({ path }) => path));
const outside = imports.filter(
  ({ target }) => !/^(node:|protocol\/|agent\/|control-plane\/|test\/)/.test(target) && !inside.has(target),
);
const imported = new Set(outside.map(({ target }) => packageOf(target)));

/** Used without being imported: compilers and checkers by the scripts, types by the compiler, Node by being the runtime. */
const TOOLS: Readonly<Record<string, string>> = { typescript: 'tsc', '@biomejs/biome': 'biome', vitest: 'vitest' };
/** What makes the product and does not go with it. */
const MAKING = ['vitest.config.ts', 'agent/image/bundle.ts'];
const isRuntime = (name: string) => /^node-(linux|darwin|win)-/.test(name);

describe('package.json', () => {
  test.each(Object.entries(all))('%s %s is exact', (_, version) => {
    expect(version).toMatch(/^\d+\.\d+\.\d+(-[\w.]+)?$/);
  });

  test.each(Object.keys(all))('%s is used', (name) => {
    if (isRuntime(name)) return expect(Object.keys(manifest.optionalDependencies)).toContain(name);
    const typed = /^@types\/(.+)$/.exec(name)?.[1];
    if (typed === 'node') return expect(imports.some(({ target }) => target.startsWith('node:'))).toBe(true);
    if (typed !== undefined) return expect(imported).toContain(typed);
    const tool = TOOLS[name];
    const inScripts = tool !== undefined && Object.values(manifest.scripts).some((script) => script.includes(tool));
    expect(inScripts || imported.has(name), name).toBe(true);
  });

  test('declares everything that is imported', () => {
    expect([...imported].filter((name) => !Object.hasOwn(all, name))).toEqual([]);
  });

  test('declares what the product imports for the product, and not for its making', () => {
    const product = outside.filter(({ from }) => !from.startsWith('test/') && !MAKING.includes(from));
    const missing = product
      .map(({ target }) => packageOf(target))
      .filter((name) => !Object.hasOwn(manifest.dependencies, name));
    expect([...new Set(missing)]).toEqual([]);
  });
});

describe('package-lock.json', () => {
  const { packages } = read<Lock>('package-lock.json');

  test('names no host', () => {
    expect(
      Object.entries(packages)
        .filter(([, { resolved }]) => resolved !== undefined)
        .map(([name]) => name),
    ).toEqual([]);
  });

  test('holds the hash of every package', () => {
    const without = Object.entries(packages).filter(([name, { integrity }]) => name !== '' && integrity === undefined);
    expect(without.map(([name]) => name)).toEqual([]);
  });
});
