// The roots that a machine has learned: each follows from the one before it, and none is ever forgotten.

import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RootShelf } from '../../agent/root-shelf.ts';
import { type RootPayload, type SignedRoot, signRoot } from '../../protocol/root.ts';
import { codeFrom, expectRefused } from '../protocol/refusal.ts';
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
    ['a version further on', 'ROOT_ROLLBACK', () => version(3)],
    ['the version that it has', 'ROOT_ROLLBACK', () => version(1)],
    ['one that too few signed', 'ROOT_THRESHOLD', () => signRoot(sampleRoot({ version: 2 }), [keys.rootA])],
  ])('%s is %s, and nothing is kept', async (_, code, document) => {
    await expectRefused(code as 'ROOT_ROLLBACK', async () => shelf().add(await document()));
    expect(await readdir(join(folder, '..'))).toEqual([]);
    expect((await shelf().newest()).version).toBe(1);
  });

  test.each([
    ['empty', ''],
    ['cut off', '{"payload":"abc'],
    ['no root', '{"v":1}'],
  ])('whose newest file is %s gives no root at all', async (_, content) => {
    await shelf().add(await version(2));
    await writeFile(join(folder, '3.json'), content);
    await expectRefused('ROOT_INVALID', () => shelf().newest());
  });
});

/** With another root key, which alone would be enough for it. */
function takenOver(root: RootPayload): RootPayload {
  const { kid, jwk } = keys.spare;
  const roles = { ...root.roles, root: { kids: [kid], threshold: 1 } };
  return { ...root, roles, keys: { ...root.keys, [kid]: { jwk, expires: root.expires } } };
}

test('whatever roots are offered, in whatever order, the version never goes down, and by one at a time it goes up', async () => {
  const roots = [1, 2, 3, 4].map((n) => sampleRoot({ version: n }));
  const enough = await Promise.all(roots.map((root) => signRoot(root, [keys.rootB, keys.rootC])));
  const others = await Promise.all(
    roots.flatMap((root) => [
      signRoot(root, [keys.rootA]),
      signRoot(root, [keys.spare, keys.command]),
      signRoot(takenOver(root), [keys.spare]),
      signRoot({ ...root, iss: `ins_${'0'.repeat(26)}` }, [keys.rootA, keys.rootB]),
    ]),
  );
  const offers = fc.array(fc.oneof(fc.constantFrom(...enough), fc.constantFrom(...others)), { maxLength: 12 });
  const highest: number[] = [];
  await fc.assert(
    fc.asyncProperty(offers, async (documents) => {
      await rm(folder, { recursive: true, force: true });
      let version = 1;
      for (const document of documents) {
        const follows = document === enough[version];
        const code = await codeFrom(() => shelf().add(document));
        expect(code === undefined).toBe(follows);
        if (follows) version += 1;
        expect((await shelf().newest()).version).toBe(version);
      }
      highest.push(version);
    }),
    { numRuns: 60 },
  );
  expect(new Set(highest).size).toBeGreaterThan(1);
});
