// Whose a program file is, by what the kernel says of it.

import { describe, expect, it } from 'vitest';
import { belongsToMachine, type FileFacts, isMachines } from '../../../agent/adapters/machine-files.ts';

const EXT4 = 0xef53;
const roots: FileFacts = { uid: 0, mode: 0o100755, fileSystem: EXT4, allUsersHere: true, closedToRoot: false };
const outside: FileFacts = { ...roots, uid: 65_534, allUsersHere: false, closedToRoot: true };

describe('a program is the machine’s own', () => {
  it.each<[string, FileFacts]>([
    ['where it is root’s', roots],
    ['where its owner is outside of this user namespace', outside],
  ])('%s', (_, facts) => expect(belongsToMachine(facts)).toBe(true));

  it.each<[string, FileFacts]>([
    ['where it is a user’s', { ...roots, uid: 1000 }],
    ['where its group may write it', { ...roots, mode: 0o100775 }],
    ['where everybody may write it', { ...roots, mode: 0o100757 }],
    ['where a user’s own program serves the file system', { ...roots, fileSystem: 0x6573_5546 }],
    ['where it is that of the user nobody', { ...roots, uid: 65_534 }],
    ['where it is closed to root, as on a network’s file system', { ...roots, uid: 65_534, closedToRoot: true }],
    ['where it is that of the user nobody of a namespace', { ...outside, closedToRoot: false }],
    ['where it is a user’s of a namespace', { ...outside, uid: 1000 }],
  ])('not %s', (_, facts) => expect(belongsToMachine(facts)).toBe(false));

  it('as those of this machine are', () => {
    expect(isMachines('/usr/bin')).toBe(true);
    expect(() => isMachines('/not-there')).toThrow();
  });
});
