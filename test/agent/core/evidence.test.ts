// Evidence: what differs between two looks at the machine.

import { describe, expect, test } from 'vitest';
import { changedEntries, filesChanged, sourcesUnchanged } from '../../../agent/core/evidence.ts';

const source = (hash: string, path = '/s') => ({ role: 'source', path, hash }) as const;
const live = (hash: string, path = '/l') => ({ role: 'live', path, hash }) as const;

describe('account entries', () => {
  test('changed, added and removed ones are named, sorted, and unchanged ones are not', () => {
    expect(changedEntries({ b: '1', c: '1', a: '1' }, { a: '2', c: '1', d: '1' })).toEqual(['a', 'b', 'd']);
    expect(changedEntries({ a: '1' }, { a: '1' })).toEqual([]);
  });
});

describe('credential files', () => {
  test('a file that existed counts as changed when its content is another or it is gone', () => {
    expect(filesChanged([source('1')], [source('1')])).toBe(false);
    expect(filesChanged([source('1')], [source('2')])).toBe(true);
    expect(filesChanged([source('1')], [])).toBe(true);
  });

  test('a file that appeared counts as changed: there was none before', () => {
    expect(filesChanged([], [source('1')])).toBe(true);
    expect(filesChanged([source('1')], [source('1'), live('2')])).toBe(true);
  });

  test('after a boot only source files are compared', () => {
    expect(sourcesUnchanged([source('1'), live('1')], [source('1')])).toBe(true);
    expect(sourcesUnchanged([source('1'), live('1')], [source('1'), live('9')])).toBe(true);
    expect(sourcesUnchanged([source('1')], [source('2')])).toBe(false);
    expect(sourcesUnchanged([source('1'), source('1', '/t')], [source('1')])).toBe(false);
  });

  test('no source file at all is no proof', () => {
    expect(sourcesUnchanged([], [])).toBe(false);
    expect(sourcesUnchanged([live('1')], [live('1')])).toBe(false);
  });
});
