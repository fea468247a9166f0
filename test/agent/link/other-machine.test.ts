// A disk that came from another machine: what it brought along is out of the way and not lost, at whatever moment the power goes.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bringBack, setAside } from '../../../agent/link/other-machine.ts';

let folder = '';
const at = (name: string) => join(folder, name);
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-other-'));
  for (const name of ['executor', 'link', 'link/root']) mkdirSync(at(name), { mode: 0o700 });
  writeDisk('theirs');
  writeFileSync(at('link/root/2.json'), 'theirs');
});
afterEach(() => rmSync(folder, { recursive: true }));

const files = ['executor/keys.json', 'executor/identity.json', 'link/key.json', 'link/identity.json', 'marker'];
function writeDisk(whose: string, names: readonly string[] = files): void {
  for (const name of names) writeFileSync(at(name), whose);
}
const places = () => ({ executor: at('executor'), link: at('link'), marker: at('marker') });
const whose = (name: string) => (existsSync(at(name)) ? readFileSync(at(name), 'utf8') : null);

describe('what another machine’s disk brought along', () => {
  test('is out of the way, in folders of its own, and the link keeps the folder that it may write to', async () => {
    const before = statSync(at('link')).ino;
    await setAside(places());
    expect(files.map(whose)).toEqual(files.map(() => null));
    expect([readdirSync(at('link')), statSync(at('link')).ino]).toEqual([[], before]);
    expect([whose('executor.other-machine/keys.json'), whose('link.other-machine/root/2.json')]).toEqual([
      'theirs',
      'theirs',
    ]);
  });

  test('comes back in place of keys that were made meanwhile', async () => {
    await setAside(places());
    mkdirSync(at('executor'));
    writeDisk('ours', ['executor/keys.json', 'link/key.json', 'marker']);
    await bringBack(places(), { marker: 'theirs' });
    expect(files.map(whose)).toEqual(files.map(() => 'theirs'));
    expect(whose('link/root/2.json')).toBe('theirs');
    expect(readdirSync(folder).toSorted()).toEqual(['executor', 'link', 'link.other-machine', 'marker']);
  });

  test('is not lost where the power goes in the middle', async () => {
    // The link's key is away already, and nothing else is.
    mkdirSync(at('link.other-machine'));
    writeFileSync(at('link.other-machine/key.json'), 'theirs');
    rmSync(at('link/key.json'));
    await setAside(places());
    expect(whose('link.other-machine/key.json')).toBe('theirs');
    await bringBack(places(), { marker: 'theirs' });
    expect(files.map(whose)).toEqual(files.map(() => 'theirs'));
  });

  test('makes room for what a third machine’s disk brings', async () => {
    await setAside(places());
    for (const name of ['executor', 'link/root']) mkdirSync(at(name));
    writeDisk('second');
    writeFileSync(at('link/root/2.json'), 'second');
    await setAside(places());
    expect([whose('executor.other-machine/keys.json'), whose('link.other-machine/root/2.json')]).toEqual([
      'second',
      'second',
    ]);
  });
});
