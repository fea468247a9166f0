// What is read and run in folders that may be somebody else's: root waits for nothing there, and runs nothing that others may
// exchange.

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readIfThere } from '../../../control-plane/config/files.ts';
import { readServeOptions } from '../../../control-plane/config/options.ts';
import { Failure } from '../../../protocol/failure.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'latchkey-files-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const reasonOf = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return error instanceof Failure ? [error.code, error.details['reason']] : error;
  }
};

describe('a file', () => {
  test('is read whole, also through a link, and one that is not there is none', () => {
    writeFileSync(join(folder, 'key'), 'text');
    symlinkSync('key', join(folder, 'link'));
    expect(['key', 'link', 'none'].map((name) => readIfThere(join(folder, name)))).toEqual(['text', 'text', null]);
  });

  test('that nobody ends, is a folder, or is far too large is refused and not waited for', () => {
    spawnSync('mkfifo', [join(folder, 'pipe')]);
    writeFileSync(join(folder, 'large'), '');
    truncateSync(join(folder, 'large'), 2_000_000);
    expect(reasonOf(() => readIfThere(join(folder, 'pipe')))).toEqual(['CONFIG_INVALID', 'no_regular_file']);
    expect(reasonOf(() => readIfThere(folder))).toEqual(['CONFIG_INVALID', 'no_regular_file']);
    expect(reasonOf(() => readIfThere(join(folder, 'large')))).toEqual(['CONFIG_INVALID', 'too_large']);
  });
});

describe('a program that signs', () => {
  const taken = (path: string) =>
    reasonOf(() => readServeOptions({ commandKeyProgram: path, data: folder }, { HOME: homedir() }).commandKey.program);
  const refused = (reason: string) => ['CONFIG_INVALID', reason];

  test('is taken where it and every folder above it are ours or root’s', () => {
    const program = join(folder, 'sign');
    writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 });
    expect(taken(program)).toBe(program);
    expect(taken('sign')).toEqual(refused('absolute_path'));
    expect(taken(join(folder, 'none'))).toEqual(refused('file_missing'));
    chmodSync(program, 0o644);
    expect(taken(program)).toEqual(refused('not_executable'));
    chmodSync(program, 0o775);
    expect(taken(program)).toEqual(refused('others_may_write_it'));
  });

  test('is refused where others could put another in its place, here or where a link leads', () => {
    const open = join(folder, 'open');
    mkdirSync(join(open, 'bin'), { recursive: true });
    const program = join(open, 'bin/sign');
    writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 });
    chmodSync(open, 0o777);
    symlinkSync(program, join(folder, 'link'));
    expect([program, join(folder, 'link')].map(taken)).toEqual([
      refused('others_may_write_it'),
      refused('others_may_write_it'),
    ]);
    chmodSync(open, 0o1777);
    expect(taken(program)).toBe(program);
  });
});
