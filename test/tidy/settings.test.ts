// The settings in the environment: one table has them all, and nothing but them, with the option that each of them is.

import { describe, expect, test } from 'vitest';
import { readTree } from './tree.ts';

const TABLE = 'control-plane/install/README.md';
const NAME = /LATCHKEY_[A-Z0-9_]*[A-Z0-9]/g;
const tree = readTree();
const sources = tree.filter(({ path }) => /^(control-plane|agent|protocol)\/.*\.ts$/.test(path));

type Row = Readonly<{ name: string; option: string | null; of: string }>;
const rows: readonly Row[] = (tree.find(({ path }) => path === TABLE)?.text ?? '').split('\n').flatMap((line) => {
  const [, name, option, of] =
    /^\| `(LATCHKEY_[A-Z0-9_]+)` \| (?:`--([a-z-]+)`|–) \| ([a-z, ]+) \| \S.* \|$/.exec(line) ?? [];
  return name === undefined ? [] : [{ name, option: option ?? null, of: of ?? '' }];
});
const named = (text: string) => [...new Set(text.match(NAME) ?? [])].toSorted();

/** Every option that names a variable in its description. */
const declared = sources.flatMap(({ text }) =>
  [...text.matchAll(/'--([a-z-]+)(?: <[^>]+>)?',\s*(`[^`]*`|'[^']*'|COMMAND_KEY_PROGRAM)/g)].flatMap(
    ([, option = '', words = '']) => {
      const said = words === 'COMMAND_KEY_PROGRAM' ? (/COMMAND_KEY_PROGRAM = '([^']*)'/.exec(text)?.[1] ?? '') : words;
      return named(said).map((name) => `${name} --${option}`);
    },
  ),
);

describe('the table of settings', () => {
  test('has each of them once', () => {
    expect(rows.length).toBeGreaterThan(30);
    expect(rows.map(({ name }) => name).toSorted()).toEqual([...new Set(rows.map(({ name }) => name))].toSorted());
  });

  test('has every one that the sources name, and no other', () => {
    expect(rows.map(({ name }) => name).toSorted()).toEqual(named(sources.map(({ text }) => text).join('\n')));
  });

  test('names each one’s option as the program does', () => {
    const told = rows.flatMap(({ name, option }) => (option === null ? [] : [`${name} --${option}`]));
    expect(told.toSorted()).toEqual([...new Set(declared)].toSorted());
  });

  test('is right that the agent reads one of them', () => {
    const agent = sources.filter(({ path }) => !path.startsWith('control-plane/'));
    expect(named(agent.map(({ text }) => text).join('\n'))).toEqual(['LATCHKEY_LOG_LEVEL']);
  });

  test('knows everything that units, the container and the proxy are told', () => {
    const files = tree.filter(({ path }) => path.startsWith('control-plane/install/') && path !== TABLE);
    const known = rows.map(({ name }) => name);
    const told = named(files.map(({ text }) => text).join('\n'));
    expect(told.length).toBeGreaterThan(5);
    expect(told.filter((name) => !known.includes(name))).toEqual([]);
  });
});
