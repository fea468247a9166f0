// The files of an image that is mounted somewhere: whatever links are in it, nothing beside it is seen or removed.

import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { imageFilesAt, isOwnRoot } from '../../../agent/adapters/image-files-linux.ts';
import { expectRefused } from '../../protocol/refusal.ts';

let folder = '';
let image = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-image-'));
  image = join(folder, 'image');
  mkdirSync(join(image, 'etc'), { recursive: true });
  // What a link out of the image would reach: the builder's own.
  mkdirSync(join(folder, 'etc'));
  writeFileSync(join(folder, 'etc/secret'), 'the builder’s');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const put = (path: string, text: string) => {
  mkdirSync(join(image, path, '..'), { recursive: true });
  writeFileSync(join(image, path), text);
};
const link = (path: string, target: string) => symlinkSync(target, join(image, path));

describe('links in an image', () => {
  test.each([
    ['an absolute one', () => join(folder, 'etc')],
    ['one that climbs', () => '../../etc'],
    ['one that climbs far', () => '../../../../../../../../../../../../etc'],
    ['one with a climb behind a folder', () => 'etc/../../etc'],
  ])('%s never leads out of it', (_, target) => {
    link('out', target());
    const files = imageFilesAt(image);
    expect(files.find('/out/secret')).toBeUndefined();
    expect(files.read('/out/secret', 100)).toBeUndefined();
    expect(files.below('/out').map(({ path }) => path)).not.toContain('/out/secret');
    files.remove('/out/secret');
    files.sync('/out');
    files.remove('/out');
    expect(readdirSync(join(folder, 'etc'))).toEqual(['secret']);
    expect(readdirSync(image)).toEqual(['etc']);
  });

  test('lead where the image’s own system would be led', () => {
    put('data/state/key', 'k');
    mkdirSync(join(image, 'var'));
    link('var/lib', '/data');
    link('data/again', '../var/lib/state');
    const files = imageFilesAt(image);
    expect(files.read('/var/lib/again/key', 100)?.toString()).toBe('k');
    expect(files.below('/var/lib/state')).toEqual([{ path: '/var/lib/state/key', kind: 'file', bytes: 1 }]);
    files.remove('/var/lib/again/key');
    expect(existsSync(join(image, 'data/state/key'))).toBe(false);
  });

  test('that go round are an error, and not nothing', async () => {
    link('one', 'two');
    link('two', 'one');
    await expectRefused('IMAGE_INVALID', () => imageFilesAt(image).find('/one/key'));
  });

  test('are removed and not what they lead to', () => {
    put('kept', 'k');
    link('link', 'kept');
    const files = imageFilesAt(image);
    expect([files.look('/link')?.kind, files.find('/link')?.kind]).toEqual(['link', 'file']);
    files.remove('/link');
    expect(readdirSync(image).sort()).toEqual(['etc', 'kept']);
  });
});

describe('an image', () => {
  test.each([
    ['that is not there', () => join(folder, 'absent')],
    ['to which nothing is mounted', () => join(folder, 'etc')],
    ['that is a file', () => join(folder, 'etc/secret')],
  ])('%s is none', async (_, path) => expectRefused('IMAGE_INVALID', () => imageFilesAt(path())));

  test('that lets something stay says so', async () => {
    put('folder/inside', 'x');
    await expectRefused('SEAL_INCOMPLETE', () => imageFilesAt(image).remove('/folder'));
    expect(existsSync(join(image, 'folder/inside'))).toBe(true);
  });

  test('has files longer than anybody expects', async () => {
    put('long', 'abc');
    await expectRefused('IMAGE_INVALID', () => imageFilesAt(image).read('/long', 2));
    expect(imageFilesAt(image).read('/long', 3)?.toString()).toBe('abc');
  });

  test('is this machine itself where it is its root under another name', () => {
    expect([isOwnRoot('/'), isOwnRoot('/proc/self/root/'), isOwnRoot(image)]).toEqual([true, true, false]);
  });
});
