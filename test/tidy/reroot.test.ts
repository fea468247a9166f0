// The agent has no word with which it could lead a machine into another root. The words stand in its list of what is
// refused and where it looks for what others have set, and nowhere else in its programs; there is no option to find.

import { describe, expect, test } from 'vitest';
import { importsOf } from './imports.ts';
import { REROOT_WORDS } from './reroot-words.ts';
import { readTree, type SourceFile } from './tree.ts';

/** The refusal itself; and a path of sysfs that is read. */
const DENY_LIST = 'protocol/reroot.ts';
const LOOKS_FOR: Readonly<Record<string, readonly string[]>> = {
  'agent/adapters/environment-linux.ts': ["'sys/kernel/kexec_loaded'"],
};

const tree = readTree();

/** What the built agent is made of: its main and everything that this leads to. */
function agentFiles(): SourceFile[] {
  const found = new Map<string, SourceFile>();
  const follow = (path: string): void => {
    const file = tree.find((candidate) => candidate.path === path);
    if (!file || found.has(path)) return;
    found.set(path, file);
    for (const { target } of importsOf(file)) follow(target);
  };
  follow('agent/main.ts');
  // Units and scripts of the package run beside it.
  for (const file of tree) if (file.path.startsWith('agent/')) found.set(file.path, file);
  return [...found.values()];
}

const withoutComments = (text: string) => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*(?:\/\/|#).*$/gm, '');

function forbiddenWords({ path, text }: SourceFile): string[] {
  const code = (LOOKS_FOR[path] ?? []).reduce((left, known) => left.replace(known, "''"), withoutComments(text));
  return [...code.matchAll(REROOT_WORDS)].map(([word]) => `${path}: ${word}`);
}

describe('words that could lead into another root', () => {
  const files = agentFiles();

  test('are nowhere in the agent but in the list of what is refused', () => {
    expect(files.map(({ path }) => path)).toEqual(
      expect.arrayContaining([
        'agent/executor/main.ts',
        'agent/link/main.ts',
        'agent/adapters/power-linux.ts',
        DENY_LIST,
      ]),
    );
    expect(files.filter(({ path }) => path !== DENY_LIST).flatMap(forbiddenWords)).toEqual([]);
  });

  test('are seen where they are', () => {
    const deny = files.find(({ path }) => path === DENY_LIST);
    expect(deny && forbiddenWords(deny)).toEqual(
      ['soft-reboot', 'switch-root', 'kexec', 'kexec'].map((word) => `${DENY_LIST}: ${word}`),
    );
    for (const line of [
      "spawn('chpasswd', ['-R', root])",
      "['-P', dir]",
      '`passwd --root=/x`',
      "run('systemctl', ['kexec'])",
      'ExecStart=/usr/sbin/grub-reboot rescue',
      "['switch-root', '/sysroot']",
    ])
      expect(forbiddenWords({ path: 'agent/a.ts', text: line })).toHaveLength(1);
    expect(forbiddenWords({ path: 'agent/a.ts', text: "// about kexec\nconst a = b -Root; ['--rootfs']" })).toEqual([]);
  });
});
