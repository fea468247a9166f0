// Sealing: all that makes an agent the one of its machine goes, nothing else does, and one that is cut off anywhere leaves
// nothing that could pass for a machine.

import { rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { imageFilesAt } from '../../../agent/adapters/image-files-linux.ts';
import { findOwnThings, newestLearnedRoot } from '../../../agent/image/own-things.ts';
import { groupOwn, seal } from '../../../agent/image/seal.ts';
import { paths } from '../../../agent/paths.ts';
import type { ImageFiles } from '../../../agent/ports/image-files.ts';
import { expectRefused } from '../../protocol/refusal.ts';
import { contentOf, KEPT_FILES, makeImage, OWN_FILES, putIn } from './image.ts';

let image = '';
let files: ImageFiles;
beforeEach(() => {
  image = makeImage();
  files = imageFilesAt(image);
});
afterEach(() => rmSync(image, { recursive: true, force: true }));

const sealIt = (through: ImageFiles = files) => seal({ files: through, places: paths, openOperationIn: () => null });
const left = () => Object.keys(contentOf(image));
const byName = (found: ReturnType<typeof groupOwn>) =>
  Object.fromEntries(found.map(({ what, paths: named }) => [what, named.toSorted()]));

describe('an image with an agent that was at work', () => {
  test('is told to have each of its files, by a name that says what it is', () => {
    const expected = Object.entries(OWN_FILES).map(([what, named]) => [what, named.toSorted()]);
    expect(byName(groupOwn(findOwnThings(files, paths)))).toEqual(Object.fromEntries(expected));
  });

  test('has none of them once it is sealed, and everything else as it was', () => {
    const before = contentOf(image);
    const removed = sealIt();
    expect(removed.map(({ path }) => path).toSorted()).toEqual(Object.values(OWN_FILES).flat().toSorted());
    expect(contentOf(image)).toEqual(Object.fromEntries(KEPT_FILES.toSorted().map((path) => [path, before[path]])));
    expect(files.below(paths.state)).toEqual([]);
    expect(findOwnThings(files, paths)).toEqual([]);
  });

  test('is sealed a second time without anything to remove', () => {
    sealIt();
    expect(sealIt()).toEqual([]);
  });

  test('knows how new the newest root is that went', () => {
    expect(newestLearnedRoot(findOwnThings(files, paths))).toBe(3);
    expect(newestLearnedRoot([])).toBe(0);
  });
});

test('an image in which no agent ever ran is sealed', () => {
  rmSync(join(image, 'var'), { recursive: true });
  rmSync(join(image, 'run'), { recursive: true });
  rmSync(join(image, 'etc/latchkey-agent'), { recursive: true });
  expect(sealIt()).toEqual([]);
});

test('an operation under way is BUSY, and nothing is removed', async () => {
  const before = contentOf(image);
  const journals: string[] = [];
  const openOperationIn = (journal: Buffer) => {
    journals.push(journal.toString());
    return { op: 'op_1', state: 'REBOOTING' };
  };
  await expectRefused('BUSY', () => seal({ files, places: paths, openOperationIn }));
  expect(journals).toEqual([`${paths.executor}/journal.jsonl`]);
  expect(contentOf(image)).toEqual(before);
});

test.each([
  ['the token', paths.joinToken],
  ['a key', `${paths.link}/key.json`],
])('%s that is a link is named, and nothing is removed: what it leads to would stay', async (_, path) => {
  putIn(image, '/root/elsewhere', 'secret');
  rmSync(join(image, path));
  symlinkSync('/root/elsewhere', join(image, path));
  const before = contentOf(image);
  await expectRefused('SEAL_INCOMPLETE', () => sealIt());
  expect(contentOf(image)).toEqual(before);
});

test('what is there again when all was removed is named', async () => {
  const remove = (path: string) => {
    files.remove(path);
    if (path === `${paths.executor}/identity.json`) putIn(image, paths.joinToken, 'again');
  };
  const failure = await Promise.try(() => sealIt({ ...files, remove })).catch((error: unknown) => error);
  expect(failure).toMatchObject({
    code: 'SEAL_INCOMPLETE',
    details: { path: paths.joinToken, reason: 'there_again' },
  });
});

describe('a seal that is cut off', () => {
  const cutAfter = (count: number): ImageFiles => {
    let done = 0;
    const step = () => {
      done += 1;
      if (done > count) throw new Error('cut');
    };
    return {
      ...files,
      remove: (path) => {
        step();
        files.remove(path);
      },
      sync: (path) => {
        step();
        files.sync(path);
      },
    };
  };
  const keys = [...(OWN_FILES['executor_key'] ?? []), ...(OWN_FILES['link_key'] ?? [])];
  const last = `${paths.executor}/identity.json`;

  test('at any step has no key once anything else is gone, an identity as long as anything is left, and can be repeated', () => {
    const all = Object.values(OWN_FILES).flat();
    let steps = 0;
    for (let complete = false; !complete; steps += 1) {
      rmSync(image, { recursive: true, force: true });
      image = makeImage();
      files = imageFilesAt(image);
      try {
        sealIt(cutAfter(steps));
        complete = true;
      } catch (error) {
        expect(error).toEqual(new Error('cut'));
      }
      const there = left();
      const gone = all.filter((path) => !there.includes(path));
      if (gone.some((path) => !keys.includes(path))) expect(there.filter((path) => keys.includes(path))).toEqual([]);
      if (!there.includes(last)) expect(gone.length).toBe(all.length);
      sealIt();
      expect(left()).toEqual(KEPT_FILES.toSorted());
    }
    expect(steps).toBeGreaterThan(all.length);
  });

  test('has the keys’ removal on the disk before anything else is removed', () => {
    const calls: string[] = [];
    sealIt({
      ...files,
      remove: (path) => {
        calls.push(path);
        files.remove(path);
      },
      sync: (path) => {
        calls.push(`sync ${path}`);
        files.sync(path);
      },
    });
    const firstOther = calls.findIndex((call) => !call.startsWith('sync') && !keys.includes(call));
    const synced = calls.slice(0, firstOther).filter((call) => call.startsWith('sync'));
    expect(synced).toEqual(expect.arrayContaining([`sync ${paths.executor}`, `sync ${paths.link}`]));
    expect(calls.indexOf(`sync ${paths.executor}`)).toBeGreaterThan(calls.indexOf(`${paths.executor}/keys.json`));
    expect(calls.at(-1)).toBe(`sync ${paths.state}`);
  });
});
