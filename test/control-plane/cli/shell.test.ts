// What shells and `man` are told, in the shells themselves: completions are asked for as a person at a prompt would.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn } from 'node-pty';
import { afterAll, beforeAll, describe, expect, type TestContext, test } from 'vitest';
import { completionFor, type Shell, shells } from '../../../control-plane/cli/completion.ts';
import { manPage } from '../../../control-plane/cli/man.ts';
import { leavesOf } from '../../../control-plane/cli/tree.ts';
import { latchkeyProgram } from '../../../control-plane/program.ts';
import { unavailable } from '../../requirements.ts';

const program = latchkeyProgram('main.ts');
let folder: string;
const at = (name: string) => join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-shell-'));
  for (const shell of shells) writeFileSync(at(shell), completionFor(shell, program));
  writeFileSync(at('latchkey.1'), manPage(program, '1.2.3', '2026-01-31'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function run(context: Pick<TestContext, 'skip'>, command: string, args: readonly string[], packageName = command) {
  try {
    // In an empty folder: a shell offers files where it knows nothing better.
    return execFileSync(command, args, {
      encoding: 'utf8',
      cwd: '/',
      env: { PATH: process.env['PATH'], HOME: folder },
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return unavailable(context, command, `apt-get install ${packageName}`);
  }
}

const quoted = (words: readonly string[]) => words.map((word) => `'${word}'`).join(' ');

/** What is offered for the last word. */
const offered: Readonly<Record<Shell, (context: Pick<TestContext, 'skip'>, words: readonly string[]) => string[]>> = {
  bash: (context, words) =>
    lines(
      run(context, 'bash', [
        ...['--norc', '-c'],
        `source ${at('bash')}; COMP_WORDS=(${quoted(words)}); COMP_CWORD=${words.length - 1}; _latchkey
         printf '%s\\n' "\${COMPREPLY[@]}"`,
      ]),
    ),
  zsh: (context, words) =>
    lines(
      run(context, 'zsh', [
        ...['-f', '-c'],
        `compadd() { shift; local w; for w in "$@"; do [[ $w = "\${words[CURRENT]}"* ]] && print -r -- $w; done }
         compdef() { }; _files() { }
         source ${at('zsh')}; words=(${quoted(words)}); CURRENT=${words.length}; _latchkey; true`,
      ]),
    ),
  fish: (context, words) =>
    lines(run(context, 'fish', ['--no-config', '-c', `source ${at('fish')}; complete -C '${words.join(' ')}'`])).map(
      (line) => line.split('\t')[0] ?? '',
    ),
};
const lines = (text: string) => text.split('\n').filter((line) => line !== '');

describe.each(shells)('%s', (shell) => {
  test('completes every command, level by level', (context) => {
    expect(offered[shell](context, ['latchkey', ''])).toEqual(
      expect.arrayContaining(['vm', 'reset', 'login', 'serve']),
    );
    for (const { path } of leavesOf(program)) {
      const words = path.split(' ');
      const typed = [...words.slice(0, -1), words.at(-1)?.slice(0, 2) ?? ''];
      if (words.length > 2) expect(offered[shell](context, typed), path).toContain(words.at(-1));
    }
  });

  test('offers options of that very command, and what begins as was typed alone', (context) => {
    const flags = offered[shell](context, ['latchkey', 'vm', 'list', '--a']);
    expect(flags).toEqual(expect.arrayContaining(['--agent-version', '--api-key-file']));
    expect(flags).not.toContain('--json');
    expect(offered[shell](context, ['latchkey', 'op', 'cancel', '--a'])).not.toContain('--agent-version');
    expect(offered[shell](context, ['latchkey', 'vm', 'li'])).toEqual(['list']);
  });

  test('offers the values of an option that has few, and no option in its place', (context) => {
    const states = offered[shell](context, ['latchkey', 'webhook', 'deliveries', 'X', '--state', '']);
    expect(states.toSorted()).toEqual(['dead', 'delivered', 'pending']);
    expect(offered[shell](context, ['latchkey', 'vm', 'list', '--project', ''])).not.toContain('--json');
  });

  test('offers nothing that the help hides', (context) => {
    expect(offered[shell](context, ['latchkey', 's'])).not.toContain('serve-web');
    expect(offered[shell](context, ['latchkey', 'reset', '--m'])).toEqual([]);
  });
});

/** Typed at a prompt of a real terminal, until `expected` is seen. */
async function typedInZsh(typed: string, expected: string): Promise<string> {
  const terminal = spawn('zsh', ['-f', '-i'], {
    cwd: '/',
    cols: 200,
    env: { PATH: process.env['PATH'], HOME: folder },
  });
  let seen = '';
  const until = (word: string) =>
    new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`never saw ${word} in ${seen}`)), 20_000);
      const look = () => {
        if (!seen.includes(word)) return;
        clearTimeout(late);
        resolve();
      };
      terminal.onData(look);
      look();
    });
  terminal.onData((text) => {
    seen += text;
  });
  try {
    terminal.write(`autoload -Uz compinit && compinit -u -D && source ${at('zsh')} && echo re''ady\n`);
    await until('ready');
    terminal.write(typed);
    await until(expected);
    return seen;
  } finally {
    terminal.kill('SIGKILL');
  }
}

test('zsh completes at its own prompt', async (context) => {
  run(context, 'zsh', ['-f', '-c', 'true']);
  expect(await typedInZsh('latchkey webhook redel\t', 'redeliver')).not.toContain('parameter');
});

describe('the man page', () => {
  test('is one, without a warning', (context) => {
    expect(run(context, 'mandoc', ['-T', 'lint', '-W', 'warning', at('latchkey.1')])).toBe('');
    writeFileSync(at('broken.1'), '.SH NAME\n.bogus\n');
    expect(() => run(context, 'mandoc', ['-T', 'lint', '-W', 'warning', at('broken.1')])).toThrow();
  });

  test('has every command with its options and an example, as they are typed', (context) => {
    const page = run(context, 'mandoc', ['-T', 'utf8', '-O', 'width=1000', at('latchkey.1')]);
    // Bold and underlined in a terminal's way.
    const text = page.replaceAll(/.\u0008/g, '');
    for (const { path, options } of leavesOf(program)) {
      expect(text).toContain(`\n   ${path}\n`);
      for (const { flags } of options) expect(text).toContain(flags);
    }
    expect(text).toContain('latchkey reset web-1 --vnc --grace 300');
    expect(text).not.toContain('serve-web');
  });
});
