// SECURITY.md names the tests that show what it claims: they are there, under the titles that it gives.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT } from './tree.ts';

const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const text = read('SECURITY.md');
const testsIn = (words: string) => [...words.matchAll(/`(test\/[^`]+)`/g)].map(([, path = '']) => path);

/** Titles with the file that is named last before them. */
function titlesIn(words: string): [path: string, title: string][] {
  const found: [string, string][] = [];
  let path = '';
  for (const [, file, title] of words.matchAll(/`(test\/[^`]+)`|“([^”]+)”/g)) {
    if (file !== undefined) path = file;
    else if (title !== undefined) found.push([path, title]);
  }
  return found;
}

function section(heading: string): string {
  const [, found = ''] = text.split(`\n## ${heading}`);
  return found.split('\n## ', 1)[0] ?? '';
}

describe('SECURITY.md', () => {
  test.each([...new Set(testsIn(text))])('%s is there', (path) => {
    expect(existsSync(join(ROOT, path))).toBe(true);
  });

  test.each(titlesIn(section('What always holds')))('%s has a test “%s”', (path, title) => {
    // A text with a function behind it.
    const titles = [...read(path).matchAll(/(['`])((?:(?!\1)[^\\]|\\.)*)\1,\s*(?:async\s*)?(?:\(|\{)/g)];
    expect(titles.some(([, , found = '']) => found.replaceAll('\\', '').includes(title))).toBe(true);
  });

  test('names a test for each claim and each rule', () => {
    const claims = section('What Latchkey defends').split('\n- ').slice(1);
    const rules = section('What always holds').match(/^\| (?!Rule|---).*$/gm) ?? [];
    expect([claims.length, rules.length].every((count) => count > 10)).toBe(true);
    for (const claim of claims) expect(testsIn(claim), claim).not.toEqual([]);
    for (const rule of rules) expect(titlesIn(rule), rule).not.toEqual([]);
  });

  test('names programs that can be run', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    for (const [, name = ''] of text.matchAll(/`npm run ([\w:]+)/g)) expect(scripts).toHaveProperty([name]);
  });
});
