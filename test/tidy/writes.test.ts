// What the agent writes by itself is a short list: its own folders, and a VNC server's password file. Accounts are changed by the
// system's own program, and no file of accounts, of the boot or of a mounted root is ever opened to be written.

import { describe, expect, test } from 'vitest';
import { isTypeScript, readTree } from './tree.ts';

/** Calls and flags by which a program of Node changes a file system. */
const CHANGES =
  /\b(?:writeFile|appendFile|writeSync|createWriteStream|rename|link|symlink|unlink|rm|rmdir|mkdir|chmod|chown|lchown|truncate|utimes|copyFile|cp|mkdtemp)(?:Sync)?\(|\bO_(?:WRONLY|RDWR|CREAT|APPEND|TRUNC)\b|\bopen(?:Sync)?\([^)\n]*'(?:w|a|r\+)/g;

/** Who writes, and what. */
const LISTED: Readonly<Record<string, string>> = {
  'agent/adapters/image-files-linux.ts': 'the agent’s own state, in an image that is sealed',
  'agent/adapters/journal-file.ts': 'the journal',
  'agent/adapters/journal-keeper.ts': 'the lock of the journal, on Windows',
  'agent/adapters/journal-lock.ts': 'the lock of the journal',
  'agent/adapters/passwd-program.ts': 'a password, into a pseudo-terminal',
  'agent/adapters/process-children.ts': 'a password, into a pseudo-terminal',
  'agent/adapters/write-as-owner.ts': 'a VNC password file, as its owner',
  'agent/durable-file.ts': 'files of the agent’s own folders',
  'agent/enrolment/main.ts': 'the agent’s own folders',
  'agent/executor/identity.ts': 'the executor’s folder',
  'agent/image/bundle.ts': 'the agent itself, where it is made',
  'agent/link/join-token.ts': 'the join token, which goes',
  'agent/link/other-machine.ts': 'what another machine’s disk brought into those',
};
const NOT_OURS =
  /\/etc\/(?:passwd|shadow|gshadow|group|fstab|default|grub)|\/boot\b|grub|\/sysroot|\/run\/nextroot|efivars/;

const code = (text: string) => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
const changes = (text: string) => [...code(text).matchAll(CHANGES)].map(([found]) => found);

describe('the agent', () => {
  const files = readTree().filter((file) => isTypeScript(file) && file.path.startsWith('agent/'));

  test('writes in these places alone', () => {
    const writing = files.filter(({ text }) => changes(text).length > 0).map(({ path }) => path);
    expect(writing).toEqual(Object.keys(LISTED));
  });

  test('names no file of accounts, of the boot or of another root where it writes', () => {
    for (const { path, text } of files.filter((file) => file.path in LISTED)) {
      expect(code(text), path).not.toMatch(NOT_OURS);
    }
  });
});

test('a change of the file system is seen where it is', () => {
  for (const line of [
    "await writeFile('/etc/shadow', text)",
    "openSync('/etc/shadow', 'r+')",
    'open(path, constants.O_RDWR)',
    'renameSync(a, b)',
  ])
    expect(changes(line), line).toHaveLength(1);
  expect(
    changes("readFileSync('/etc/shadow'); openSync(device, 'r'); readlinkSync(a); // rename(a)\n// rm(a)"),
  ).toEqual(['rename(']);
  expect('/etc/shadow').toMatch(NOT_OURS);
});
