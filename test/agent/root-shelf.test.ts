// The roots that a machine has learned: each follows from the one before it, and none is ever forgotten. Numbers in titles
// are those of the list of negative cases.

import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RootShelf } from '../../agent/root-shelf.ts';
import { type SignedRoot, signRoot } from '../../protocol/root.ts';
import { expectRefused } from '../protocol/refusal.ts';
import { keys, sampleRoot } from '../protocol/samples.ts';

let folder: string;
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'latchkey-roots-')), 'root');
});
afterEach(() => rm(join(folder, '..'), { recursive: true, force: true }));

const version = (n: number): Promise<SignedRoot> => signRoot(sampleRoot({ version: n }), [keys.rootA, keys.rootB]);
const shelf = (first = sampleRoot()) => new RootShelf(folder, first);

describe('a shelf', () => {
  test('with nothing on it gives the image’s root', async () => {
    expect(await shelf().newest()).toEqual(sampleRoot());
  });

  test('keeps what follows, and another process finds it', async () => {
    for (const n of [2, 3]) expect((await shelf().add(await version(n))).version).toBe(n);
    expect((await shelf().newest()).version).toBe(3);
    expect(await shelf().document(2)).toEqual(await version(2));
  });

  test('goes by an image that is newer than what it holds', async () => {
    await shelf().add(await version(2));
    expect((await shelf(sampleRoot({ version: 4 })).newest()).version).toBe(4);
  });

  test.each([
    ['27 a version further on', 'ROOT_ROLLBACK', () => version(3)],
    ['28 the version that it has', 'ROOT_ROLLBACK', () => version(1)],
    ['30 one that too few signed', 'ROOT_THRESHOLD', () => signRoot(sampleRoot({ version: 2 }), [keys.rootA])],
  ])('%s is %s, and nothing is kept', async (_, code, document) => {
    await expectRefused(code as 'ROOT_ROLLBACK', async () => shelf().add(await document()));
    expect(await readdir(join(folder, '..'))).toEqual([]);
    expect((await shelf().newest()).version).toBe(1);
  });

  test.each([
    ['empty', ''],
    ['cut off', '{"payload":"abc'],
    ['no root', '{"v":1}'],
  ])('32 whose newest file is %s gives no root at all', async (_, content) => {
    await shelf().add(await version(2));
    await writeFile(join(folder, '3.json'), content);
    await expectRefused('ROOT_INVALID', () => shelf().newest());
  });
});
